"""A version is judged as a whole: what is found, what is said aloud, what is kept, what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pandas as pd
import pytest
import streams

from pipelines.answer import to_json
from pipelines.errors import Failed, UserError
from pipelines.evaluate import Wish, evaluate
from pipelines.evaluation import Evaluation
from pipelines.kept_curve import EVALUATION
from pipelines.prepared import prepare_rows
from pipelines.stores import Stores
from pipelines.training import train_version

QUICK = 'baselines = ["constant", "linear"]\nresamples = 100\n'
SETTINGS = f"""test_share = 0.3
[monitor]
window = "day"
[evaluate]
slices = ["kind", "flag * noise: 2 bins", "weekday"]
at_most = 1.6
least_rows = 40
{QUICK}"""


@pytest.fixture
def trained(make_stores: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stores]:
    """The stores of a project over twelve days with a first version, which evaluations open."""

    def train(more: str = SETTINGS, frame: Any = None, **settings: Any) -> Stores:
        frame = streams.stream(12, 100, **settings) if frame is None else frame
        stores: Stores = make_stores(frame, more)
        train_version(stores, prepare_rows(stores.project))
        monkeypatch.setattr(
            "pipelines.evaluate.open_stores", lambda project: dataclasses.replace(stores, memo={})
        )
        return stores

    return train


@pytest.fixture(scope="module")
def found(make_stores: Callable[..., Any]) -> Iterator[tuple[Stores, Evaluation]]:
    """One evaluation with everything, of a network that is a straight line."""
    stores: Stores = make_stores(streams.stream(12, 100), SETTINGS)
    train_version(stores, prepare_rows(stores.project))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.evaluate.open_stores", lambda project: stores)
        told: list[str] = []
        yield stores, evaluate(stores.project, Wish(fits=2, runs=2, training_rows=True), progress=told.append)


# --- what is found ---


def test_it_says_which_version_on_which_rows(found: tuple[Stores, Evaluation]) -> None:
    subject, judged = found[1].subject, found[1].judged
    assert (subject.version, subject.task, subject.loss_name) == (1, "binary", "binary_crossentropy")
    assert (judged.rows, judged.tuned) == (360, False)
    assert "data.test_share held out" in judged.source
    assert judged.first.startswith("2021-01-09")
    assert "rows" in judged.intervals


def test_the_version_stands_first_with_intervals_and_beside_it_what_it_has_to_beat(
    found: tuple[Stores, Evaluation],
) -> None:
    comparison = found[1].comparison
    assert [model.name for model in comparison.models] == [
        "version 1",
        "the best constant",
        "the linear model",
    ]
    loss = comparison.scores.loss
    assert loss.low < loss.value < loss.high
    assert {"accuracy", "auc", "brier", "calibration_error"} <= {
        one.name for one in comparison.scores.figures
    }
    assert comparison.verdicts[0].startswith("version 1 beats the best constant: loss 0.")
    assert "the linear model" in comparison.verdicts[1]
    assert 0 < comparison.calibration_limit < 0.2


def test_declared_slices_are_judged_one_by_one(found: tuple[Stores, Evaluation]) -> None:
    kind, crossed, weekday = found[1].declared
    assert kind.name == "kind"
    assert {one.name for one in kind.slices} == {
        "kind = shop",
        "kind = web",
        "kind = phone",
    }  # the others are few
    assert crossed.name == "flag * noise: 2 bins"
    assert all(one.rows >= 40 and one.at_most == 1.6 for one in crossed.slices)
    assert {one.name for one in weekday.slices} <= {
        f"weekday = {day}" for day in ("Saturday", "Sunday", "Monday", "Tuesday")
    }


def test_what_matters_is_told_by_column(found: tuple[Stores, Evaluation]) -> None:
    inputs = found[1].inputs
    assert inputs.shuffled_rows == 360
    assert {one.column for one in inputs.shuffled} == {
        "wind",
        "heat",
        "rain",
        "noise",
        "size",
        "kind",
        "flag",
    }
    assert {one.column for one in inputs.shuffled[:2]} == {"wind", "heat"}
    assert not next(one for one in inputs.shuffled if one.column == "noise").matters


def test_a_network_without_gradients_is_said(found: tuple[Stores, Evaluation]) -> None:
    assert found[1].inputs.attributed is None
    assert any(notice.startswith("integrated gradients were left out") for notice in found[1].notices)


def test_repeated_trainings_say_why_it_is_not_better(found: tuple[Stores, Evaluation]) -> None:
    repeats = found[1].repeats
    assert repeats is not None
    assert repeats.bias_variance is not None
    assert (repeats.bias_variance.fits, repeats.bias_variance.kind) == (2, "log loss")
    assert repeats.bias_variance_verdict
    loss = next(curve for curve in repeats.curves if curve.metric == "loss")
    assert [point.rows for point in loss.points] == [165, 330, 660]
    assert [curve.metric for curve in repeats.curves] == [law.metric for law in repeats.more_rows]
    assert len(repeats.more_rows_verdicts) == len(repeats.curves)


def test_rows_that_taught_are_valued(found: tuple[Stores, Evaluation]) -> None:
    valued = found[1].training_rows
    assert valued is not None
    assert valued.looked_at == 660
    assert {row.target for row in valued.worst} <= {"0", "1"}
    assert any("what the rows that taught are worth" in line for line in found[1].lines())


def test_it_is_kept_in_the_run_of_the_version(found: tuple[Stores, Evaluation]) -> None:
    stores, evaluation = found
    version = stores.registry.version(1)
    kept = stores.registry.folder / "runs" / version.run_id / EVALUATION  # type: ignore[attr-defined]
    assert json.loads(kept.read_text()) == json.loads(to_json(evaluation))
    picture = stores.registry.read(version.run_id, "pictures/learning_curve.png")
    assert picture is not None
    assert any(line.startswith("the learning curves are drawn in ") for line in evaluation.lines())
    figures = stores.registry.figures(version.run_id)
    assert figures["evaluate_loss"] == evaluation.comparison.scores.loss.value
    assert figures["evaluate_auc"] > 0.7


def test_everything_is_said_in_lines_without_a_line_of_nothing_twice(
    found: tuple[Stores, Evaluation],
) -> None:
    lines = found[1].lines()
    assert lines[0].startswith("version 1 of")
    assert ("", "") not in set(pairwise(lines))
    text = "\n".join(lines)
    for part in (
        "AUC",
        "the best constant",
        "calibration error",
        "slices by kind",
        "weakest slices",
        "what matters",
    ):
        assert part in text
    for part in ("bias and variance (log loss)", "learning curve: loss", "kept as evaluation.json"):
        assert part in text


# --- what is chosen ---


def test_the_champion_is_judged_or_the_newest_or_the_one_that_is_named(
    trained: Callable[..., Stores],
) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    assert evaluate(stores.project).subject.version == 1
    with pytest.raises(UserError, match="has no version 7"):
        evaluate(stores.project, Wish(version=7))


def test_a_project_without_a_version_says_what_comes_first(
    make_stores: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = make_stores(streams.stream(2, 50))
    monkeypatch.setattr("pipelines.evaluate.open_stores", lambda project: stores)
    with pytest.raises(UserError, match="has no version yet"):
        evaluate(stores.project)


def test_two_versions_are_set_against_each_other(trained: Callable[..., Stores]) -> None:
    stores = trained(f"test_share = 0.3\n[evaluate]\n{QUICK}")
    retrained(stores)
    found = evaluate(stores.project, Wish(version=2, against=1))
    assert [model.name for model in found.comparison.models[:2]] == ["version 2", "version 1"]
    assert found.comparison.contests[0].loss.value == 0  # two straight lines are the same line
    with pytest.raises(UserError, match="--against 2: that is the version that is judged"):
        evaluate(stores.project, Wish(version=2, against=2))


def retrained(stores: Stores) -> None:
    """A second version, of another network over the same rows."""
    config = stores.project.config
    other = dataclasses.replace(config, network=dataclasses.replace(config.network, hidden=(8,)))
    object.__setattr__(stores, "project", dataclasses.replace(stores.project, config=other))
    train_version(stores, prepare_rows(stores.project))


def test_the_one_that_serves_is_judged_before_a_newer_one(trained: Callable[..., Stores]) -> None:
    stores = trained(f"test_share = 0.3\n[evaluate]\n{QUICK}")
    retrained(stores)
    assert evaluate(stores.project).subject.version == 2
    stores.registry.promote(1, expected=None, author="test", reason="test")
    assert evaluate(stores.project).subject.version == 1


def test_an_updated_version_is_set_against_the_one_before(trained: Callable[..., Stores]) -> None:
    stores = trained(f"test_share = 0.3\n[evaluate]\n{QUICK}")
    retrained(stores)
    versions: Any = stores.registry._versions  # type: ignore[attr-defined]
    versions[2] = dataclasses.replace(versions[2], parent=1)
    found = evaluate(stores.project, Wish(version=2))
    assert [model.name for model in found.comparison.models][:2] == ["version 2", "version 1"]


def test_a_version_that_predicts_something_else_is_left_out(trained: Callable[..., Stores]) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    rows, later = stores.project.folder / "rows.csv", stores.project.folder / "later.csv"
    for path, frame in (
        (rows, streams.stream(12, 100)),
        (later, streams.stream(16, 100, seed=1).iloc[1200:]),
    ):
        frame.assign(y=np.where(frame["y"] > 0, "late", "on time")).to_csv(path, index=False)
    train_version(stores, prepare_rows(stores.project))
    found = evaluate(stores.project, Wish(version=2, against=1, file=later))
    assert "version 1" not in [model.name for model in found.comparison.models]
    assert "version 1 was left out: its target has other classes" in found.notices


def test_many_rows_are_drawn_which_is_said(trained: Callable[..., Stores]) -> None:
    stores = trained(f"test_share = 0.3\n[evaluate]\nmost_rows = 200\n{QUICK}")
    found = evaluate(stores.project)
    assert found.judged.rows == 200
    assert "200 of 360 rows are judged, drawn at random (evaluate.most_rows)" in found.notices


def test_rows_that_stopped_the_training_are_a_last_resort_which_is_said_first(
    trained: Callable[..., Stores],
) -> None:
    found = evaluate(trained(f"[evaluate]\n{QUICK}").project)
    assert found.judged.tuned
    assert "they flatter it a little" in found.lines()[0]


def test_without_the_rows_of_the_training_there_are_no_rivals(trained: Callable[..., Stores]) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    with (stores.project.folder / "rows.csv").open("a") as file:
        streams.stream(16, 100, seed=1).iloc[1200:].to_csv(file, index=False, header=False)
    for path in (stores.project.state / "prepared").rglob("*.json"):
        path.unlink()
    found = evaluate(stores.project, Wish(fits=2))
    assert [model.name for model in found.comparison.models] == ["version 1"]
    assert found.repeats is None
    assert any(
        "no baselines and no repeated trainings: the prepared rows" in notice for notice in found.notices
    )


# --- tasks and losses ---


def test_a_quantity_is_judged_in_its_own_unit(trained: Callable[..., Stores]) -> None:
    found = evaluate(trained(task="regression").project)
    assert found.comparison.scores.figure("r2").value > 0.4
    assert np.isnan(found.comparison.calibration_limit)
    assert any(line.startswith("what was said and what was true") for line in found.lines())


def test_a_network_that_does_not_beat_the_linear_model_is_told_aloud(trained: Callable[..., Stores]) -> None:
    found = evaluate(trained().project)
    linear = next(one for one in found.comparison.contests if one.other == "the linear model")
    assert not linear.loss.better
    assert any(line.startswith("version 1 does not beat the linear model: loss") for line in found.lines())


# --- limits, figures and columns of the user's own ---


def test_a_limit_that_is_broken_beyond_chance_fails_the_command(trained: Callable[..., Stores]) -> None:
    frame = streams.stream(12, 100)
    frame.loc[frame["kind"] == "web", "y"] = np.arange((frame["kind"] == "web").sum()) % 2  # pure noise
    found = evaluate(trained(SETTINGS.replace("1.6", "1.05"), frame).project)
    assert [one.name for one in found.over_budget if one.name.startswith("kind")] == ["kind = web"]
    assert found.failed
    assert any(
        "kind = web: the loss is 1." in line and "at most 1.05 times" in line for line in found.lines()
    )
    assert found.lines()[-1].startswith("a limit is broken; ")


def test_within_its_limits_the_command_is_done(found: tuple[Stores, Evaluation]) -> None:
    assert not found[1].failed


def test_a_weak_group_is_found_without_being_named(trained: Callable[..., Stores]) -> None:
    frame = streams.stream(40, 200)
    web = (frame["kind"] == "web") & frame["flag"]
    frame.loc[web, "y"] = np.arange(web.sum()) % 2
    found = evaluate(trained(f"test_share = 0.5\n[evaluate]\n{QUICK}", frame).project)
    assert found.search.weak[0].name in ("kind = web and flag = True", "flag = True and kind = web")
    assert any(
        line.startswith("rows where ") and "p " in line and "adjusted" in line for line in found.lines()
    )


def test_a_column_that_the_network_never_sees_makes_slices(trained: Callable[..., Stores]) -> None:
    more = f'drop = ["kind"]\ntest_share = 0.3\n[evaluate]\nslices = ["kind"]\nleast_rows = 40\n{QUICK}'
    found = evaluate(trained(more).project)
    assert "kind = web" in {one.name for one in found.declared[0].slices}
    assert "kind" not in {one.column for one in found.inputs.shuffled}


def test_the_classes_of_the_target_make_slices(trained: Callable[..., Stores]) -> None:
    more = f'test_share = 0.3\n[evaluate]\nslices = ["y"]\nleast_rows = 40\n{QUICK}'
    found = evaluate(trained(more).project)
    assert {one.name for one in found.declared[0].slices} == {"y = 0", "y = 1"}
    assert not any("y = " in one.name for one in found.search.weak)


def test_a_column_that_nobody_can_group_is_not_searched(trained: Callable[..., Stores]) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    path = stores.project.folder / "later.csv"
    streams.stream(16, 100, seed=1).iloc[1200:].assign(odd=np.inf).to_csv(path, index=False)
    assert evaluate(stores.project, Wish(file=path)).search.looked_at > 0


@pytest.mark.parametrize(
    ("slices", "complaint"),
    [
        ('"knd"', "there is no column 'knd'"),
        ('"kind: 4 bins"', "column 'kind' holds names; expected numbers for bins"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_before_the_work(
    trained: Callable[..., Stores], slices: str, complaint: str
) -> None:
    stores = trained(f"[evaluate]\nslices = [{slices}]\n{QUICK}")
    told: list[str] = []
    with pytest.raises(UserError, match=complaint):
        evaluate(stores.project, progress=told.append)
    assert told == ["looking for rows that the version has not seen"]


def own(folder: Path, body: str) -> None:
    (folder / "figures.py").write_text(f"import numpy as np\n{body}", "utf-8")


def test_figures_of_the_users_own_have_intervals_too(trained: Callable[..., Stores]) -> None:
    stores = trained(f'test_share = 0.3\n[evaluate]\nmetrics = ["figures:caught"]\n{QUICK}')
    own(
        stores.project.folder,
        "def caught(targets, answers):\n"
        "    return float(((answers[:, 0] > 0.2) & (targets > 0)).sum() / targets.sum())\n"
        "caught.higher_is_better = True\n",
    )
    found = evaluate(stores.project)
    figure = found.comparison.scores.figure("figures:caught")
    assert figure.low < figure.value < figure.high
    contest = next(one for one in found.comparison.contests if one.other == "the linear model")
    assert next(one for one in contest.differences if one.name == "figures:caught").direction == 1
    assert "evaluate_figures:caught" not in found.figures()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "def caught(targets, answers):\n    return 1 / 0\n",
            "evaluate.metrics = 'figures:caught' raised ZeroDivisionError",
        ),
        (
            "def caught(targets, answers):\n    return np.ones(3)\n",
            "expected one number, or one number a row",
        ),
        ("def other(): ...\n", "figures has no 'caught'"),
    ],
)
def test_a_mistaken_figure_is_told_as_the_users(
    trained: Callable[..., Stores], body: str, complaint: str
) -> None:
    stores = trained(f'test_share = 0.3\n[evaluate]\nmetrics = ["figures:caught"]\n{QUICK}')
    own(stores.project.folder, body)
    with pytest.raises(UserError, match=complaint):
        evaluate(stores.project)


# --- what is wrong ---


def test_rows_that_do_not_fit_the_version_are_refused_with_all_their_faults(
    trained: Callable[..., Stores],
) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    path = stores.project.folder / "odd.csv"
    frame = streams.stream(16, 100, seed=1).iloc[1200:].drop(columns="wind").assign(heat="warm")
    pd.DataFrame(frame).to_csv(path, index=False)
    with pytest.raises(
        UserError, match=r"do not fit what the version was made for:\n.*'wind' is missing.*\n.*'heat'"
    ):
        evaluate(stores.project, Wish(file=path))


def test_a_network_that_answers_nan_is_not_judged(
    trained: Callable[..., Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    monkeypatch.setattr(
        "pipelines.scoring.Scorer.predict_inputs", lambda self, inputs: np.full((len(inputs), 1), np.nan)
    )
    with pytest.raises(Failed, match="answers 180 of 180 rows with NaN or infinity"):
        evaluate(stores.project)


def test_a_network_that_was_changed_since_is_said_where_it_is_trained_again(
    trained: Callable[..., Stores],
) -> None:
    stores = trained(f"[evaluate]\n{QUICK}")
    config = stores.project.config
    changed = dataclasses.replace(config, network=dataclasses.replace(config.network, hidden=(8,)))
    project = dataclasses.replace(stores.project, config=changed)
    object.__setattr__(stores, "project", project)
    found = evaluate(project, Wish(fits=2))
    assert any("[network] as it is now: hidden differ" in notice for notice in found.notices)


# --- with real networks ---


@pytest.mark.slow
def test_a_real_network_is_judged_from_the_command_line(tmp_path: Path) -> None:
    streams.stream(12, 100).to_csv(tmp_path / "rows.csv", index=False)
    head = '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n'
    (tmp_path / "losswatch.toml").write_text(f"{head}{SETTINGS}[network]\nhidden = [8]\n", "utf-8")
    commands.losswatch("train", "--quiet", folder=tmp_path)
    out = commands.losswatch("evaluate", "--json", "--bias-variance", "2", folder=tmp_path)
    found = json.loads(out)
    assert found["subject"]["version"] == 1
    attributed = found["inputs"]["attributed"]
    assert {one["column"] for one in attributed["columns"][:3]} >= {"wind", "heat"}
    assert attributed["unexplained"] < 0.05
    assert found["repeats"]["bias_variance"]["fits"] == 2
    assert len(list(tmp_path.rglob(EVALUATION))) == 1
    said = commands.losswatch("evaluate", "--bias-variance", "1", folder=tmp_path, code=2)
    assert said == ""
