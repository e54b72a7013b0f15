"""Short Keras runs whose fault is known, because it was made: tables, trainings, and what is broken in them.

A run is a table, a training that suits it, and a fault that changes one or the other. The name of the fault follows
from how it was made and never from how the curve came out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.baselines import best_constant, fit_simple, fit_trees
from models.losses import default_loss, row_losses

if TYPE_CHECKING:
    import keras

    from models.curve import Curve
    from models.diagnosis import Kind
    from models.diagnosis_callback import Diagnose

Array = NDArray[Any]
Task = Literal["regression", "binary", "multiclass"]
Schedule = Callable[[int], float]  # from the number of the step to the factor of the rate
Break = Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]

VALIDATION = 0.25


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with standardised inputs (n, width); targets (n,) of scale 1, or the positions of classes."""

    task: Task
    inputs: Array
    targets: Array
    held_inputs: Array
    held_targets: Array

    @property
    def outputs(self) -> int:
        """How many numbers a network answers a row with."""
        return int(self.targets.max()) + 1 if self.task == "multiclass" else 1


@dataclass(frozen=True)
class Training:
    """A network and how it learns.

    rate: of the optimiser, times schedule(step). sparing: epochs without a better one before it ends; None trains
    all epochs. penalty: strength of the squared (`squared_penalty`) or absolute penalty on every kernel.
    bias: what every hidden unit begins with. line: whether a straight line stands beside the hidden layers. spread:
    standard deviation of the first weights; None is Keras's own. broken: changes a batch in `broken_share` of the
    steps. epochs, batch: passes, and rows of a step.
    """

    hidden: tuple[int, ...] = (32,)
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False
    penalty: float = 0.0
    squared_penalty: float = 0.0
    bias: float = 0.0
    line: bool = False
    spread: float | None = None
    optimizer: str = "adam"
    settings: tuple[tuple[str, float], ...] = ()
    rate: float = 3e-3
    schedule: Schedule | None = None
    batch: int = 32
    epochs: int = 25
    sparing: int | None = None
    broken: Break | None = None
    broken_share: float = 0.0


Fault = Callable[[Table, Training, np.random.Generator], tuple[Table, Training]]


@dataclass(frozen=True)
class Run:
    """A training of a table with a fault of a known kind; fault: None where nothing is broken."""

    name: str
    kind: Kind
    table: Callable[[np.random.Generator], Table]
    training: Training
    fault: Fault | None
    seed: int


Maker = Callable[[np.random.Generator], Table]
# kind, what was done, tables, fault, numbers of the networks that take turns, changes of the training
Plan = tuple["Kind", str, Sequence[Maker], Fault | None, Sequence[int], Mapping[str, Any]]


def numbered(plan: Iterable[Plan], networks: Sequence[Training], *, seed: int) -> list[Run]:
    """The runs of a plan, one a table, each with a name and a seed of its own."""
    return [
        Run(
            f"{name}, {table.__name__}",
            kind,
            table,
            replace(networks[turn], **changes),
            fault,
            seed + 100 * block + place,
        )
        for block, (kind, name, tables, fault, turns, changes) in enumerate(plan)
        for place, (table, turn) in enumerate(zip(tables, itertools.cycle(turns), strict=False))
    ]


