"""Courses of the learning rate by hand and against Keras's own; what a training makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.export import load_keras, save_keras
from models.fit import Fitted, fit, update
from models.history import EpochLoss, LossHistory
from models.keras_objects import PlannedRate, planned_rate, set_rate, steps_taken
from models.recipe import FitConfig, NetworkConfig, Recipe, recipe_from
from models.rows import Rows
from models.schedules import KINDS, Schedule, plateau_level, schedule_faults, schedule_remark
from models.schema import NumberColumn, Schema, Target

WIDTH = 3
MOVING = [kind for kind in KINDS if kind != "constant"]


def schema() -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(WIDTH))
    return Schema(columns, Target("y", "binary", ("v", "w"), 0.0, 1.0))


def rows(count: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] + random.normal(size=count) / 2 > 0).astype(np.float32))


TRAIN, VALIDATION = rows(200), rows(60, seed=1)
STEPS = 7  # of an epoch, with the batches of 32 rows below


def from_nothing(network: NetworkConfig) -> Recipe:
    """Beside a simple model in the network there would be nothing to learn here."""
    return replace(recipe_from(network, "binary"), linear_start=False)


def trained(kind: Any, **more: Any) -> Fitted:
    network = NetworkConfig(hidden=(3,), schedule=kind, **more)
    recipe = from_nothing(network)
    return fit(recipe, schema(), TRAIN, VALIDATION, FitConfig(epochs=4, batch_size=32))


# --- the courses ---


def factors(
    kind: Any, at: list[float], *, warmup: float = 0.0, epochs: int = 10, **parameters: Any
) -> list[float]:
    course = Schedule(kind, warmup, parameters).factors(np.array(at), epochs=epochs)
    return [round(float(factor), 4) for factor in course]


def test_courses_by_hand() -> None:
    assert factors("constant", [0, 3, 99]) == [1, 1, 1]
    assert factors("cosine", [0, 5, 10, 50], end=0.2) == [1, 0.6, 0.2, 0.2]
    assert factors("step", [0, 1.9, 2, 4.1], every=2, factor=0.1) == [1, 1, 0.1, 0.01]
    assert factors("exponential", [0, 1, 2.5], factor=0.25) == [1, 0.25, 0.0312]
    assert factors("one_cycle", [0, 3, 10, 11], start=0.1, end=0.0) == [0.1, 1, 0, 0]
    assert factors("restarts", [0, 1, 1.999, 2, 4], first=2, longer=2, end=0.0) == [1, 0.5, 0, 1, 0.5]
    assert factors("restarts", [0, 3, 6], first=3, longer=1, lower=0.5, end=0.0) == [1, 0.5, 0.25]
    assert factors("plateau", [0, 5]) == [1, 1]


def test_a_warm_up_rises_from_nothing_and_the_course_begins_behind_it() -> None:
    assert factors("constant", [0, 1, 2, 3], warmup=2) == [0, 0.5, 1, 1]
    assert factors("cosine", [1, 2, 6, 10], warmup=2, end=0.0) == [0.5, 1, 0.5, 0]
    assert factors("cosine", [2, 4], warmup=2, end=0.0, epochs=10**6)[1] == 1.0


STEP_OF_KERAS = 1000  # steps an epoch, so that Keras's whole steps are fine enough


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            Schedule("cosine", parameters={"epochs": 6, "end": 0.1}),
            keras.optimizers.schedules.CosineDecay(1.0, 6 * STEP_OF_KERAS, alpha=0.1),
        ),
        (
            Schedule("restarts", parameters={"first": 2, "longer": 2, "lower": 0.7, "end": 0.0}),
            keras.optimizers.schedules.CosineDecayRestarts(1.0, 2 * STEP_OF_KERAS, t_mul=2.0, m_mul=0.7),
        ),
        (
            Schedule("exponential", parameters={"factor": 0.8}),
            keras.optimizers.schedules.ExponentialDecay(1.0, STEP_OF_KERAS, 0.8),
        ),
        (
            Schedule("step", parameters={"every": 3, "factor": 0.5}),
            keras.optimizers.schedules.ExponentialDecay(1.0, 3 * STEP_OF_KERAS, 0.5, staircase=True),
        ),
    ],
)
def test_courses_are_keras_own(ours: Schedule, theirs: Any) -> None:
    steps = np.arange(17, 9000, 331)
    expected = [float(theirs(step)) for step in steps]
    np.testing.assert_allclose(ours.factors(steps / STEP_OF_KERAS), expected, atol=2e-3)


@pytest.mark.parametrize("kind", MOVING)
@settings(max_examples=30)
@given(epoch=st.floats(0, 200, width=32), epochs=st.integers(1, 100), warmup=st.sampled_from([0.0, 0.5, 3.0]))
def test_inside_keras_the_courses_are_the_same_and_lie_between_0_and_1(
    kind: Any, epoch: float, epochs: int, warmup: float
) -> None:
    from models.schedules import course

    schedule = Schedule(kind, warmup)
    tensor = keras.ops.convert_to_tensor(np.float32(epoch))
    inside = float(course(schedule, keras.ops, tensor, keras.ops.convert_to_tensor(np.float32(epochs))))
    outside = float(schedule.factors(np.array(epoch), epochs=epochs))
    assert 0 <= outside <= 1 + 1e-9
    if kind not in ("step", "restarts"):  # these jump, and float32 may stand on the other side of a jump
        assert inside == pytest.approx(outside, abs=1e-4)


def history(*losses: float) -> LossHistory:
    return LossHistory(tuple(EpochLoss(epoch, loss, loss, 1e-3, 0.1) for epoch, loss in enumerate(losses)))


def test_a_plateau_lowers_the_rate_and_not_below_its_end() -> None:
    plan = Schedule("plateau", parameters={"patience": 2, "factor": 0.1, "end": 0.05})
    levels = [
        plateau_level(plan, history(*[1.0, 0.5, 0.5, 0.5, 0.6, 0.4, 0.4, 0.4][:count])) for count in range(9)
    ]
    assert levels == [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.05]
    assert plateau_level(Schedule("cosine"), history(1.0, 1.0, 1.0, 1.0)) == 1.0


# Keras's callback, not ours
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=50)
# Keras rounds to float32
@given(losses=st.lists(st.integers(7, 64).map(lambda part: part / 64), max_size=25))
def test_a_plateau_is_that_of_keras(losses: list[float]) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0))
    theirs = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=3, min_delta=0, min_lr=0.1)
    theirs.set_model(model)
    theirs.on_train_begin()
    for epoch, loss in enumerate(losses):
        theirs.on_epoch_end(epoch, {"loss": loss})
    plan = Schedule("plateau", parameters={"patience": 3, "factor": 0.5, "gain": 0.0, "end": 0.1})
    assert plateau_level(plan, history(*losses)) == pytest.approx(float(model.optimizer.learning_rate))


def test_mistakes_are_told() -> None:
    assert schedule_faults("cosine", {"end": 2, "length": 3}) == (
        "end = 2: expected a number from 0 to 1",
        "cosine has no parameter 'length'; it takes epochs, end.",
    )
    assert "expected one of constant, cosine" in schedule_faults("cosin", {})[0]
    with pytest.raises(ValueError, match="schedule 'step': every = 0: expected a number above 0"):
        Schedule("step", parameters={"every": 0})


def test_a_cosine_far_longer_than_patience_is_remarked_on() -> None:
    assert "epochs = 20" in str(schedule_remark(Schedule("cosine"), 60, 4))
    assert schedule_remark(Schedule("cosine", parameters={"epochs": 20}), 60, 4) is None
    assert schedule_remark(Schedule("step"), 60, 4) is None


# --- in a training ---


def test_every_step_has_its_own_rate() -> None:
    plan = PlannedRate(0.5, "exponential", parameters={"factor": 0.5})
    plan.start(begin=10, steps=2, epochs=9)
    rates = [float(plan(step)) for step in (10, 11, 12, 13)]
    assert rates == pytest.approx([0.5 * 0.5 ** ((step + 0.5) / 2) for step in range(4)])


@pytest.mark.parametrize("kind", MOVING)
def test_the_rates_of_a_training_are_those_of_its_schedule(kind: Any) -> None:
    fitted = trained(kind, warmup=0.5)
    after = np.arange(1, 5) + 0.5 / STEPS  # a rate is read in the middle of the next step
    expected = 1e-3 * Schedule(kind, 0.5).factors(after, epochs=4)
    rates = [epoch.learning_rate for epoch in fitted.history.epochs]
    assert rates == pytest.approx(expected[: len(rates)].tolist(), rel=1e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", MOVING)
def test_a_training_that_was_killed_goes_on_to_the_same_weights(kind: Any, tmp_path: Path) -> None:
    network = NetworkConfig(hidden=(3,), schedule=kind, warmup=1.0, learning_rate=0.05)
    recipe, config = from_nothing(network), FitConfig(epochs=7, batch_size=32, patience=9)

    def kill(epoch: EpochLoss) -> None:
        if epoch.epoch == 4:
            raise Killed

    whole = fit(recipe, schema(), TRAIN, VALIDATION, config)
    with pytest.raises(Killed):
        fit(recipe, schema(), TRAIN, VALIDATION, config, checkpoint=tmp_path / "c", on_epoch=kill)
    resumed = fit(recipe, schema(), TRAIN, VALIDATION, config, checkpoint=tmp_path / "c")
    for ours, theirs in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    rates = [[epoch.learning_rate for epoch in one.history.epochs] for one in (whole, resumed)]
    assert rates[0] == rates[1]


def test_a_plateau_lowers_the_rate_of_the_epochs_that_follow() -> None:
    against = Rows(VALIDATION.inputs, 1 - VALIDATION.targets)
    network = NetworkConfig(
        hidden=(), schedule="plateau", learning_rate=0.05, schedule_parameters={"factor": 0.1}
    )
    config = FitConfig(epochs=5, batch_size=32, patience=9)
    fitted = fit(from_nothing(network), schema(), TRAIN, against, config)
    rates = [epoch.learning_rate for epoch in fitted.history.epochs]
    assert rates == pytest.approx([0.05, 0.05, 0.05, 0.005, 0.005])


def test_a_schedule_survives_its_file_and_an_update_goes_through_it_anew(tmp_path: Path) -> None:
    fitted = trained("cosine", learning_rate=0.01)
    save_keras(fitted.model, tmp_path / "model.keras")
    model = load_keras(tmp_path / "model.keras")
    found = planned_rate(model.optimizer)
    assert found is not None
    assert found.schedule == Schedule("cosine")
    assert steps_taken(model.optimizer) == steps_taken(fitted.model.optimizer) > 0
    further = update(model, TRAIN, VALIDATION, FitConfig(epochs=3, batch_size=32, patience=9))
    rates = [epoch.learning_rate for epoch in further.history.epochs if epoch.epoch >= 0]
    after = np.arange(1, 4) + 0.5 / STEPS
    assert rates == pytest.approx((0.01 * Schedule("cosine").factors(after, epochs=3)).tolist(), rel=1e-3)


def test_an_update_with_a_rate_of_its_own_scales_the_schedule() -> None:
    model = trained("exponential").model
    config = FitConfig(epochs=1, batch_size=32)
    further = update(model, TRAIN, VALIDATION, config, learning_rate=0.2)
    assert further.history.epochs[-1].learning_rate == pytest.approx(
        0.2 * 0.95 ** (1 + 0.5 / STEPS), rel=1e-3
    )


def test_a_rate_that_follows_a_users_own_schedule_cannot_be_set() -> None:
    own = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(ValueError, match="Compile it with a plain number"):
        set_rate(own, 0.1)


def test_one_cycle_is_not_stopped_before_its_end() -> None:
    against = Rows(VALIDATION.inputs, 1 - VALIDATION.targets)
    counts = []
    for kind in ("one_cycle", "constant"):
        recipe = from_nothing(NetworkConfig(hidden=(), schedule=kind))
        fitted = fit(recipe, schema(), TRAIN, against, FitConfig(epochs=6, batch_size=32, patience=2))
        counts.append(len(fitted.history.epochs))
    assert counts == [6, 3]
