"""A training's diagnosis in its project: with the version, in the result, and in the way of what must not serve."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streams

from models.curve import Curve
from models.diagnosis import Diverged, diagnose
from models.history import EpochLoss, LossHistory
from models.recipe import NetworkConfig
from pipelines import steps, training
from pipelines.diagnosis import TAG, TrainingDiagnosis, curve_of, diverged, judge
from pipelines.errors import Failed
from pipelines.prepared import prepare_rows
from pipelines.stores import Stores
from pipelines.training import train_version, training_identity

OVERFIT = Curve((1.0, *[0.001] * 9), (1.0, *[0.8] * 9), baselines={"constant": 1.0, "simple": 0.5})


def learned(*losses: tuple[float, float], **metrics: float) -> Any:
    epochs = [EpochLoss(number, *pair, 1e-3, 0.1, metrics) for number, pair in enumerate(losses)]
    return SimpleNamespace(history=LossHistory(tuple(epochs)), model=SimpleNamespace(layers=[]))


def read(found: Any, network: NetworkConfig | None = None, loss: str = "mse", **more: Any) -> Curve:
    given: dict[str, Any] = {
        "steps": {},
        "baselines": {"constant": 1.0},
        "rows": 90,
        "own_network": False,
    } | more
    taken, baselines = given.pop("steps"), given.pop("baselines")
    return curve_of(found, taken, baselines, network or NetworkConfig(), loss=loss, **given)


# --- the curve of a training ---


def test_a_curve_holds_what_was_recorded() -> None:
    taken = {0: np.array([0.9, 0.7]), 1: np.array([0.6, 0.5])}
    curve = read(learned((0.8, 0.7), (0.55, 0.6), penalty=0.1), steps=taken)
    assert (curve.training, curve.validation) == ((0.8, 0.55), (0.7, 0.6))
    assert curve.steps == ((0.9, 0.7), (0.6, 0.5))
    assert (curve.penalties, curve.kept, curve.rows) == ((0.1, 0.1), 1, 90)
    assert curve.settings["hidden"] == (64, 32)
    assert curve.target_loss is None


def test_a_curve_knows_the_loss_that_was_asked_for() -> None:
    curve = read(learned((0.8, 0.7), (0.5, 0.6)), NetworkConfig(target_loss=0.65))
    assert (curve.target_loss, diagnose(curve).remark.split(" because ")[0]) == (0.65, "it ended in epoch 1")


def test_steps_that_are_not_of_all_epochs_are_left_out() -> None:
    assert read(learned((0.8, 0.7), (0.5, 0.6)), steps={1: np.array([0.5])}).steps == ()


@pytest.mark.parametrize(
    "network", [NetworkConfig(class_weights="balanced"), NetworkConfig(label_smoothing=0.1)]
)
def test_a_loss_that_is_altered_in_training_is_another_loss(network: NetworkConfig) -> None:
    assert read(learned((0.8, 0.7)), network).altered
    assert not read(learned((0.8, 0.7))).altered


def test_whether_a_loss_may_be_negative_is_known_of_keras_losses_and_seen_of_others() -> None:
    assert [read(learned((0.8, 0.7)), loss=name).may_be_negative for name in ("mse", "poisson")] == [
        False,
        True,
    ]
    assert read(learned((0.8, -0.7)), loss="mine:cost").may_be_negative
    assert not read(learned((0.8, 0.7)), loss="mine:cost").may_be_negative


# --- judged ---


def test_a_healthy_curve_is_told_in_a_line() -> None:
    found = judge(Curve((0.5, 0.4, 0.4, 0.4)), NetworkConfig(), judges=100)
    assert found == TrainingDiagnosis("healthy", (), ("the loss curve is healthy (4 epochs)",))


def test_weights_that_overfit_are_registered_only_by_saying_so() -> None:
    with pytest.raises(Failed, match="nothing was registered: the weights of epoch 9 overfit") as refusal:
        judge(OVERFIT, NetworkConfig(), judges=100)
    assert str(refusal.value).endswith("or register it all the same: [network] accept_overfit = true")
    assert judge(OVERFIT, NetworkConfig(accept_overfit=True), judges=100).kind == "overfitting"


def test_a_gap_on_a_few_rows_stands_in_nobodys_way() -> None:
    assert judge(OVERFIT, NetworkConfig(), judges=10).kind == "overfitting"


def test_a_run_that_diverged_is_refused_whatever_is_said() -> None:
    gone = Curve((0.5, float("nan")))
    with pytest.raises(Failed, match="the run diverged") as refusal:
        judge(gone, NetworkConfig(accept_overfit=True), judges=100)
    assert "try: [network] learning_rate = 0.0001" in str(refusal.value)
    assert "accept_overfit" not in str(refusal.value)


def test_a_diagnosis_comes_back_from_its_tag() -> None:
    found = judge(OVERFIT, NetworkConfig(accept_overfit=True), judges=100)
    assert TrainingDiagnosis.from_json(found.to_json()) == found
    (finding,) = json.loads(found.to_json())["findings"]
    assert set(finding) == {"kind", "evidence", "causes", "remedies"}
    assert finding["remedies"][0].startswith("[network] dropout = 0.5")


def test_a_training_that_diverged_names_its_rows_by_their_keys() -> None:
    fault = Diverged(2, 17)
    fault.rows = (1,)
    told = str(diverged(fault, NetworkConfig(), {0: "a7", 1: "b3"}))
    assert "the loss was no longer finite in epoch 2, at step 17" in told
    assert "look at the rows b3: they were in that step" in told


# --- in a project ---


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    frame: pd.DataFrame = streams.stream(4, 150)
    return frame


@pytest.fixture
def stores(make_stores: Callable[..., Any], rows: pd.DataFrame) -> Stores:
    opened: Stores = make_stores(rows, '[monitor]\nwindow = "day"\n')
    return opened


def test_a_version_remembers_its_diagnosis(stores: Stores) -> None:
    prepared = prepare_rows(stores.project)
    first, again = (train_version(stores, prepared, trees=True) for _ in range(2))
    assert first.diagnosis is not None
    assert TrainingDiagnosis.from_json(first.version.tags[TAG]) == first.diagnosis == again.diagnosis
    assert again.skipped


def test_train_tells_its_diagnosis(stores: Stores) -> None:
    trained = train_version(stores, prepare_rows(stores.project))
    found = TrainingDiagnosis("plateau", (), ("plateau: it stays", "  try: something"))
    result = steps._train_result(stores, dataclasses.replace(trained, diagnosis=found))
    assert result.lines()[-3:-1] == ["plateau: it stays", "  try: something"]
    assert dataclasses.asdict(result)["diagnosis"]["kind"] == "plateau"


def test_a_training_that_diverges_registers_nothing(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def explodes(*arguments: Any, **more: Any) -> Any:
        fault = Diverged(0, 3)
        fault.rows = (0,)
        raise fault

    monkeypatch.setattr(training, "first_fit", explodes)
    prepared = prepare_rows(stores.project)
    with pytest.raises(Failed, match=f"look at the rows {prepared.table.ids[0]}: "):
        train_version(stores, prepared)
    assert stores.registry.versions() == []


def test_to_accept_overfitting_is_no_other_training(
    make_stores: Callable[..., Any], rows: pd.DataFrame
) -> None:
    plain, accepting = (
        make_stores(rows, more).project for more in ("", "[network]\naccept_overfit = true\n")
    )
    assert training_identity(plain, "data") == training_identity(accepting, "data")
