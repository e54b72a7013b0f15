"""An epoch of training, every step of it followed, beside Keras's own `fit` and a bare loop over the same arrays.

python -m benchmarks.training [--quick] [--json FILE]

All take the same rows in batches of the same size with the same network and optimiser, in turn, one thread each. The
first epoch of each, which traces the network, does not count.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

if TYPE_CHECKING:
    from models.history import LossHistory

COLUMNS, BATCH = 20, 256
ROWS, EPOCHS, ROUNDS = 300_000, 4, 8
QUICK = (60_000, 3, 1)
TURNS, QUICK_TURNS = 40, 6  # pairs of an epoch that is followed and one that is not


@dataclass
class Epochs:
    """Seconds of the clock and of CPU of each epoch after the first, and the loss of the last."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    loss: float = float("nan")
    _last: tuple[float, float] | None = None

    def tick(self, loss: float) -> None:
        """The end of an epoch."""
        now = (time.perf_counter(), time.process_time())
        if self._last is not None:
            self.wall.append(now[0] - self._last[0])
            self.cpu.append(now[1] - self._last[1])
        self._last, self.loss = now, loss

    def rest(self) -> None:
        """What comes until the next tick does not count."""
        self._last = None

    @property
    def least(self) -> tuple[float, float]:
        """Other work on the machine can only add."""
        return min(self.wall), min(self.cpu)


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    # as losswatch sets it for such a network
    for name in "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS":
        os.environ[name] = "1"
    rows, epochs, rounds = QUICK if quick else (ROWS, EPOCHS, ROUNDS)
    inputs, targets = _rows(rows)
    ways: dict[str, Callable[[Any, Any, int, Epochs], None]] = {
        "a bare loop": bare_loop,
        "losswatch, followed": followed,
        "keras fit": keras_fit,
    }
    found = {name: Epochs() for name in ways}
    for number in range(rounds):
        for name, train in ways.items():
            if name == "keras fit" and number > 1:  # for orientation: five times as long as the others
                continue
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].rest()
            train(inputs, targets, epochs, found[name])
    say("following every other epoch")
    costs = following_costs(inputs, targets, QUICK_TURNS if quick else TURNS)
    return _results(found, costs, decided=not quick)


def _results(found: Mapping[str, Epochs], costs: Costs, *, decided: bool) -> list[Result]:
    results = []
    for name, epochs in found.items():
        wall, cpu = epochs.least
        results += [figure(f"{name}: an epoch", wall, "s"), figure(f"{name}: an epoch, CPU", cpu, "s of CPU")]
    bare, ours = (found[name].least for name in ("a bare loop", "losswatch, followed"))
    losses = [epochs.loss for epochs in found.values()]
    return [
        *results,
        at_most(1.5, "followed, against the bare loop", ours[0] / bare[0], "times", decided=decided),
        at_most(
            1.5, "followed, against the bare loop, CPU", ours[1] / bare[1], "times of CPU", decided=decided
        ),
        at_most(3.0, "following costs", 100 * costs.wall, "%", decided=decided),
        at_most(3.0, "following costs, CPU", 100 * costs.cpu, "% of CPU", decided=decided),
        figure("following costs, CPU, standard error", 100 * costs.doubt, "% of CPU"),
        at_most(2.0, "losses differ by", 100 * (max(losses) / min(losses) - 1), "%", decided=decided),
    ]


def bare_loop(inputs: Any, targets: Any, epochs: int, found: Epochs) -> None:
    """What one would write by hand, with nothing around it."""
    import keras
    import tensorflow as tf

    model = network(None)
    optimizer, weights, loss_of = model.optimizer, model.trainable_variables, keras.losses.binary_crossentropy
    columns = tf.constant(inputs), tf.constant(targets.reshape(-1, 1))

    @tf.function
    def epoch(x: Any, y: Any, order: Any) -> Any:
        def step(number: Any, total: Any) -> Any:
            chosen = order[number]
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    loss_of(tf.gather(y, chosen), model(tf.gather(x, chosen), training=True))
                )
            optimizer.apply(tape.gradient(loss, weights))
            return number + 1, total + loss

        count = tf.shape(order)[0]
        return tf.while_loop(lambda number, _: number < count, step, (0, 0.0))[1] / tf.cast(count, tf.float32)

    for number in range(epochs):
        found.tick(float(epoch(*columns, tf.constant(_order(len(inputs), number)))))


