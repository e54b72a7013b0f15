"""Training: from nothing (`fit`) and onwards from a trained model (`update`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.answer_width import outputs_of
from models.callbacks import (
    Diverged,
    LowerRate,
    Progress,
    RecordLosses,
    StopDiverging,
    StopEarly,
    WriteCheckpoint,
    restore,
)
from models.checkpoint import digest_of, read_checkpoint, remove_checkpoint
from models.devices import computing
from models.diagnosis import furthest_out
from models.history import EpochLoss, LossHistory
from models.keras_objects import planned_rate, set_rate, steps_taken
from models.linear_start import start_linear
from models.outputs import labeller
from models.recipe import FitConfig, Recipe
from models.row_files import run_of, shuffled
from models.rows import Rows, weighed
from models.steps import StepLosses, Stepper, Tensors, stepper_of

if TYPE_CHECKING:
    from models.schema import Schema

__all__ = ["Diverged", "Fitted", "fit", "predict", "update"]

OnEpoch = Callable[[EpochLoss], None]
OnSteps = Callable[[int, int, StepLosses], None]  # epoch, its first step among these, and what they cost

CHECKED_AT_ONCE = 100_000  # rows looked at together: no copy as large as all of them
SMALLEST_BATCH = 32  # small data take smaller steps down to this; below, the gradient is mostly noise
LEAST_STEPS = 32  # steps an epoch that small data should still make, or the epochs end before the optimum


@dataclass(frozen=True)
class Fitted:
    """A trained model in the state of its best epoch, and the losses of all epochs."""

    model: keras.Model
    history: LossHistory


def fit(
    recipe: Recipe,
    schema: Schema,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_steps: OnSteps | None = None,
) -> Fitted:
    """Trains a fresh network until the validation loss stops falling, and keeps the best epoch.

    Without validation rows the training loss takes their place. The same arguments give the same weights.

    checkpoint: written after every epoch; where a training with the same arguments was killed it goes on from there,
    to the same weights. It stays until the caller has put the result away and calls `remove_checkpoint`. A damaged
    file, or one of another training, is ignored with a warning. on_epoch: told of every epoch that this call trains,
    not of those before a kill; on_steps: of every some hundred steps.
    Raises Diverged where the loss becomes NaN or infinite, or rises by an order and does not come back.
    """
    train = _checked(train, validation, config)
    model = untrained(recipe, schema, train, config)
    return _train(model, train, validation, config, checkpoint, on_epoch, on_steps, compete=False)


def untrained(recipe: Recipe, schema: Schema, train: Rows, config: FitConfig) -> keras.Model:
    """The network of a recipe as its training on these rows begins: with the simple model in it, if it has room."""
    model = recipe.compiled(schema, seed=config.seed)
    if recipe.linear_start:
        start_linear(model, schema, train, lambda rows: _loss(model, rows), seed=config.seed)
    return model


def _loss(model: keras.Model, rows: Rows) -> float:
    return stepper_of(model).judge(tensors(model, rows))["loss"]


def update(
    model: keras.Model,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    *,
    learning_rate: float | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_steps: OnSteps | None = None,
) -> Fitted:
    """Trains a model further, with its optimiser's state, and keeps the best epoch.

    The model as it came is epoch -1 and competes with the others on the validation rows: where none is
    better, weights and optimiser come back as they were. The model is changed in place and also returned.

    learning_rate: from now on; None goes on with the optimiser's own. checkpoint, on_epoch, on_steps and errors are
    those of `fit`; after Diverged the model is as it came.
    """
    train = _checked(train, validation, config)
    keras.utils.set_random_seed(config.seed)
    _reseed(model, config.seed)
    if learning_rate is not None:
        set_rate(model.optimizer, learning_rate)
    return _train(model, train, validation, config, checkpoint, on_epoch, on_steps, compete=True)


def predict(model: keras.Model, inputs: NDArray[Any], batch_size: int = 8192) -> NDArray[np.float32]:
    """The model's answers, float32 (n, outputs), for inputs (n, width); n may be 0.

    Without Keras's `predict`, which first traces the network and then waits a quarter of a second: more than
    the answers to 100,000 rows take.
    """
    if len(inputs) == 0:
        return np.empty((0, outputs_of(model, inputs.shape[1])), np.float32)
    parts = [
        model(inputs[start : start + batch_size], training=False).numpy()
        for start in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(parts).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Steps:
    """An epoch of `count` steps of `batch` rows."""

    batch: int
    count: int


def planned_steps(rows: int, config: FitConfig) -> Steps:
    """Cuts an epoch into steps of one size; every row is in a step, less than `count` rows are in two.

    >>> planned_steps(50_000, FitConfig(batch_size=256))
    Steps(batch=256, count=196)
    >>> planned_steps(10, FitConfig())
    Steps(batch=10, count=1)
    """
    batch = min(config.batch_size, max(SMALLEST_BATCH, rows // LEAST_STEPS))
    count = math.ceil(rows / batch)
    return Steps(math.ceil(rows / count), count)


def _train(
    model: keras.Model,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    checkpoint: Path | None,
    on_epoch: OnEpoch | None,
    on_steps: OnSteps | None,
    *,
    compete: bool,
) -> Fitted:
    """Trains from the model's present state, which is epoch -1 where it competes."""
    _start_schedule(model, planned_steps(len(train), config), config)
    progress = Progress(model, on_epoch, on_steps)
    start = progress.best
    try:
        with computing(model, config.precision):
            _run(progress, train, validation, config, checkpoint, compete=compete)
        restore(model, progress.best)
    except Diverged as fault:
        restore(model, start)
        fault.rows = _suspects(fault, train, config)
        if checkpoint is not None:
            remove_checkpoint(checkpoint)
        raise
    return Fitted(model, progress.history)


