"""The command line: one function for each command, each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `import typing` alone costs as much as argparse
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Any

    from models.history import EpochLoss
    from pipelines.progress import Progress
    from pipelines.project import Project

    Run = Callable[[Project, argparse.Namespace, Progress], Any]
    RunAlone = Callable[[argparse.Namespace], Any]  # where there may be no project yet

DONE, FAILED, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130


# --- the commands: each gets the open project, what was typed, and somebody to tell how far it is ---


def _check(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import check

    return check.check(project, progress=progress)


def _prepare(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import steps

    return steps.prepare(project, progress=progress)


def _train(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import steps
    from pipelines.duration import seconds_in_words

    epochs = project.config.network.epochs

    def show(epoch: EpochLoss) -> None:
        left = seconds_in_words(epoch.seconds * (epochs - epoch.epoch - 1))
        progress(
            f"epoch {epoch.epoch + 1} of at most {epochs}: loss {epoch.loss:.4g}, "
            f"validation {epoch.validation_loss:.4g}, at most {left} left"
        )

    return steps.train(project, on_epoch=show, progress=progress)


def _rates(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    target = _writable(options.out)
    from pipelines import rates

    return rates.rates(
        project,
        lowest=options.lowest,
        highest=options.highest,
        steps=options.steps,
        picture=target,
        progress=progress,
    )


def _curve(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pathlib import Path

    from pipelines import curves

    folder = Path(options.out) if options.out else None
    return curves.curve(project, version=options.version, run=options.run_id, folder=folder)


def _evaluate(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pathlib import Path

    from pipelines import evaluate

    wish = evaluate.Wish(
        version=options.version,
        against=options.against,
        file=Path(options.data) if options.data else None,
        fits=options.bias_variance,
        runs=options.learning_curve,
        training_rows=options.training_rows,
    )
    return evaluate.evaluate(project, wish, progress=progress)


def _reproduce(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines.reproduce import reproduce

    return reproduce(project, options.version, progress=progress)


def _cross_validate(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import cross_validation

    return cross_validation.cross_validate_project(
        project, folds=options.folds, kind=options.kind, progress=progress
    )


def _serve(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import serving

    address = f"http://{project.config.serve.host}:{project.config.serve.port}"
    print(f"losswatch: {project.name} answers on {address}/invocations; Ctrl-C stops", file=sys.stderr)
    return serving.serve(project)


def _score(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pathlib import Path

    out = _writable(options.out)
    from pipelines.file_scoring import score_file
    from pipelines.stores import open_stores

    return score_file(open_stores(project), Path(options.file), out=out, progress=progress)


def _labels(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pathlib import Path

    from pipelines import labels

    if options.file is None:
        return labels.labels(project, _now(project, options), days=options.days or labels.DAYS)
    return labels.add_file(
        project,
        Path(options.file),
        id_column=options.id,
        key_column=options.key,
        value=options.value,
        moment=options.moment,
        progress=progress,
    )


def _forget(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines.forgetting import forget
    from pipelines.stores import open_stores

    return forget(open_stores(project), options.ids, progress=progress)


def _token(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import tokens

    path = project.state / tokens.FILE
    if options.add:
        return tokens.add_token(path, options.add, name=options.name, days=options.days, now=project.now())
    if options.remove:
        return tokens.remove_token(path, options.remove)
    return tokens.TokenList(tokens.read_tokens(path))


def _monitor(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    now = _now(project, options)
    from pipelines import steps

    return steps.monitor(project, now)


def _retrain(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    now = _now(project, options)
    from pipelines import steps

    return steps.retrain(project, now)


def _promote(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import steps

    return steps.promote(project, options.version, first=options.first)


def _rollback(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import steps

    return steps.rollback(project)


def _replay(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    target = _writable(options.json)
    if options.flow:
        from pipelines import flows

        return flows.replay(project, json_path=target, progress=progress)
    from pipelines import replay

    return replay.replay(project, json_path=target, progress=progress)


def _report(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    target = _writable(options.out)
    from pipelines import live_report

    return live_report.report(project, target, windows=options.window, replayed=options.replay, say=progress)


def _status(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import steps

    return steps.status(project)


def _alerts(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    now = _now(project, options)
    from pipelines import alert_list
    from pipelines.errors import UserError

    if options.ids and options.action in ("list", "deliver"):
        raise UserError(f"{options.ids[0]}: losswatch alerts {options.action} takes no names")
    if options.action == "ack":
        return alert_list.ack(project, options.ids, now, note=options.note, by=options.by)
    if options.action == "test":
        return alert_list.try_receivers(project, options.ids, now)
    return (
        alert_list.send_waiting(project, now)
        if options.action == "deliver"
        else alert_list.alerts(project, now)
    )


def _up(project: Project, options: argparse.Namespace, progress: Progress) -> Any:
    from pipelines import up

    return up.up(project)


def _doctor(options: argparse.Namespace) -> Any:
    from pathlib import Path

    from pipelines import doctor

    return doctor.doctor(Path(options.project))


def _drift(options: argparse.Namespace) -> Any:
    target = _writable(options.json)
    from pathlib import Path

    from pipelines.drift import drift
    from pipelines.memory import keep_freed_memory

    keep_freed_memory()
    found = drift(
        Path(options.reference),
        Path(options.current),
        columns=options.columns or (),
        ordered=options.ordered,
        fail=options.fail_on_drift,
        joint=options.joint,
    )
    if target is not None:
        from pipelines.answer import to_json

        target.write_text(to_json(found) + "\n", "utf-8")
    return found


def _init(options: argparse.Namespace) -> Any:
    from pathlib import Path

    from pipelines import init
    from pipelines.errors import UserError

    folder = options.directory or options.project
    if folder is None or (options.directory and options.project):
        raise UserError("name the folder of the new project once: losswatch init DIR --data FILE ...")
    wish = init.Wish(
        data=Path(options.data),
        target=options.target,
        time=tuple(options.time),
        time_format=options.time_format,
        start=options.start,
        step=options.step,
        drop=tuple(name.strip() for names in options.drop for name in names.split(",") if name.strip()),
    )
    return init.init(Path(folder), wish)


def _now(project: Project, options: argparse.Namespace) -> datetime:
    if options.now is None:
        return project.now()
    from pipelines.errors import UserError
    from pipelines.written_date import parse_moment

    try:
        return parse_moment(options.now)
    except ValueError as problem:
        raise UserError(f"--now {options.now!r}: {problem}") from None


def _writable(written: str | None) -> Path | None:
    """The file to write; a long command must not find out at its end that its result has no place."""
    from pathlib import Path

    from pipelines.errors import UserError

    if written is None:
        return None
    path = Path(written)
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"the folder of {path} does not exist. Create it, or name another file")
    return path


# --- their words ---


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples."""


