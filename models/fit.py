"""Training: from nothing (`fit`) and onwards from a trained model (`update`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.callbacks import Diverged, Progress, RecordLosses, StopEarly, StopOnNan, WriteCheckpoint, restore
from models.checkpoint import digest_of, read_checkpoint, remove_checkpoint
from models.history import EpochLoss, LossHistory
from models.recipe import FitConfig, Recipe, as_labels, outputs_of
from models.rows import Rows

if TYPE_CHECKING:
    from models.schema import Schema

__all__ = ["Diverged", "Fitted", "fit", "predict", "update"]

OnEpoch = Callable[[EpochLoss], None]

SMALLEST_BATCH = 32  # small data take smaller steps down to this; below, the gradient is mostly noise
LEAST_STEPS = 32  # steps an epoch that small data should still make, or the epochs end before the optimum
VALIDATION_BATCH = 65_536  # one batch for nearly everybody; 64 hidden units of it are 17 MB


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
) -> Fitted:
    """Trains a fresh network until the validation loss stops falling, and keeps the best epoch.

    Without validation rows the training loss takes their place. The same arguments give the same weights.

    checkpoint: written after every epoch and removed at the end; where a training with the same arguments was
    killed it goes on from there, to the same weights. A damaged file, or one of another training, is ignored
    with a warning. on_epoch: told of every epoch that this call trains, not of those before a kill.
    Raises Diverged where the loss becomes NaN or infinite.
    """
    model = recipe.compiled(schema, seed=config.seed)
    return _train(model, train, validation, config, checkpoint, on_epoch, compete=False)


def update(
    model: keras.Model,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    *,
    learning_rate: float | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Trains a model further, with its optimiser's state, and keeps the best epoch.

    The model as it came is epoch -1 and competes with the others on the validation rows: where none is
    better, weights and optimiser come back as they were. The model is changed in place and also returned.

    learning_rate: from now on; None goes on with the optimiser's own. checkpoint, on_epoch and errors are
    those of `fit`; after Diverged the model is as it came.
    """
    keras.utils.set_random_seed(config.seed)
    _reseed(model, config.seed)
    if learning_rate is not None:
        model.optimizer.learning_rate = learning_rate
    return _train(model, train, validation, config, checkpoint, on_epoch, compete=True)


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
    """An epoch of `count` steps of `batch` rows, `together` of them in one call of TensorFlow."""

    batch: int
    count: int
    together: int