def _run(
    progress: Progress,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    checkpoint: Path | None,
    *,
    compete: bool,
) -> None:
    """The epochs that are still to be trained, with everything that happens between them."""
    stop = _stop_early(progress, config)
    callbacks = [StopDiverging(progress), RecordLosses(progress), stop, *_lower_rate(progress)]
    if checkpoint is not None:
        name = fingerprint(progress, train, validation, config)
        progress.resume(read_checkpoint(checkpoint, name))
        callbacks.append(WriteCheckpoint(progress, checkpoint, name))
    judged_on = tensors(progress.model, validation) if len(validation) else None
    if compete and not progress.history.epochs:
        _record_start(progress, judged_on)
    first = progress.next_epoch
    if first < config.epochs and not stop.over:
        _run_epochs(progress, tensors(progress.model, train), judged_on, config, callbacks, first)


def _run_epochs(
    progress: Progress,
    columns: Tensors,
    judged_on: Tensors | None,
    config: FitConfig,
    callbacks: list[keras.callbacks.Callback],
    first: int,
) -> None:
    """What `keras.Model.fit` does, callbacks included, in steps of our own."""
    model, stepper = progress.model, stepper_of(progress.model)
    steps = planned_steps(len(columns[0]), config)
    told = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=config.epochs, steps=steps.count, verbose=0
    )
    model.stop_training = False
    told.on_train_begin()
    for epoch in range(first, config.epochs):
        told.on_epoch_begin(epoch)
        logs = _run_epoch(
            progress,
            stepper,
            columns,
            _order(len(columns[0]), steps, config, epoch, run_of(columns[0])),
            config,
            told,
        )
        if judged_on is not None:
            logs |= {f"val_{name}": value for name, value in stepper.judge(judged_on).items()}
        told.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    told.on_train_end()


def _run_epoch(
    progress: Progress,
    stepper: Stepper,
    columns: Tensors,
    order: NDArray[np.int32],
    config: FitConfig,
    told: keras.callbacks.CallbackList,
) -> dict[str, float]:
    """One pass over the rows; its mean loss and metrics, under Keras's names."""
    progress.model.reset_metrics()
    total, taken = 0.0, 0
    while taken < len(order) and not progress.model.stop_training:
        told.on_train_batch_begin(taken)
        found = stepper.train(columns, order[taken : taken + config.steps_at_once])
        progress.record_steps(taken, found)
        total += float(found.losses.sum(dtype=np.float64))
        taken += len(found.losses)
        told.on_train_batch_end(taken - 1, {"loss": total / taken})
    return {**stepper.metrics(), "loss": total / taken}


def batches(rows: int, config: FitConfig, count: int) -> NDArray[np.int32]:
    """Which rows each of `count` steps takes, through as many epochs as they fill: (count, batch)."""
    steps = planned_steps(rows, config)
    epochs = math.ceil(count / steps.count)
    return np.concatenate([_order(rows, steps, config, epoch) for epoch in range(epochs)])[:count]


def _order(rows: int, steps: Steps, config: FitConfig, epoch: int, run: int = 1) -> NDArray[np.int32]:
    """Which rows each step takes: it follows from the seed and the epoch alone, so a training resumed sees the same.

    run: see `models.row_files.shuffled`.
    """
    order = shuffled(rows, np.random.default_rng((config.seed, epoch)), run=run)
    return np.resize(order, (steps.count, steps.batch)).astype(np.int32)