class _Version(argparse.Action):
    """Looks the version up only when asked, which takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"losswatch {version('losswatch')}")
        parser.exit()


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Run | None,
    summary: str,
    *examples: str,
    alone: RunAlone | None = None,
    spoken: bool = False,
    json_file: bool = False,
    project: str | None = ".",
) -> argparse.ArgumentParser:
    """A command with the options that all have; `spoken`: it runs until stopped and says what happens."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="\n".join(["Examples:", *(f"  losswatch {example}" for example in examples)]),
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, alone=alone, spoken=spoken, json_file=json_file)
    common = parser.add_argument_group("for all commands")
    common.add_argument(
        "--project", metavar="DIR", default=project, help="the project's folder (default: here)"
    )
    if json_file:
        common.add_argument("--json", metavar="FILE", help="write the result to FILE as JSON")
    else:
        common.add_argument("--json", action="store_true", help="print the result as JSON")
    common.add_argument("--quiet", action="store_true", help="no progress")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "init",
        None,
        "write a commented losswatch.toml from a look at a file",
        "init bikes --data bikes.csv --target rented --time date hour --drop id,casual",
        'init power --data power.parquet --target price --start 1996-05-07 --step "30 min"',
        alone=_init,
        project=None,
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", help="folder of the new project")
    parser.add_argument("--data", metavar="FILE", required=True, help="CSV or Parquet file")
    parser.add_argument("--target", metavar="COLUMN", required=True, help="the column to predict")
    parser.add_argument(
        "--time",
        metavar="COLUMN",
        nargs="+",
        default=[],
        help="the column or columns that say when a row happened",
    )
    parser.add_argument("--time-format", metavar="F", help='how it is written, e.g. "%%d.%%m.%%Y %%H:%%M"')
    parser.add_argument("--start", metavar="T", help="without a time column: the time of the first row")
    parser.add_argument(
        "--step", metavar="D", help='without a time column: the time between rows, e.g. "30 min"'
    )
    parser.add_argument(
        "--drop",
        metavar="COLUMN,...",
        action="append",
        default=[],
        help="columns that the network never sees",
    )


