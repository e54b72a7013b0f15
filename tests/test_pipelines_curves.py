"""The curve of a training drawn at its end, and looked at again: page, pictures, words, and what stands in the way."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streams

from models.diagnosis import Diverged
from models.history import EpochLoss
from models.rate_range import read_losses
from pipelines import curve_picture, curves, steps, training
from pipelines.answer import to_json
from pipelines.curves import curve, draw_run
from pipelines.errors import Failed, UserError
from pipelines.kept_rates import keep_rates
from pipelines.prepared import prepare_rows
from pipelines.registry import Registry
from pipelines.stores import Stores

SMALL = "[monitor]\nwindow = 'day'\n[network]\nhidden = [4]\n"


@pytest.fixture
def stores(make_stores: Callable[..., Any]) -> Stores:
    opened: Stores = make_stores(streams.stream(4, 100), SMALL)
    opened.project.state.mkdir()  # a registry in memory lasts as long as its folder
    return opened


@dataclasses.dataclass(frozen=True)
class Ended:
    stores: Stores
    result: steps.TrainResult


@pytest.fixture(scope="module")
def ended(make_stores: Callable[..., Any]) -> Ended:
    """A project with one training, drawn at its end, to be looked at."""
    opened: Stores = make_stores(streams.stream(4, 100), SMALL)
    opened.project.state.mkdir()
    return Ended(opened, steps.train(opened.project))


def diverges(*arguments: Any, on_epoch: Any, **more: Any) -> Any:
    on_epoch(EpochLoss(0, 0.65, 0.6, 1e-3, 0.1))
    raise Diverged(1, 0)


# --- at the end of a training ---


def test_a_training_ends_with_its_pictures_in_its_run(ended: Ended) -> None:
    stores, result = ended.stores, ended.result
    page = stores.registry.read(result.run_id, "pictures/training.html")
    assert page is not None
    assert b"training of version 1" in page
    assert result.page is not None
    assert Path(result.page).read_bytes() == page
    for name in ("loss.png", "gradients.png"):
        content = stores.registry.read(result.run_id, f"pictures/{name}")
        assert content is not None
        assert content.startswith(b"\x89PNG")
        assert Path(result.page).with_name(name).read_bytes() == content


def test_the_end_of_a_training_shows_its_curve_and_its_json_does_not(ended: Ended) -> None:
    result = ended.result
    lines = result.lines()
    assert any(line.startswith("training  ") for line in lines)
    assert any(line.startswith("validation") and "kept is epoch 2" in line for line in lines)
    assert f"its curve: {result.page}" in lines
    assert "chart" not in json.loads(to_json(result))
    assert json.loads(to_json(result))["page"] == result.page


def test_what_was_trained_before_is_not_drawn_again(ended: Ended) -> None:
    stores = ended.stores
    again = steps.train(stores.project)
    assert (again.skipped, again.page, again.chart) == (True, None, ())


def test_what_was_killed_before_it_was_drawn_is_drawn_by_the_next_call(stores: Stores) -> None:
    training.train_version(stores, prepare_rows(stores.project))
    again = steps.train(stores.project)
    assert again.skipped
    assert again.page is not None
    assert stores.registry.read(again.run_id, "pictures/training.html") is not None


def test_a_store_that_does_not_say_what_is_drawn_stops_nothing(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any) -> Any:
        raise UserError("no MLflow server answers")

    monkeypatch.setattr(type(ended.stores.registry), "read", away)
    assert steps.train(ended.stores.project).skipped


def test_a_retraining_is_drawn_too(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = steps.RetrainResult(3, "concept change", "refit", 1, True, ("why",))
    nothing = dataclasses.replace(asked, challenger=None)
    for result in (asked, nothing):
        monkeypatch.setattr(steps, "retrain_stores", lambda stores, now, result=result: result)
        page = steps.retrain(ended.stores.project, ended.stores.project.now()).page
        assert page == (ended.result.page if result.challenger else None)
    assert dataclasses.replace(asked, page="here").lines()[-1] == "its curve: here"


def test_a_picture_that_fails_loses_no_training(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(curve_picture, "pictures", broken)
    result = steps.train(stores.project)
    assert stores.registry.versions()[0].version == result.version == 1
    assert result.page is None
    assert (
        "its pictures could not be drawn (RuntimeError: no fonts); losswatch curve tries again"
        in result.lines()
    )


def test_a_training_that_fails_names_its_page(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "first_fit", diverges)
    with pytest.raises(Failed, match="the training diverged") as refusal:
        steps.train(stores.project)
    page = Path(str(refusal.value).rpartition("its curve: ")[2])
    assert page.parent.name.startswith("run-")
    assert "nothing was registered: the training diverged" in page.read_text("utf-8")
    run = stores.registry.runs()[0]
    assert stores.registry.read(run.run_id, "pictures/loss.png") is not None


def test_what_fails_before_a_training_draws_none(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = ended.stores

    def fails(*arguments: Any, **more: Any) -> Any:
        raise Failed("no rows")

    monkeypatch.setattr(steps, "train_version", fails)
    with pytest.raises(Failed, match=r"^no rows$"):
        steps.train(stores.project)


def test_a_store_that_does_not_answer_hides_no_failure(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any) -> Any:
        raise UserError("no MLflow server answers")

    monkeypatch.setattr(training, "first_fit", diverges)
    monkeypatch.setattr(type(stores.registry), "runs", away)
    with pytest.raises(Failed, match="the training diverged"):
        steps.train(stores.project)


def test_a_training_inside_a_replay_is_not_drawn(stores: Stores) -> None:
    trained = training.train_version(stores, prepare_rows(stores.project))
    assert stores.registry.read(trained.version.run_id, "pictures/training.html") is None
    assert not (stores.project.state / "pictures").exists()


@pytest.mark.slow
def test_the_pictures_lie_in_the_run_of_mlflow(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts", stores.project.name)
    real = dataclasses.replace(stores, registry=registry)
    for module in (steps, curves):
        monkeypatch.setattr(module, "open_stores", lambda project: real)
    result = steps.train(stores.project)
    folder = tmp_path / "artifacts" / result.run_id / "artifacts"
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == [
        "gradients.png",
        "loss.png",
        "training.html",
    ]
    assert {"training.json", "steps.parquet"} < {path.name for path in folder.iterdir()}
    found = curve(stores.project, version=1, folder=tmp_path / "again")
    assert Path(found.page).read_bytes() == (folder / "pictures" / "training.html").read_bytes()

    monkeypatch.setattr(training, "first_fit", diverges)
    (stores.project.folder / "rows.csv").write_text(
        (stores.project.folder / "rows.csv").read_text("utf-8").rpartition("\n")[0].rpartition("\n")[0] + "\n"
    )
    with pytest.raises(Failed, match=r"its curve: .*run-"):
        steps.train(stores.project)
    assert curve(stores.project, folder=tmp_path / "failed").failure.startswith("nothing was registered")


# --- looked at again ---


def test_the_newest_training_is_looked_at_by_default(ended: Ended) -> None:
    stores, trained = ended.stores, ended.result
    found = curve(stores.project)
    assert (found.version, found.run_id, found.kind) == (1, trained.run_id, "fit")
    assert found.title == f"{stores.project.name}: training of version 1"
    assert len(found.epochs) == trained.epochs
    assert found.best_epoch == trained.best_epoch
    assert found.diagnosis == trained.diagnosis
    assert set(found.baselines) == {"constant", "simple", "trees"}
    assert found.steps == 12
    assert found.lines()[:4] == [found.title, found.summary, *trained.chart]
    assert found.lines()[4].startswith("beside it: best constant ")
    assert found.lines()[-2:] == [
        f"page: {trained.page}",
        "pictures: loss.png, gradients.png, beside it",
    ]
    told = json.loads(to_json(found))
    assert "shown" not in told
    assert told["epochs"][0]["learning_rate"] == 0.001


def test_a_version_or_a_run_can_be_named(ended: Ended, tmp_path: Path) -> None:
    stores, trained = ended.stores, ended.result
    by_version = curve(stores.project, version=1, folder=tmp_path / "new" / "folder")
    assert by_version.page == str(tmp_path / "new" / "folder" / "training.html")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "gradients.png",
        "loss.png",
        "training.html",
    ]
    by_run = curve(stores.project, run=trained.run_id, folder=tmp_path)
    assert dataclasses.replace(by_run, page="", pictures=()) == dataclasses.replace(
        by_version, page="", pictures=()
    )


def test_a_training_that_failed_is_looked_at_with_its_reason(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "first_fit", diverges)
    with pytest.raises(Failed):
        steps.train(stores.project)
    found = curve(stores.project)
    assert (found.version, found.best_epoch, len(found.epochs)) == (None, None, 1)
    assert "nothing was registered: the training diverged: the loss was no longer finite" in found.lines()[3]


def test_a_training_that_goes_on_is_looked_at_as_far_as_it_is(stores: Stores) -> None:
    with stores.registry.run("fit-x", kind="fit", parameters={}, tags={}) as run:
        run.epoch(EpochLoss(0, 0.7, 0.6, 1e-3, 0.1))
        run.epoch(EpochLoss(1, 0.5, 0.5, 1e-3, 0.1))
        found = curve(stores.project)
    assert found.summary == "loss: 2 epochs, not finished"
    assert found.lines()[2].startswith("training    █▁")


def test_a_project_without_a_training_is_told_to_train(stores: Stores) -> None:
    stores.project.state.rmdir()
    with pytest.raises(UserError, match=r"has no training yet\. Begin one with losswatch train"):
        curve(stores.project)
    assert not stores.project.state.exists()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"version": 7}, "has no version 7; there are: 1"),
        ({"run": "zzz"}, r"no run begins with 'zzz'\. The newest are:"),
    ],
)
def test_what_is_not_there_is_answered_with_what_there_is(
    ended: Ended, wish: dict[str, Any], said: str
) -> None:
    stores = ended.stores
    with pytest.raises(UserError, match=said):
        curve(stores.project, **wish)


def test_letters_that_begin_several_runs_name_none(stores: Stores) -> None:
    for key in ("a", "b"):
        with stores.registry.run(key, kind="fit", parameters={}, tags={}):
            pass
    with pytest.raises(UserError, match="several runs begin with 'run'"):
        curve(stores.project, run="run")


def test_a_folder_that_cannot_be_written_is_the_users_mistake(ended: Ended, tmp_path: Path) -> None:
    stores = ended.stores
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: "):
        curve(stores.project, folder=tmp_path / "file" / "in")


def test_a_run_that_is_gone_is_a_warning(ended: Ended) -> None:
    stores = ended.stores
    drawn = draw_run(stores, "nobody")
    assert drawn.page is None
    assert "no run begins with 'nobody'" in drawn.warning


def test_pictures_of_another_training_lie_in_another_folder(ended: Ended) -> None:
    stores = ended.stores
    assert [path.name for path in (stores.project.state / curves.FOLDER).iterdir()] == ["version-1"]


def test_a_rate_range_test_of_the_same_network_is_shown(ended: Ended, tmp_path: Path) -> None:
    project = ended.stores.project
    rates = np.geomspace(1e-4, 1.0, 41)
    keep_rates(project, read_losses(rates, 0.2 + 0.5 / (1 + rates), before=0.7), "x: mse by learning rate")
    found = curve(project, folder=tmp_path)
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert found.pictures[-1] == str(tmp_path / "rates.png")
    assert "By learning rate" in (tmp_path / "training.html").read_text("utf-8")
    (project.state / "rates.json").unlink()