def planned_steps(rows: int, config: FitConfig) -> Steps:
    """Cuts an epoch into steps of one size, so that calls and shapes come out even.

    Every row is in a step; less than `count` rows are in two.

    >>> planned_steps(50_000, FitConfig(batch_size=256, steps_per_execution=16))
    Steps(batch=241, count=208, together=16)
    >>> planned_steps(10, FitConfig())
    Steps(batch=10, count=1, together=1)
    """
    batch = min(config.batch_size, max(SMALLEST_BATCH, rows // LEAST_STEPS))
    count = math.ceil(rows / batch)
    together = min(config.steps_per_execution, count)  # the same for nearly all, so that traces can be reused
    count = math.ceil(count / together) * together
    return Steps(math.ceil(rows / count), count, together)


def _train(
    model: keras.Model,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    checkpoint: Path | None,
    on_epoch: OnEpoch | None,
    *,
    compete: bool,
) -> Fitted:
    """Trains from the model's present state, which is epoch -1 where it competes."""
    _check_rows(train, "training", least=1)
    _check_rows(validation, "validation", least=0)
    progress = Progress(model, on_epoch)
    start = progress.best
    try:
        _run(progress, train, validation, config, checkpoint, compete=compete)
        restore(model, progress.best)
    except Diverged:
        restore(model, start)
        _forget(checkpoint)
        raise
    _forget(checkpoint)
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
    steps = planned_steps(len(train), config)
    outputs = outputs_of(progress.model, train.inputs.shape[1])
    _execute_together(progress.model, steps.together)
    callbacks = [StopOnNan(), RecordLosses(progress), StopEarly(progress, config.patience)]
    if checkpoint is not None:
        fingerprint = _fingerprint(progress, train, validation, config)
        progress.resume(read_checkpoint(checkpoint, fingerprint))
        callbacks.append(WriteCheckpoint(progress, checkpoint, fingerprint))
    judged_on = _validation_set(_columns(validation, outputs))
    if compete and not progress.history.epochs:
        _record_start(progress, judged_on)
    first = progress.next_epoch
    if first < config.epochs and progress.history.epochs_since_best < config.patience:
        progress.model.fit(
            _training_set(_columns(train, outputs), steps, config, first),
            validation_data=judged_on,
            initial_epoch=first,
            epochs=config.epochs,
            steps_per_epoch=steps.count,
            shuffle=False,  # done by the training set
            callbacks=callbacks,
            verbose=0,
        )


def _record_start(progress: Progress, judged_on: tf.data.Dataset | None) -> None:
    """Puts the losses of the model as it came into the history, as epoch -1."""
    started = time.perf_counter()
    figures = {}
    if judged_on is not None:
        figures = progress.model.evaluate(judged_on, verbose=0, return_dict=True)
    logs = {f"val_{name}": value for name, value in figures.items()}
    progress.record(-1, logs, time.perf_counter() - started)


def _training_set(
    columns: tuple[tf.Tensor, ...], steps: Steps, config: FitConfig, first_epoch: int
) -> tf.data.Dataset:
    """All batches of all epochs in one iterator: a new iterator costs a quarter of a second each time.

    The order of an epoch follows from the seed and its number alone: a training resumed sees the same.
    """

    def orders() -> Iterator[NDArray[np.int32]]:
        for epoch in range(first_epoch, config.epochs):
            order = np.random.default_rng((config.seed, epoch)).permutation(len(columns[0]))
            yield np.resize(order, (steps.count, steps.batch)).astype(np.int32)

    shape = tf.TensorSpec((None, None), tf.int32)  # one for all trainings, or each would be traced again
    taken = tf.data.Dataset.from_generator(orders, output_signature=shape).unbatch()
    return _untuned(taken.map(lambda rows_taken: tuple(tf.gather(column, rows_taken) for column in columns)))


def _validation_set(columns: tuple[tf.Tensor, ...]) -> tf.data.Dataset | None:
    """The validation rows in as few batches as memory allows; None where there are none."""
    if len(columns[0]) == 0:
        return None
    starts = tf.data.Dataset.range(0, len(columns[0]), VALIDATION_BATCH)
    return _untuned(
        starts.map(lambda start: tuple(column[start : start + VALIDATION_BATCH] for column in columns))
    )


def _untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's autotuning, which holds up the first batch of every iterator."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def _columns(rows: Rows, outputs: int) -> tuple[tf.Tensor, ...]:
    """Inputs, targets and, where there are any, weights, as Keras takes them."""
    arrays = [rows.inputs, as_labels(rows.targets, outputs)]
    return tuple(tf.constant(array) for array in [*arrays, *([] if rows.weights is None else [rows.weights])])


def _execute_together(model: keras.Model, steps: int) -> None:
    """Sets how many steps one call takes; what Keras has already traced for another number is thrown away."""
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        model.train_function = None
        model.test_function = None


def _reseed(model: keras.Model, seed: int) -> None:
    """Starts the model's random layers afresh: a saved model forgets where they were."""
    saved = {id(weight) for weight in model.weights}
    states = [variable for variable in model.variables if id(variable) not in saved]
    for position, state in enumerate(states):
        if state.name == "seed_generator_state":
            state.assign([seed, 1_000_000 * position])


def _fingerprint(progress: Progress, train: Rows, validation: Rows, config: FitConfig) -> str:
    """Names a training by everything that its result follows from."""
    arrays = [train.inputs, train.targets, train.weights]
    arrays += [validation.inputs, validation.targets, validation.weights]
    settings = [asdict(config), progress.model.get_compile_config()]
    return digest_of([*arrays, *progress.best], _unnamed(settings))


def _unnamed(settings: Any) -> Any:
    """Settings without the names that Keras counts up: `adamw_7` is the seventh of its process."""
    if isinstance(settings, dict):
        return {key: _unnamed(value) for key, value in settings.items() if key != "name"}
    return [_unnamed(value) for value in settings] if isinstance(settings, list | tuple) else settings


def _forget(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        remove_checkpoint(checkpoint)


def _check_rows(rows: Rows, name: str, *, least: int) -> None:
    """Raises ValueError where the rows cannot be learned from."""
    if len(rows) < least:
        raise ValueError(f"No {name} rows came; expected at least {least}.")
    for part, values in (("inputs", rows.inputs), ("targets", rows.targets), ("weights", rows.weights)):
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f"The {name} {part} hold NaN or infinite values. Leave out these rows.")