def _add_drift(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "drift",
        None,
        "compare two files or tables: what has moved, what is broken; needs no project",
        "drift january.parquet february.parquet",
        "drift training.csv today.csv --columns price weight --fail-on-drift",
        "drift log/predictions today/ --json drift.json",
        alone=_drift,
        json_file=True,
        project=None,
    )
    parser.add_argument(
        "reference", metavar="REFERENCE", help="CSV, Parquet, folder of Parquet or Delta table"
    )
    parser.add_argument("current", metavar="CURRENT", help="the same, to be compared with it")
    parser.add_argument("--columns", metavar="COLUMN", nargs="+", help="only these (default: all in both)")
    parser.add_argument(
        "--ordered",
        action="store_true",
        help="REFERENCE is in the order of time: allow for how much its parts differ from each other",
    )
    parser.add_argument("--fail-on-drift", action="store_true", help="exit code 1 where anything has moved")
    parser.add_argument(
        "--joint",
        action="store_true",
        help="also ask a classifier whether it can tell rows of the two apart by all columns together (seconds more)",
    )


def _add_now(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--now", metavar="TIME", help="as if it were this time, e.g. 2013-05-01 (default: the clock)"
    )


def _add_rates(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "rates",
        _rates,
        "try all learning rates in one short training, and suggest one",
        "rates --project bikes",
        "rates --project bikes --out rates.png",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="draw the losses into FILE, which ends in .svg, .png or .html"
    )
    parser.add_argument("--lowest", metavar="RATE", type=_positive, help="the first rate (default: 1e-6)")
    parser.add_argument("--highest", metavar="RATE", type=_positive, help="the last rate (default: 10)")
    parser.add_argument(
        "--steps", metavar="N", type=_positive_count, help="how many rates are tried (default: 210)"
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0")
    return number


def _positive_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def _add_curve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "curve",
        _curve,
        "draw the loss of a training again: a page, pictures, and two lines of text",
        "curve --project bikes",
        "curve --project bikes --version 3 --out pictures",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--version", metavar="N", type=int, help="number of a version (default: the newest training)"
    )
    which.add_argument(
        "--run", metavar="ID", dest="run_id", help="the first letters of a run, also of one that failed"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to write them (default: in the project's state)"
    )


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "evaluate",
        _evaluate,
        "judge a version on rows that did not teach it, beside simpler models and by groups",
        "evaluate --project bikes",
        "evaluate --project bikes --version 3 --against 2 --data spring.csv",
        "evaluate --project bikes --bias-variance --learning-curve",
    )
    parser.add_argument(
        "--version", metavar="N", type=int, help="number of the version (default: the one that serves)"
    )
    parser.add_argument(
        "--against", metavar="M", type=int, help="another version to compare with (default: the one before)"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="judge on the rows of this file (default: the newest unseen rows)"
    )
    parser.add_argument(
        "--bias-variance",
        metavar="FITS",
        type=_repeats,
        nargs="?",
        const=5,
        default=0,
        help="train so many times on rows drawn again: too simple, or too flexible? (5)",
    )
    parser.add_argument(
        "--learning-curve",
        metavar="RUNS",
        type=_repeats,
        nargs="?",
        const=3,
        default=0,
        help="train on fewer and fewer rows, each so many times: would more rows help? (3)",
    )
    parser.add_argument(
        "--training-rows",
        action="store_true",
        help="which of the rows that taught mislead, which are of use?",
    )


