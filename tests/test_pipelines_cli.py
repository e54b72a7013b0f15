import json
import os
import resource
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pipelines
from pipelines.cli import main, parser
from pipelines.errors import Failed, UserError

COMMANDS = (
    *("init", "check", "prepare", "train", "evaluate", "serve", "monitor", "retrain"),
    *("promote", "rollback", "replay", "report", "status", "up", "doctor"),
)


@dataclass(frozen=True)
class Result:
    said: str = "done"
    failed: bool = False

    def lines(self) -> list[str]:
        return [f"it is {self.said}"]


@pytest.fixture
def project(tmp_path: Path) -> str:
    (tmp_path / "losswatch.toml").write_text('[data]\ntarget = "cnt"\npath = "rides.csv"\n', encoding="utf-8")
    return str(tmp_path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a module with these functions in the place of pipelines/<name>.py."""

    def put(name: str, **functions: Any) -> None:
        module = types.ModuleType(f"pipelines.{name}")
        module.__dict__.update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(pipelines, name, module, raising=False)

    return put


def raising(error: BaseException) -> Callable[..., Any]:
    def step(*_: Any, **__: Any) -> Any:
        raise error

    return step


# --- help ---


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Examples:\n  losswatch {command}" in shown
    assert "--project DIR" in shown
    assert "--json" in shown


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {command}" in shown for command in COMMANDS)


def test_every_example_is_understood() -> None:
    whole = parser()
    commands = next(action for action in whole._actions if action.dest == "command").choices
    assert commands is not None
    for name in COMMANDS:
        epilog = dict(commands)[name].epilog
        for example in epilog.splitlines()[1:]:
            words = shlex.split(example)
            assert whole.parse_args(words[1:]).command == name


def test_help_takes_less_than_0_15_seconds_of_cpu() -> None:
    def cpu() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "pipelines.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu() for _ in range(3)) < 0.15


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, pipelines.cli as c; c.main(['train', '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"numpy", "pandas", "keras", "mlflow", "prefect", "tomllib", "json", "logging", "typing"}
    assert heavy.isdisjoint(done.stderr.split())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("losswatch 0.")


# --- exit codes and words ---


def test_done_is_0_and_the_result_is_said(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("check", check=lambda project, *, progress: Result(project.config.data.target))
    assert main(["check", "--project", project]) == 0
    assert capsys.readouterr().out == "it is cnt\n"


def test_the_doctor_comes_without_a_project(
    tmp_path: Path, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("doctor", doctor=lambda folder: Result(folder.name))
    assert main(["doctor", "--project", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"it is {tmp_path.name}\n"
    assert os.listdir(tmp_path) == []


def test_a_result_that_failed_is_1(project: str, fake: Callable[..., None]) -> None:
    fake("doctor", doctor=lambda folder: Result(failed=True))
    assert main(["doctor", "--project", project]) == 1


def test_a_step_that_failed_is_1_in_one_line(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps", rollback=raising(Failed("the store is gone")))
    assert main(["rollback", "--project", project]) == 1
    assert capsys.readouterr().err == "losswatch: the store is gone\n"


def test_a_users_mistake_is_2_in_its_own_words(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps", prepare=raising(UserError("rides.csv is empty")))
    assert main(["prepare", "--project", project]) == 2
    assert capsys.readouterr().err == "losswatch: rides.csv is empty\n"
    assert os.listdir(project) == ["losswatch.toml"]


def test_faults_of_the_project_file_are_2_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "losswatch.toml").write_text("[data]\ntaget = 1\n[serve]\nport = 0\n", encoding="utf-8")
    assert main(["train", "--project", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "has 4 faults" in shown
    assert "Traceback" not in shown
    assert os.listdir(tmp_path) == ["losswatch.toml"]


def test_no_project_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--project", str(tmp_path / "nowhere")]) == 2
    assert "losswatch init" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [[], ["trian"], ["train", "--projct", "x"], ["promote", "three"]])
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: losswatch" in capsys.readouterr().err


def test_a_fault_of_ours_is_1_and_its_traceback_is_kept(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps", train=raising(ZeroDivisionError("division by zero")))
    assert main(["train", "--project", project]) == 1
    log_file = Path(project) / ".losswatch" / "losswatch.log"
    assert capsys.readouterr().err == (
        f"losswatch: ZeroDivisionError: division by zero (the traceback is in {log_file})\n"
    )
    assert "Traceback" in log_file.read_text()


def test_where_no_traceback_can_be_kept_debug_is_named(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(project) / ".losswatch").write_text("in the way")
    fake("steps", status=raising(ValueError("odd")))
    assert main(["status", "--project", project]) == 1
    assert capsys.readouterr().err == "losswatch: ValueError: odd (--debug shows the traceback)\n"


def test_debug_shows_the_traceback(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps", status=raising(UserError("odd")))
    assert main(["status", "--project", project, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_control_c_is_130(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("up", up=raising(KeyboardInterrupt()))
    assert main(["up", "--project", project]) == 130
    assert capsys.readouterr().err == "losswatch: stopped\n"


def test_a_reader_that_has_seen_enough_gets_no_traceback(project: str) -> None:
    code = (
        "import sys, types, pipelines\n"
        "from pipelines.cli import main\n"
        "class Long:\n"
        "    def lines(self): return ['x' * 1000] * 10000\n"
        "pipelines.doctor = types.SimpleNamespace(doctor=lambda folder: Long())\n"
        f"sys.exit(main(['doctor', '--project', {project!r}]))"
    )
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$1" -c "$2" | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}',
            "-",
            sys.executable,
            code,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


# --- what is passed on ---


def test_json_is_one_object_on_stdout(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps", status=lambda project: Result())
    assert main(["status", "--project", project, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"said": "done", "failed": False}


def test_a_replay_gets_its_file_and_its_progress(
    project: str, fake: Callable[..., None], tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}

    def replay(project: Any, *, json_path: Path | None, progress: Callable[[str], None]) -> Result:
        progress("week 1")
        seen["json_path"] = json_path
        return Result()

    fake("replay", replay=replay)
    assert main(["replay", "--project", project, "--json", str(tmp_path / "out.json")]) == 0
    assert seen == {"json_path": tmp_path / "out.json"}
    assert main(["replay", "--project", project]) == 0
    assert seen == {"json_path": None}


@pytest.mark.parametrize(("command", "option"), [("replay", "--json"), ("report", "--out")])
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    project: str, command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--project", project, option, f"{project}/no/such/file"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main([command, "--project", project, option, project]) == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["monitor", "retrain"])
def test_any_day_can_be_lived_again(command: str, project: str, fake: Callable[..., None]) -> None:
    seen: list[datetime] = []

    def step(project: Any, now: datetime) -> Result:
        seen.append(now)
        return Result()

    fake("steps", **{command: step})
    assert main([command, "--project", project, "--now", "2013-05-01"]) == 0
    assert main([command, "--project", project]) == 0
    assert seen[0] == datetime(2013, 5, 1, tzinfo=UTC)
    assert (datetime.now(UTC) - seen[1]).total_seconds() < 60


def test_a_day_that_is_none_is_2(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("steps")
    assert main(["monitor", "--project", project, "--now", "tomorrow"]) == 2
    assert capsys.readouterr().err.startswith("losswatch: --now 'tomorrow': not a date")


def test_promote_names_a_version_or_the_first(project: str, fake: Callable[..., None]) -> None:
    seen: list[tuple[int | None, bool]] = []

    def promote(project: Any, version: int | None, *, first: bool) -> Result:
        seen.append((version, first))
        return Result()

    fake("steps", promote=promote)
    main(["promote", "--project", project, "3"])
    main(["promote", "--project", project, "--first"])
    assert seen == [(3, False), (None, True)]


def test_a_report_goes_where_it_is_asked(project: str, fake: Callable[..., None], tmp_path: Path) -> None:
    seen: list[tuple[Path | None, list[int], bool]] = []

    def report(project: Any, out: Path | None, *, windows: list[int], replayed: bool, say: Any) -> Result:
        seen.append((out, windows, replayed))
        return Result()

    fake("live_report", report=report)
    main(["report", "--project", project])
    main(["report", "--project", project, "--out", str(tmp_path / "page.html")])
    main(["report", "--project", project, "--replay", "--window", "3", "--window", "5"])
    assert seen == [(None, [], False), (tmp_path / "page.html", [], False), (None, [3, 5], True)]


def test_a_curve_is_of_a_version_or_of_a_run(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, Any]] = []

    def curve(project: Any, **wish: Any) -> Result:
        seen.append(wish)
        return Result()

    fake("curves", curve=curve)
    main(["curve", "--project", project])
    main(["curve", "--project", project, "--version", "3", "--out", "pictures"])
    main(["curve", "--project", project, "--run", "abc"])
    assert seen == [
        {"version": None, "run": None, "folder": None},
        {"version": 3, "run": None, "folder": Path("pictures")},
        {"version": None, "run": "abc", "folder": None},
    ]
    assert main(["curve", "--project", project, "--run", "abc", "--version", "3"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_training_shows_its_epochs(
    project: str,
    fake: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(project: Any, *, on_epoch: Callable[[Any], None], **more: Any) -> Result:
        on_epoch(types.SimpleNamespace(epoch=2, loss=0.51234, validation_loss=0.6, seconds=2.0))
        return Result()

    fake("steps", train=train)
    monkeypatch.setattr("pipelines.progress.PATIENCE", 0.0)
    monkeypatch.setattr("pipelines.progress.PLAIN_EVERY", 0.0)
    assert main(["train", "--project", project]) == 0
    told = " s: epoch 3 of at most 60: loss 0.5123, validation 0.6, at most 1 min 54 s left\n"
    assert told in capsys.readouterr().err
    assert main(["train", "--project", project, "--quiet"]) == 0
    assert main(["train", "--project", project, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_a_server_says_where_it_answers_and_ends_without_a_result(
    project: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("serving", serve=lambda project: None)
    assert main(["serve", "--project", project]) == 0
    shown = capsys.readouterr()
    assert "http://127.0.0.1:8000/invocations" in shown.err
    assert shown.out == ""


def test_libraries_are_quiet_before_they_are_imported(project: str, fake: Callable[..., None]) -> None:
    seen: dict[str, str] = {}

    def check(project: Any, *, progress: Callable[[str], None]) -> Result:
        seen.update(os.environ)
        return Result()

    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    os.environ.pop("PREFECT_HOME", None)
    fake("check", check=check)
    main(["check", "--project", project])
    assert seen["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert seen["PREFECT_HOME"] == f"{project}/.losswatch/prefect"