def _suspects(fault: Diverged, train: Rows, config: FitConfig) -> tuple[int, ...]:
    """Of the rows in the step at which a training was stopped, those that lie far from all others."""
    if fault.step is None:
        return ()
    order = _order(len(train), planned_steps(len(train), config), config, fault.epoch, run_of(train.inputs))
    return furthest_out(train.inputs, train.targets, np.unique(order[fault.step]))


def _record_start(progress: Progress, judged_on: Tensors | None) -> None:
    """Puts the losses of the model as it came into the history, as epoch -1."""
    started = time.perf_counter()
    figures = stepper_of(progress.model).judge(judged_on) if judged_on is not None else {}
    logs = {f"val_{name}": value for name, value in figures.items()}
    progress.record(-1, logs, time.perf_counter() - started)


def _start_schedule(model: keras.Model, steps: Steps, config: FitConfig) -> None:
    """Every training goes through its schedule from the beginning, also one that goes on from a trained model."""
    if (planned := planned_rate(model.optimizer)) is not None:
        planned.start(steps_taken(model.optimizer), steps.count, config.epochs)


def _stop_early(progress: Progress, config: FitConfig) -> StopEarly:
    """One cycle of the rate is a whole: its losses rise with the rate and count at its end."""
    planned = planned_rate(progress.model.optimizer)
    held = planned is not None and planned.schedule.kind == "one_cycle"
    least = planned.schedule.length(config.epochs) if planned is not None and held else 0.0
    return StopEarly(progress, config.patience, target=config.target_loss, least_epochs=least)


def _lower_rate(progress: Progress) -> list[LowerRate]:
    planned = planned_rate(progress.model.optimizer)
    return [] if planned is None else [LowerRate(progress, planned)]


def _labeller(model: keras.Model, width: int) -> Callable[[NDArray[Any]], Any]:
    """What gives the targets the shape that the model's losses compare with."""
    return labeller(model, None if isinstance(model.loss, Mapping) else outputs_of(model, width), width)


def tensors(model: keras.Model, rows: Rows) -> Tensors:
    """Inputs, targets in the shape that the model's losses compare with, and weights where there are any.

    Rows whose inputs lie in a file stay arrays, from which the stepper takes what it needs.
    """
    label = _labeller(model, rows.inputs.shape[1])
    arrays = [rows.inputs, label(rows.targets), *([] if rows.weights is None else [rows.weights])]
    if isinstance(rows.inputs, np.memmap):
        return tuple(arrays)
    return tuple(tf.nest.map_structure(tf.constant, array) for array in arrays)


def _reseed(model: keras.Model, seed: int) -> None:
    """Starts the model's random layers afresh: a saved model forgets where they were."""
    saved = {id(weight) for weight in model.weights}
    states = [variable for variable in model.variables if id(variable) not in saved]
    for position, state in enumerate(states):
        if state.name == "seed_generator_state":
            state.assign([seed, 1_000_000 * position])


def fingerprint(progress: Progress, train: Rows, validation: Rows, config: FitConfig) -> str:
    """Names a training that has not begun by everything that its result follows from."""
    arrays = [train.inputs, train.targets, train.weights]
    arrays += [validation.inputs, validation.targets, validation.weights]
    settings = [asdict(config), progress.model.get_compile_config()]
    return digest_of([*arrays, *progress.best], _unnamed(settings))


def _unnamed(settings: Any) -> Any:
    """Settings without the names that Keras counts up: `adamw_7` is the seventh of its process."""
    if isinstance(settings, dict):
        return {key: _unnamed(value) for key, value in settings.items() if key != "name"}
    return [_unnamed(value) for value in settings] if isinstance(settings, list | tuple) else settings


def _checked(train: Rows, validation: Rows, config: FitConfig) -> Rows:
    """The training rows with their weights; ValueError where they, or the others, cannot be learned from."""
    train = weighed(train, config.class_weights)
    _check_rows(train, "training", least=1)
    _check_rows(validation, "validation", least=0)
    return train


def _check_rows(rows: Rows, name: str, *, least: int) -> None:
    """Raises ValueError where the rows cannot be learned from."""
    if len(rows) < least:
        raise ValueError(f"No {name} rows came; expected at least {least}.")
    for part, values in (("inputs", rows.inputs), ("targets", rows.targets), ("weights", rows.weights)):
        if values is None:
            continue
        pieces = (values[k : k + CHECKED_AT_ONCE] for k in range(0, len(values), CHECKED_AT_ONCE))
        if not all(np.isfinite(piece).all() for piece in pieces):
            raise ValueError(f"The {name} {part} hold NaN or infinite values. Leave out these rows.")