def _repeats(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 2 to 100")
    return int(text)


def _add_cross_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "cross-validate",
        _cross_validate,
        "train several times, each judged on other rows that it did not see",
        "cross-validate --project bikes",
        "cross-validate --project bikes --folds 10 --kind stratified --json",
    )
    parser.add_argument(
        "--folds", metavar="K", type=_folds, default=5, help="how many trainings, from 2 to 50 (5)"
    )
    parser.add_argument(
        "--kind",
        choices=("forward", "plain", "stratified", "group"),
        help="how rows are cut into folds (default: as data.split says; by time: forward)",
    )


def _add_labels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    labels = _command(
        commands,
        "labels",
        _labels,
        "add the labels of a file, or say how labels come: coverage, delay, what is to come",
        "labels --project bikes",
        "labels truth-of-may.csv --project bikes",
        "labels orders.parquet --project bikes --key order_id --value paid --moment paid_at",
    )
    labels.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="CSV, Parquet, a folder of Parquet files or a Delta table (default: say how labels come)",
    )
    which = labels.add_mutually_exclusive_group()
    which.add_argument("--id", metavar="COLUMN", help="the column of prediction ids (default: id)")
    which.add_argument("--key", metavar="COLUMN", help="the column of your own keys (default: data.key)")
    labels.add_argument("--value", metavar="COLUMN", help="the column of labels (default: data.target)")
    labels.add_argument(
        "--moment", metavar="COLUMN", help="when each was found out; the latest holds (default: moment)"
    )
    labels.add_argument(
        "--days", metavar="N", type=_days, help="without FILE: the days before now (default: 90)"
    )
    _add_now(labels)


def _add_token(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    token = _command(
        commands,
        "token",
        _token,
        "who may ask the scoring server: list, make or take back tokens",
        "token --project bikes --add client --name shop --days 90",
        "token --project bikes --remove 3f2a9c01",
    )
    one = token.add_mutually_exclusive_group()
    one.add_argument(
        "--add", metavar="ROLE", choices=("client", "labeller", "viewer", "operator"),
        help="make a token: client asks for predictions, labeller sends labels, viewer reads figures, operator all",
    )  # fmt: skip
    one.add_argument("--remove", metavar="ID", help="take a token back")
    token.add_argument("--name", metavar="NAME", default="", help="whose it is; the caller in the log")
    token.add_argument(
        "--days", metavar="N", type=_days, help="days for which it is good (default: for good)"
    )


def _add_alerts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    alerts = _command(
        commands,
        "alerts",
        _alerts,
        "list alerts, acknowledge one, try the receivers, or send what waits",
        "alerts --project bikes",
        'alerts ack 3f2a9c01 --project bikes --note "the sensor is being mended"',
        "alerts test --project bikes",
    )
    alerts.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=("list", "ack", "test", "deliver"),
        default="list",
        help="list, ack (somebody knows), test (try receivers) or deliver (send what waits now) (list)",
    )
    alerts.add_argument("ids", metavar="ID", nargs="*", help="of alerts for ack, names of receivers for test")
    alerts.add_argument("--note", metavar="TEXT", default="", help="with ack: what others should know")
    alerts.add_argument("--by", metavar="NAME", default="", help="with ack: who knows (default: you)")
    _add_now(alerts)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 3650")
    return int(text)