def cut(task: Task, inputs: Array, targets: Array, rng: np.random.Generator) -> Table:
    """The rows in a random order, the last quarter held out, inputs (and numbers to learn) standardised."""
    order = rng.permutation(len(targets))
    split = len(order) - round(len(order) * VALIDATION)
    learn, held = order[:split], order[split:]
    center, scale = inputs[learn].mean(axis=0), inputs[learn].std(axis=0)
    inputs = ((inputs - center) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
    if task == "regression":
        targets = ((targets - targets[learn].mean()) / targets[learn].std()).astype(np.float32)
    else:
        targets = targets.astype(np.int32 if task == "multiclass" else np.float32)
    return Table(task, inputs[learn], targets[learn], inputs[held], targets[held])


def few(table: Table, rows: int) -> Table:
    """The same table with fewer rows to learn from."""
    return replace(table, inputs=table.inputs[:rows], targets=table.targets[:rows])


def baselines(table: Table) -> dict[str, float]:
    """Losses on the held-out rows of what was learned without a network."""
    loss, truth = default_loss(table.task), table.held_targets.astype(np.float64)
    learned = {
        "constant": best_constant(table.task, loss, table.targets, outputs=table.outputs),
        "simple": fit_simple(table.task, table.inputs, table.targets, outputs=table.outputs),
        "trees": fit_trees(table.task, table.inputs, table.targets, outputs=table.outputs),
    }
    return {
        name: float(row_losses(loss, truth, model.predict(table.held_inputs)).mean())
        for name, model in learned.items()
    }


def train(run: Run) -> Curve:
    """Makes the table, breaks what is to be broken, and trains until the end, or until the diagnosis stops it."""
    import keras

    from models.diagnosis_callback import Diagnose

    rng = np.random.default_rng(run.seed)
    table, training = run.table(rng), run.training
    if run.fault is not None:
        table, training = run.fault(table, training, rng)
    keras.backend.clear_session()
    keras.utils.set_random_seed(run.seed)
    follow = Diagnose(baselines=baselines(table), rows=len(table.targets))
    kept = fit(network(table, training), table, training, rng, follow)
    return replace(follow.curve, kept=kept)


def network(table: Table, training: Training) -> keras.Model:
    """The compiled network of this training."""
    import keras
    from keras import layers

    inputs = deep = keras.Input((table.inputs.shape[1],))
    for units in training.hidden:
        deep = _dense(units, training, bias_initializer=keras.initializers.Constant(training.bias))(deep)
        deep = layers.BatchNormalization()(deep) if training.batch_norm else deep
        deep = layers.Activation(training.activation)(deep)
        deep = layers.Dropout(training.dropout)(deep) if training.dropout else deep
    scores = _dense(table.outputs, training)(deep)
    if training.line:
        scores = layers.Add()([scores, layers.Dense(table.outputs, kernel_initializer="zeros")(inputs)])
    answer = {"regression": "linear", "binary": "sigmoid", "multiclass": "softmax"}[table.task]
    model = keras.Model(inputs, layers.Activation(answer)(scores))
    optimizer = keras.optimizers.get({"class_name": training.optimizer, "config": dict(training.settings)})
    optimizer.learning_rate = training.rate if training.schedule is None else _rates(training, table)
    model.compile(optimizer=optimizer, loss=default_loss(table.task))
    model.optimizer.build(model.trainable_variables)
    return model


def _rates(training: Training, table: Table) -> Any:
    """The rate of every step, as a schedule of Keras."""
    import keras
    import tensorflow as tf

    assert training.schedule is not None
    steps = training.epochs * (len(table.targets) // training.batch) + 1
    rates = tf.constant([training.rate * training.schedule(step) for step in range(steps)], tf.float32)

    class Rates(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return tf.gather(rates, tf.minimum(tf.cast(step, tf.int32), steps - 1))

    return Rates()


def _dense(units: int, training: Training, **settings: Any) -> keras.layers.Layer:
    import keras

    first: Any = "he_normal" if training.activation == "relu" else "glorot_uniform"
    if training.spread is not None:
        first = keras.initializers.RandomNormal(stddev=training.spread)
    penalty = None
    if training.penalty or training.squared_penalty:
        penalty = keras.regularizers.L1L2(training.penalty, training.squared_penalty)
    return keras.layers.Dense(units, kernel_initializer=first, kernel_regularizer=penalty, **settings)


def fit(
    model: keras.Model, table: Table, training: Training, rng: np.random.Generator, follow: Diagnose
) -> int | None:
    """Trains in the very steps that `models.fit` takes, over batches that were laid out, and some of them broken.

    Returns the epoch whose weights would be kept: the best one where patience ends the training, else None, the last.
    """
    import tensorflow as tf

    from models.callbacks import Diverged
    from models.steps import Stepper

    stepper, best, waited = Stepper(model), math.inf, 0
    columns, orders = _batches(table, training, rng)
    held = (tf.constant(table.held_inputs), tf.constant(_labels(table, table.held_targets)))
    follow.set_model(model)
    for epoch in range(training.epochs):
        follow.on_epoch_begin(epoch)
        try:
            losses = stepper.train(columns, orders[epoch]).losses
            follow.take(losses)
            validation = stepper.judge(held)["loss"]
            follow.on_epoch_end(epoch, {"loss": float(losses.mean(dtype=float)), "val_loss": validation})
        except Diverged:
            return None  # what was seen until then is in the callback
        best, waited = (validation, 0) if validation < best else (best, waited + 1)
        if waited == training.sparing:
            break
    return None if training.sparing is None else epoch - waited


def _batches(table: Table, training: Training, rng: np.random.Generator) -> tuple[Any, Array]:
    """Rows to learn from with the broken ones behind them, and which a step takes: (epochs, steps, batch)."""
    import tensorflow as tf

    rows = len(table.targets)
    batch = min(training.batch, rows)
    steps = rows // batch
    orders = np.stack([rng.permutation(rows)[: steps * batch] for _ in range(training.epochs)])
    orders = orders.reshape(training.epochs * steps, batch)
    inputs, targets = [table.inputs], [_labels(table, table.targets)]
    if training.broken is not None:
        for place in _places(len(orders), training.broken_share, rng):
            wrong = training.broken(rng, inputs[0][orders[place]], targets[0][orders[place]])
            orders[place] = sum(map(len, inputs)) + np.arange(batch)
            inputs.append(wrong[0])
            targets.append(wrong[1])
    columns = tf.constant(np.concatenate(inputs)), tf.constant(np.concatenate(targets))
    return columns, orders.reshape(training.epochs, steps, batch).astype(np.int32)


def _places(steps: int, share: float, rng: np.random.Generator) -> Array:
    """One step out of each 1 / share of them, so that no run is spared."""
    block = round(1 / share)
    starts = np.arange(0, steps - block + 1, block)
    return starts + rng.integers(0, block, len(starts))


def _labels(table: Table, targets: Array) -> Array:
    return targets if table.task == "multiclass" else targets.reshape(-1, 1)