def keras_fit(inputs: Any, targets: Any, epochs: int, found: Epochs) -> None:
    """`fit` as everybody calls it."""
    import keras

    end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.tick(logs["loss"]))
    network(None).fit(inputs, targets, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[end])


def followed(inputs: Any, targets: Any, epochs: int, found: Epochs) -> None:
    """As `losswatch train` does: every step, gradient norms, CPU and memory, into a run of MLflow."""
    from pipelines.tracking import Tracking

    with _run() as (run, folder):
        tracking = Tracking(run, folder / "steps", lambda loss: found.tick(loss.loss))
        tracking.close(_fit(inputs, targets, epochs, on_epoch=tracking.epoch, on_steps=tracking.steps))


@dataclass(frozen=True)
class Costs:
    """What following adds to an epoch, as a share of one that is not followed. doubt: the standard error of cpu."""

    wall: float
    cpu: float
    doubt: float


def following_costs(inputs: Any, targets: Any, turns: int) -> Costs:
    """One training that is followed in every other epoch, each beside the two around it.

    Two trainings after each other differ by ten per cent on a shared machine, with nothing between them but time. What
    is written at the end of the training is shared among the epochs that were followed.
    """
    from pipelines.tracking import Tracking

    moments: list[tuple[float, float]] = []
    with _run() as (run, folder):
        tracking = Tracking(run, folder / "steps", None)

        def on_steps(epoch: int, first: int, losses: Any) -> None:
            if epoch % 2:
                tracking.steps(epoch, first, losses)

        def on_epoch(loss: Any) -> None:
            if loss.epoch % 2:
                tracking.epoch(loss)
            moments.append((time.perf_counter(), time.process_time()))

        history = _fit(inputs, targets, 2 * turns + 2, on_epoch=on_epoch, on_steps=on_steps)
        began = np.array([time.perf_counter(), time.process_time()])
        tracking.close(history)
        closing = (np.array([time.perf_counter(), time.process_time()]) - began) / turns
    spent = np.diff(np.array(moments), axis=0)  # of epochs 1, 2, ...: the first traces the network
    followed, around = spent[2:-1:2], (spent[1:-2:2] + spent[3::2]) / 2
    shares = (followed + closing) / around - 1
    doubt = 1.25 * shares[:, 1].std(ddof=1) / np.sqrt(len(shares))
    wall, cpu = np.median(shares, axis=0)
    return Costs(float(wall), float(cpu), float(doubt))


def _fit(inputs: Any, targets: Any, epochs: int, **told: Any) -> LossHistory:
    from models.fit import fit
    from models.recipe import FitConfig, Recipe
    from models.rows import Rows
    from models.schema import NumberColumn, Schema, Target

    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(COLUMNS))
    schema = Schema(columns, Target("y", "binary", ("no", "yes"), 0.0, 1.0))
    none = Rows(inputs[:0], targets[:0])
    config = FitConfig(epochs=epochs, batch_size=BATCH, patience=epochs)
    recipe = Recipe(network, "binary_crossentropy")
    return fit(recipe, schema, Rows(inputs, targets), none, config, **told).history


@contextmanager
def _run() -> Iterator[tuple[Any, Path]]:
    from pipelines.registry import Registry

    with tempfile.TemporaryDirectory(prefix="losswatch-") as name:
        folder = Path(name)
        registry = Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts", "benchmark")
        with registry.run("training", kind="fit", parameters={}, tags={}) as run:
            yield run, folder


def network(_: Any) -> Any:
    """64-32-1, compiled."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = keras.Input((COLUMNS,))
    hidden = layers.Dense(32, activation="relu")(layers.Dense(64, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model


def _rows(count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((count, COLUMNS)).astype(np.float32)
    scores = inputs[:, 0] + np.sin(2 * inputs[:, 1]) * inputs[:, 2]
    return inputs, (rng.random(count) < 1 / (1 + np.exp(-scores))).astype(np.float32)


def _order(rows: int, epoch: int) -> Any:
    order = np.random.default_rng((0, epoch)).permutation(rows)
    return np.resize(order, (-(-rows // BATCH), BATCH)).astype(np.int32)


if __name__ == "__main__":
    sys.exit(options.run("training", measure))
