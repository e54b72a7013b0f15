from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.answer import to_json
from pipelines.check import CheckResult, check
from pipelines.prepared import prepare_rows
from pipelines.problem import Problem
from pipelines.project import open_project

Make = Callable[..., CheckResult]

FILE = '[data]\npath = "rides.csv"\ntarget = "{target}"\ntime = "time"\n'


def rides(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    wind = rng.normal(10, 3, rows).round(2)
    late = np.where(wind + rng.normal(0, 2, rows) > 10, "late", "on time")
    return pd.DataFrame(
        {
            "time": pd.date_range("2013-01-01", periods=rows, freq="3h").astype(str),
            "wind": wind,
            "carrier": rng.choice(["UA", "DL"], rows),
            "late": late,
            "delay": (wind * 3 + rng.normal(0, 5, rows)).round(1),
        }
    )


@pytest.fixture
def checked(tmp_path: Path) -> Make:
    """Checks a project of these rows, with these further sections and modules."""

    def make(
        frame: pd.DataFrame | None = None,
        more: str = "",
        *,
        target: str = "late",
        drop: str = '"delay"',
        modules: Mapping[str, str] | None = None,
    ) -> CheckResult:
        (rides() if frame is None else frame).to_csv(tmp_path / "rides.csv", index=False)
        data = FILE.format(target=target) + f"drop = [{drop}]\n"
        (tmp_path / "losswatch.toml").write_text(data + more, "utf-8")
        for name, text in (modules or {}).items():
            (tmp_path / name).write_text(text, "utf-8")
        return check(open_project(tmp_path))

    return make


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the trial of the network out, for tests of everything before it."""

    def no_trial(*_: Any) -> tuple[None, list[Problem]]:
        return None, []

    monkeypatch.setattr("pipelines.check.try_network", no_trial)


def of(result: CheckResult, severity: str) -> list[str]:
    return [problem.text for problem in result.problems if problem.severity == severity]


# --- data ---


@pytest.mark.usefixtures("without_network")
def test_rows_period_window_task_and_classes_are_told(checked: Make) -> None:
    told = checked().lines()
    assert told[0] == (
        "data: 600 rows from 2013-01-01T00:00:00 to 2013-03-16T21:00:00, 3 windows of a month "
        "with 224 rows in the middle one"
    )
    assert told[1] == "target: 'late', binary of late, on time; 2 columns become 5 inputs"


@pytest.mark.usefixtures("without_network")
def test_the_table_tells_problems_first_and_then_what_is_in_order(checked: Make) -> None:
    frame = rides()
    told = checked(pd.concat([frame, frame.iloc[:60]])).lines()
    assert told[2].split() == ["check", "result", "what", "was", "found"]
    first = told.index(next(line for line in told if line.startswith("identical rows  ")))
    assert "warning   60 of 660 rows (9.1%) are copies of another row" in told[first]
    assert [line.split("  ")[0] for line in told if line.endswith("in order")][:2] == [
        "expected columns",
        "missing target",
    ]


@pytest.mark.usefixtures("without_network")
def test_rows_are_compared_with_those_that_were_prepared_before(checked: Make, tmp_path: Path) -> None:
    checked(more='[monitor]\nwindow = "week"\n')
    prepare_rows(open_project(tmp_path))
    assert of(checked(more='[monitor]\nwindow = "week"\n'), "warning") == []
    found = checked(rides().drop(columns="carrier").assign(rain=1.5 * rides()["wind"] ** 2))
    told = [problem.text for problem in found.problems if problem.check == "expected columns"]
    assert told == [
        "column 'carrier' was there in the rows prepared before and is gone",
        "column 'rain' was not there in the rows prepared before",
    ]


@pytest.mark.usefixtures("without_network")
def test_a_validation_part_of_another_kind_is_a_warning(checked: Make) -> None:
    frame = rides()
    found = checked(
        frame.assign(wind=np.where(np.arange(len(frame)) < 510, frame["wind"], frame["wind"] + 9))
    )
    told = [problem.text for problem in found.problems if problem.check == "drift in the split"]
    assert len(told) == 1
    assert told[0].startswith("the validation rows differ from the training rows in 'wind' (")


@pytest.mark.usefixtures("without_network")
def test_nothing_is_kept(checked: Make, tmp_path: Path) -> None:
    assert not checked().failed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losswatch.toml", "rides.csv"]


@pytest.mark.usefixtures("without_network")
def test_a_column_that_gives_the_target_away_is_a_fault(checked: Make) -> None:
    result = checked(rides().assign(again=rides()["late"].eq("late").astype(int)))
    assert result.failed
    assert of(result, "fault") == [
        "column 'again' gives the target 'late' away: a threshold separates its classes. "
        "Write it into drop in [data]"
    ]


@pytest.mark.usefixtures("without_network")
def test_all_problems_of_all_parts_are_told_together(checked: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_HOOK", raising=False)
    result = checked(
        rides().assign(when=pd.Timestamp("2013-01-01")),
        '[network]\nloss = "own:missing"\n[alerts]\nwebhook = "env:NO_SUCH_HOOK"\n[store]\nlog = "taken/log"\n',
        modules={"taken": "a file"},
        drop='"dleay"',
    )
    about = [problem.about for problem in result.problems if problem.severity == "fault"]
    assert about == ["store.log", "alerts.webhook", "network.loss", "data"]
    assert "the nearest is 'delay'" in of(result, "fault")[-1]
    assert result.data is None


@pytest.mark.usefixtures("without_network")
def test_a_class_that_only_the_newest_rows_have_is_a_fault(checked: Make) -> None:
    frame = rides()
    frame.loc[590:, "late"] = "diverted"
    found = of(checked(frame), "fault")
    assert len(found) == 1
    assert found[0].startswith("among the newest 15% of the rows, column 'late' has 10 values")


@pytest.mark.usefixtures("without_network")
def test_data_without_times_are_a_fault_and_the_rest_is_still_checked(checked: Make, tmp_path: Path) -> None:
    rides().drop(columns="time").to_csv(tmp_path / "rides.csv", index=False)
    (tmp_path / "losswatch.toml").write_text('[data]\npath = "rides.csv"\ntarget = "late"\n', "utf-8")
    result = check(open_project(tmp_path))
    assert ["names no time" in text for text in of(result, "fault")] == [True]
    assert result.schema is not None


@pytest.mark.usefixtures("without_network")
def test_too_few_rows_and_windows_are_warnings(checked: Make) -> None:
    result = checked(rides(60), '[monitor]\nwindow = "day"\n')
    assert not result.failed
    few, rows = of(result, "warning")
    assert few.startswith("60 rows have a target, which leaves 9 to stop the training")
    assert rows.startswith("the middle window holds 8 rows with a target, and fewer than 30 are not judged")
    long = of(checked(), "warning")
    assert long == [
        "the data fill 3 windows; below 4 the spread of the loss from window to window is mostly guessed. "
        "Bring a longer time, or set a shorter [monitor] window"
    ]


@pytest.mark.usefixtures("without_network")
def test_a_column_that_says_nothing_is_a_warning(checked: Make) -> None:
    names = [f"passenger {number}" for number in range(600)]
    found = of(checked(rides().assign(year=2013, who=names), '[monitor]\nwindow = "week"\n'), "warning")
    assert [text.split(",")[0] for text in found] == [
        "column 'year' is the same in all older rows",
        "column 'who' has hardly any value twice",
    ]


@pytest.mark.usefixtures("without_network")
def test_windows_beyond_counting_are_told(checked: Make) -> None:
    frame = rides()
    frame.loc[0, "time"] = "1700-01-01 00:00:00"
    found = of(checked(frame, '[monitor]\nwindow = "1min"\n'), "fault")
    assert len(found) == 1
    assert "look for a wrong time among the rows" in found[0]


@pytest.mark.usefixtures("without_network")
def test_a_load_that_raises_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "rides.py").write_text("def load():\n    return 1 / 0\n", "utf-8")
    (tmp_path / "losswatch.toml").write_text('[data]\nload = "rides:load"\ntarget = "late"\n', "utf-8")
    found = of(check(open_project(tmp_path)), "fault")
    assert found == [
        "data.load = 'rides:load' raised ZeroDivisionError: division by zero, line 2 of rides.py"
    ]


@pytest.mark.usefixtures("without_network")
def test_stores_that_cannot_be_used_are_told_each(checked: Make) -> None:
    more = '[store]\ntracking = "http://127.0.0.1:9"\nartifacts = "rides.csv/artifacts"\nlog = "old"\n'
    result = checked(more=more, modules={})
    assert [problem.about for problem in result.problems if problem.severity == "fault"] == [
        "store.tracking",
        "store.artifacts",
    ]


@pytest.mark.usefixtures("without_network")
def test_a_log_of_another_version_is_told(checked: Make, tmp_path: Path) -> None:
    (tmp_path / ".losswatch" / "log").mkdir(parents=True)
    (tmp_path / ".losswatch" / "log" / "version").write_text("99\n")
    assert ["a log of version '99'" in text for text in of(checked(), "fault")] == [True]


# --- loss ---


@pytest.mark.usefixtures("without_network")
def test_a_loss_that_does_not_fit_the_target_is_a_fault(checked: Make) -> None:
    result = checked(more='[network]\nloss = "poisson"\n')
    assert [problem.about for problem in result.problems if problem.severity == "fault"] == ["network.loss"]
    assert "loss 'poisson' does not fit a binary target; expected one of" in of(result, "fault")[0]
    assert "binary_crossentropy" in of(result, "fault")[0]


# --- the network, for which Keras is loaded ---

BUILD = """
import keras

def build(schema):
    inputs = keras.Input((schema.width,))
    {body}
    return keras.Model(inputs, outputs)
"""


def own(body: str) -> dict[str, str]:
    return {"own.py": BUILD.format(body=body.replace("\n", "\n    "))}


USES_OWN = '[monitor]\nwindow = "week"\n[network]\nbuild = "own:build"\n'


@pytest.mark.slow
def test_a_project_in_order_is_told_so(checked: Make, tmp_path: Path) -> None:
    result = checked(more='[monitor]\nwindow = "week"\n')
    assert (result.problems, result.failed) == ((), False)
    assert result.network is not None
    assert result.network.engine == "onnx"
    assert result.lines()[-1].startswith(f"{result.name} is in order, checked in ")
    assert '"problems": []' in to_json(result)
    assert not (tmp_path / ".losswatch").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "outputs = keras.layers.Dense(schema.outputs)(inputs) / no_such_name",
            "network.build = 'own:build' raised NameError: name 'no_such_name' is not defined, line 6 of own.py",
        ),
        ("outputs = keras.layers.Dense(2, activation='softmax')(inputs)", "the target 'late' (binary) needs"),
        (
            "outputs = keras.layers.Dense(1)(inputs) * 9",
            'takes probabilities. End it with keras.layers.Dense(schema.outputs, activation="sigmoid")',
        ),
        (
            "outputs = keras.layers.Lambda(lambda x: x * 0 + 0.5)(keras.layers.Dense(1)(inputs))",
            "a Lambda layer has to become a Layer class",
        ),
    ],
)
def test_a_network_that_will_not_do_is_a_fault(checked: Make, body: str, said: str) -> None:
    found = of(checked(more=USES_OWN, modules=own(body)), "fault")
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.slow
def test_a_loss_that_does_not_fit_hides_no_mistake_of_the_network(checked: Make) -> None:
    body = "outputs = keras.layers.Dense(2, activation='softmax')(inputs)"
    result = checked(more=USES_OWN + 'loss = "poisson"\n', modules=own(body))
    assert [problem.about for problem in result.problems] == ["network.loss", "network.build"]


@pytest.mark.slow
def test_a_network_that_compiles_with_another_loss_is_a_warning(checked: Make) -> None:
    body = (
        "outputs = keras.layers.Dense(1, activation='sigmoid')(inputs)\n"
        "model = keras.Model(inputs, outputs)\nmodel.compile('adam', loss='hinge')\nreturn model"
    )
    result = checked(more=USES_OWN, modules=own(body))
    assert [
        "with loss 'hinge' and it is judged by 'binary_crossentropy'" in text
        for text in of(result, "warning")
    ] == [True]
    assert not result.failed


@pytest.mark.slow
def test_a_loss_that_its_file_changes_is_a_fault(checked: Make) -> None:
    body = (
        "outputs = keras.layers.Dense(1)(inputs)\nmodel = keras.Model(inputs, outputs)\n"
        "model.compile('adam', loss=keras.losses.Huber(delta=9.0))\nreturn model"
    )
    result = checked(more=USES_OWN, modules=own(body), target="delay", drop='"late"')
    assert [
        "the loss, saved and loaded again, gives other numbers" in text for text in of(result, "fault")
    ] == [True]
    whole = '[monitor]\nwindow = "week"\n[network]\nloss = "huber"\nloss_parameters = {delta = 9.0}\n'
    assert of(checked(more=whole, target="delay", drop='"late"'), "fault") == []


@pytest.mark.slow
def test_advice_on_loss_and_optimiser_is_told_before_anything_is_trained(checked: Make) -> None:
    network = 'loss = "mse"\noptimizer = "adadelta"\nschedule = "cosine"\nclass_weights = "balanced"\n'
    result = checked(more='[monitor]\nwindow = "week"\n[network]\n' + network)
    assert not result.failed
    assert [problem.about for problem in result.problems if problem.about.startswith("network")] == [
        "network.optimizer",
        "network.optimizer",
        "network.schedule",
        "network.loss",
    ]
    body = "outputs = keras.layers.Dense(1, activation='relu')(inputs)"
    far = checked(
        rides().assign(delay=-rides()["delay"]), USES_OWN, modules=own(body), target="delay", drop='"late"'
    )
    assert "of the targets, which go from" in of(far, "fault")[0]


@pytest.mark.slow
def test_mistaken_parameters_of_a_loss_hide_no_mistake_of_the_network(checked: Make) -> None:
    network = 'loss = "bce"\nloss_parameters = {from_logits = true}\n'
    result = checked(more='[monitor]\nwindow = "week"\n[network]\n' + network)
    assert ["the mlp answers probabilities" in text for text in of(result, "fault")] == [True]


@pytest.mark.slow
def test_a_loss_of_the_users_own_must_give_a_number_a_row(checked: Make) -> None:
    loss = "import keras\n\ndef mean(y, p):\n    return keras.ops.mean(keras.ops.square(y - p))\n"
    result = checked(
        more='[monitor]\nwindow = "week"\n[network]\nloss = "own:mean"\n',
        target="delay",
        drop='"late"',
        modules={"own.py": loss},
    )
    assert ["expected one number a row" in text for text in of(result, "fault")] == [True]


@pytest.mark.slow
def test_a_loss_of_the_users_own_that_raises_names_file_and_line(checked: Make) -> None:
    result = checked(
        more='[monitor]\nwindow = "week"\n[network]\nloss = "own:odd"\n',
        target="delay",
        drop='"late"',
        modules={"own.py": "def odd(y, p):\n    return [][1]\n"},
    )
    assert [
        "IndexError: list index out of range, line 2 of own.py" in text for text in of(result, "fault")
    ] == [True]


@pytest.mark.slow
def test_a_network_that_onnx_cannot_hold_is_a_warning(checked: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from models import export

    def refuse(*_: Any) -> None:
        raise export.NotExportable("The network cannot be written as ONNX: no such operation.")

    monkeypatch.setattr(export, "export_onnx", refuse)
    result = checked(more='[monitor]\nwindow = "week"\n')
    assert not result.failed
    assert of(result, "warning") == [
        "The network cannot be written as ONNX: no such operation. It will be served by Keras, slower, "
        "and all else works"
    ]
    assert result.network is not None
    assert result.network.engine == "keras"


@pytest.mark.slow
def test_a_layer_of_the_users_own_that_onnx_cannot_hold_is_a_fault(
    checked: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models import export

    def refuse(*_: Any) -> None:
        raise export.NotExportable("The network cannot be written as ONNX: no such operation.")

    monkeypatch.setattr(export, "export_onnx", refuse)
    half = "class Half(keras.layers.Layer):\n    def call(self, x):\n        return x / 2\n"
    body = "outputs = keras.layers.Activation('sigmoid')(Half()(keras.layers.Dense(1)(inputs)))"
    module = own(body)["own.py"] + "\n" + half
    found = of(checked(more=USES_OWN, modules={"own.py": module}), "fault")
    assert len(found) == 1
    assert "the server does not know layers of your own" in found[0]