def _folds(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 50:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 2 to 50")
    return int(text)


def _add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _add_init(commands)
    _command(
        commands,
        "check",
        _check,
        "run one batch through data, network, loss and storing, in seconds",
        "check --project bikes",
    )
    _command(
        commands,
        "prepare",
        _prepare,
        "check the data, learn the schema and write prepared rows",
        "prepare --project bikes",
    )
    _command(
        commands,
        "train",
        _train,
        "train a network and store it as a version; a killed training resumes",
        "train --project bikes",
        "train --project bikes --json",
    )
    reproduce = _command(
        commands,
        "reproduce",
        _reproduce,
        "train a version again from what it was made of, and compare every weight",
        "reproduce --project bikes",
        "reproduce --project bikes 3 --json",
    )
    reproduce.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        type=int,
        help="number of the version (default: the champion)",
    )
    _add_curve(commands)
    _add_rates(commands)
    _add_evaluate(commands)
    _add_cross_validate(commands)
    _add_drift(commands)
    _command(
        commands,
        "serve",
        _serve,
        "answer requests with the champion until stopped",
        "serve --project bikes",
        spoken=True,
    )
    _add_token(commands)
    _add_labels(commands)
    score = _command(
        commands,
        "score",
        _score,
        "score the rows of a file with the champion, into the log",
        "score rides-of-may.parquet --project bikes --out predictions.csv",
    )
    score.add_argument(
        "file", metavar="FILE", help="CSV, Parquet, a folder of Parquet files or a Delta table"
    )
    score.add_argument("--out", metavar="FILE", help="write ids and predictions to FILE as CSV")
    forget = _command(
        commands,
        "forget",
        _forget,
        "remove predictions by their ids from the log, with inputs, labels and every trace",
        "forget ride-4711 ride-4712 --project bikes",
    )
    forget.add_argument("ids", metavar="ID", nargs="+", help="id of a prediction, as its answer named it")
    _add_now(
        _command(
            commands,
            "monitor",
            _monitor,
            "judge every complete window and decide what to do",
            "monitor --project bikes",
            "monitor --project bikes --now 2012-06-01 --json",
        )
    )
    _add_now(
        _command(
            commands,
            "retrain",
            _retrain,
            "make a challenger from old and new rows and let the gate judge it",
            "retrain --project bikes",
        )
    )
    promote = _command(
        commands,
        "promote",
        _promote,
        "let a version serve, if it passes the gate",
        "promote --project bikes --first",
        "promote --project bikes 3",
    )
    promote.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        type=int,
        help="number of the version (default: the challenger)",
    )
    promote.add_argument(
        "--first", action="store_true", help="nothing serves yet: take it without a comparison"
    )
    _command(
        commands, "rollback", _rollback, "let the version before serve again", "rollback --project bikes"
    )
    replay = _command(
        commands,
        "replay",
        _replay,
        "live through the data window by window, in a store of its own",
        "replay --project bikes",
        "replay --project bikes --json replay.json",
        json_file=True,
    )
    replay.add_argument(
        "--flow",
        action="store_true",
        help="as one Prefect flow with a task for each step, to look at in its UI",
    )
    report = _command(
        commands,
        "report",
        _report,
        "write a page of what happened and what to do next",
        "report --project bikes",
        "report --project bikes --window 41 --out report.html",
    )
    report.add_argument("--out", metavar="FILE", help="where to write it (default: in the project's state)")
    report.add_argument(
        "--window",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="make Evidently's report of this window, too; its number is on the page; may be repeated",
    )
    report.add_argument(
        "--replay", action="store_true", help="of the last replay instead of what is in service"
    )
    _command(
        commands,
        "status",
        _status,
        "what serves, how well, and what was decided last",
        "status --project bikes",
    )
    _add_alerts(commands)
    _command(
        commands,
        "up",
        _up,
        "start tracking, orchestration and scoring on this machine until stopped",
        "up --project bikes",
        spoken=True,
    )
    _command(
        commands,
        "doctor",
        None,
        "check installation, stores, servers and automations, and say how to mend them",
        "doctor --project bikes",
        alone=_doctor,
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        prog="losswatch",
        description="Keeps the loss of a deployed Keras model low.",
        epilog="Examples:\n  losswatch init bikes --data bikes.csv --target rented --time date hour\n"
        "  losswatch replay --project bikes\n\nlosswatch COMMAND --help says more.\n"
        "Exit codes: 0 done, 1 failed, 2 a mistake in what was given.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    _add_commands(commands)
    return whole


# --- running one ---


def _state(options: argparse.Namespace) -> Path | None:
    """The state folder of the project, where there is a project."""
    from pathlib import Path

    folder = Path(options.project or ".").absolute()
    return folder / ".losswatch" if (folder / "losswatch.toml").is_file() else None


def _run(options: argparse.Namespace) -> int:
    import os

    from pipelines.environment import LOG_FILE, quiet_environment, set_up_logging
    from pipelines.progress import Progress

    state = _state(options)
    quiet_environment(os.environ, state)
    quiet = options.quiet or options.spoken or (options.json and not options.json_file)
    log_file = state / LOG_FILE if state else None
    with Progress(sys.stderr, quiet=bool(quiet)) as progress:
        set_up_logging(
            sys.stderr, log_file, progress=None if options.spoken else progress, spoken=options.spoken
        )
        progress(options.command)
        result = _result(options, progress)
    _print(result, as_json=bool(options.json) and not options.json_file)
    return FAILED if getattr(result, "failed", False) else DONE


def _result(options: argparse.Namespace, progress: Progress) -> Any:
    if options.alone is not None:
        return options.alone(options)
    import os
    from pathlib import Path

    from pipelines.environment import plan_devices
    from pipelines.project import open_project

    project = open_project(Path(options.project))
    plan_devices(os.environ, project.config)
    return options.run(project, options, progress)


def _print(result: Any, *, as_json: bool) -> None:
    if result is None:  # it ran until it was stopped
        return
    if as_json:
        from pipelines.answer import to_json

        print(to_json(result))
    else:
        for line in result.lines():
            print(line)
    sys.stdout.flush()


def _complain(error: BaseException, options: argparse.Namespace) -> int:
    """Says what went wrong in the user's words, or, where the fault is ours, where to find more."""
    from pipelines.errors import Failed, UserError
    from pipelines.exhausted import in_plain_words

    if options.debug:
        import traceback

        traceback.print_exception(error)
    plain = in_plain_words(error, _state(options))
    known = plain is not None or isinstance(error, UserError | Failed)
    text = plain or (str(error) if known else f"{type(error).__name__}: {error}")
    hint = "" if known or options.debug else _kept_traceback(error, options)
    print(f"losswatch: {text}{hint}", file=sys.stderr)
    return USERS_MISTAKE if plain is None and isinstance(error, UserError) else FAILED


def _kept_traceback(error: BaseException, options: argparse.Namespace) -> str:
    """Writes the traceback into the project's log file; where there is none, says how to see it."""
    import traceback

    from pipelines.environment import LOG_FILE

    state = _state(options)
    try:
        if state is not None:
            state.mkdir(exist_ok=True)
            with (state / LOG_FILE).open("a", encoding="utf-8") as log:
                log.write("".join(traceback.format_exception(error)))
            return f" (the traceback is in {state / LOG_FILE})"
    except OSError:
        pass
    return " (--debug shows the traceback)"


def _close_stdout() -> None:
    """Python would complain at its end that it cannot write what is left."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0: done, 1: failed, 2: a user's mistake, 130: stopped by Ctrl-C."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said why: 0 for --help, 2 for a mistake
        return int(end.code or 0)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("losswatch: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        _close_stdout()
        return FAILED
    except Exception as error:
        return _complain(error, options)


if __name__ == "__main__":
    sys.exit(main())
