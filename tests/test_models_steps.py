"""Our steps are Keras's steps: the same weights, losses and metrics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from models import steps
from models.steps import NORM_EVERY, Stepper, stepper_of

ROWS, WIDTH, BATCH = 640, 6, 32
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(ROWS, WIDTH)).astype(np.float32)
TARGETS = (INPUTS[:, :1] + RNG.normal(size=(ROWS, 1)) > 0).astype(np.float32)
WEIGHTS = RNG.uniform(0.5, 2.0, ROWS).astype(np.float32)
ORDER = RNG.permutation(ROWS).astype(np.int32).reshape(-1, BATCH)
COLUMNS = (tf.constant(INPUTS), tf.constant(TARGETS))
WEIGHTED = (*COLUMNS, tf.constant(WEIGHTS))


def network(model: type[keras.Model] = keras.Model, **compiled: Any) -> Any:
    """Dropout, batch normalisation and a penalty: whatever a step may touch."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((WIDTH,))
    hidden = layers.Dense(8, activation="relu", kernel_regularizer="l2")(inputs)
    hidden = layers.Dropout(0.2)(layers.BatchNormalization()(hidden))
    built = model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    settings = {"optimizer": keras.optimizers.AdamW(1e-2, global_clipnorm=1.0), "loss": "binary_crossentropy"}
    built.compile(**settings | compiled)
    built.optimizer.build(built.trainable_variables)
    return built


def fitted_by_keras(model: keras.Model, columns: tuple[Any, ...]) -> dict[str, float]:
    batches = tf.data.Dataset.from_tensor_slices(ORDER).map(
        lambda rows: tuple(tf.gather(column, rows) for column in columns)
    )
    history = model.fit(batches, epochs=1, shuffle=False, verbose=0).history
    return {name: values[0] for name, values in history.items()}


def weights_of(model: keras.Model) -> NDArray[Any]:
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.parametrize("columns", [COLUMNS, WEIGHTED])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_an_epoch_ends_where_keras_would_end(columns: tuple[Any, ...], optimizer: str) -> None:
    settings = {} if optimizer == "adamw" else {"optimizer": optimizer}
    ours, theirs = network(**settings), network(**settings)
    found = Stepper(ours).train(columns, ORDER)
    expected = fitted_by_keras(theirs, columns)
    np.testing.assert_allclose(weights_of(ours), weights_of(theirs), rtol=1e-4, atol=1e-6)
    assert found.losses.mean() == pytest.approx(expected["loss"], rel=1e-5)


def test_metrics_are_those_of_keras() -> None:
    ours, theirs = network(metrics=["accuracy", "auc"]), network(metrics=["accuracy", "auc"])
    stepper = Stepper(ours)
    stepper.train(COLUMNS, ORDER)
    expected = fitted_by_keras(theirs, COLUMNS)
    del expected["loss"]
    assert stepper.metrics() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_a_step_is_that_of_its_batch_before_it() -> None:
    model, same = network(), network()
    found = Stepper(model).train(COLUMNS, ORDER[:1])
    batch = [tf.gather(column, ORDER[0]) for column in COLUMNS]
    assert found.losses.tolist() == [pytest.approx(float(same.train_on_batch(*batch)), rel=1e-6)]


def test_gradient_norms_are_measured_now_and_then() -> None:
    model = network(optimizer=keras.optimizers.SGD(0.0), loss="mse")  # stays where it is
    model.layers[3].rate = 0.0
    found = Stepper(model).train(COLUMNS, ORDER)
    assert np.flatnonzero(np.isfinite(found.gradient_norms)).tolist() == list(
        range(0, len(ORDER), NORM_EVERY)
    )
    same = network(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    same.layers[3].rate = 0.0
    batch = [tf.gather(column, ORDER[0]) for column in COLUMNS]
    with tf.GradientTape() as tape:
        loss = same.compute_loss(x=batch[0], y=batch[1], y_pred=same(batch[0], training=True))
    expected = tf.linalg.global_norm(tape.gradient(loss, same.trainable_weights))
    assert found.gradient_norms[0] == pytest.approx(float(expected), rel=1e-5)


def test_no_step_follows_one_whose_loss_is_undefined() -> None:
    broken = TARGETS.copy()  # an input that is nan may come out of a ReLU as 0, as the processor has it
    broken[ORDER[3, 5]] = np.nan
    model = network()
    found = Stepper(model).train((COLUMNS[0], tf.constant(broken)), ORDER)
    assert len(found.losses) == 4
    assert not found.finite
    assert int(model.optimizer.iterations) == 4


class OwnSteps(keras.Model):
    """Moves its weights by a rule of its own, and follows a loss of its own."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.followed = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[keras.Metric]:
        return [self.followed]

    def train_step(self, data: Any) -> dict[str, Any]:
        inputs, targets = data
        with tf.GradientTape() as tape:
            loss = 3 * tf.reduce_mean((self(inputs, training=True) - targets) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables))
        return {"loss": loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        self.followed.update_state(3 * (self(data[0], training=False) - data[1]) ** 2)
        return {"loss": self.followed.result()}


def test_a_model_with_steps_of_its_own_takes_them() -> None:
    ours, theirs = network(OwnSteps), network(OwnSteps)
    stepper = Stepper(ours)
    found = stepper.train(COLUMNS, ORDER)
    fitted_by_keras(theirs, COLUMNS)
    np.testing.assert_allclose(weights_of(ours), weights_of(theirs), rtol=1e-4, atol=1e-6)
    expected = 3 * np.mean((ours(INPUTS, training=False) - TARGETS) ** 2)
    assert stepper.judge(COLUMNS)["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert len(found.losses) == len(ORDER)


@pytest.mark.parametrize("columns", [COLUMNS, WEIGHTED])
def test_rows_are_judged_as_keras_judges_them(
    columns: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(metrics=["accuracy"])
    expected = model.evaluate(
        *columns[:2], sample_weight=columns[2] if len(columns) > 2 else None, verbose=0, return_dict=True
    )
    monkeypatch.setattr(steps, "JUDGED_AT_ONCE", 160)  # four parts of the same size
    assert Stepper(model).judge(columns) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_is_run_line_by_line_takes_the_same_steps() -> None:
    ours, theirs = network(run_eagerly=True), network()
    found = Stepper(ours).train(COLUMNS, ORDER[:3])
    expected = Stepper(theirs).train(COLUMNS, ORDER[:3])
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4)


def test_what_was_traced_is_used_again_until_something_is_compiled_or_frozen() -> None:
    model = network()
    stepper = stepper_of(model)
    assert stepper_of(model) is stepper
    model.layers[1].trainable = False
    frozen = stepper_of(model)
    assert frozen is not stepper
    before = model.layers[1].get_weights()
    frozen.train(COLUMNS, ORDER)
    np.testing.assert_array_equal(before[0], model.layers[1].get_weights()[0])
    model.compile(optimizer="sgd", loss="mse")
    assert stepper_of(model) is not frozen
