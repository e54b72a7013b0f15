import dataclasses
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from models.fit import fit, predict
from models.keras_objects import Quantile, planned_rate
from models.losses import CATALOGUE, NamedLoss, row_losses
from models.optimizers import OPTIMIZERS
from models.recipe import (
    FitConfig,
    NetworkConfig,
    Recipe,
    as_labels,
    catalogue_name,
    recipe_from,
    row_losses_of,
    row_losses_through_keras,
    wants_columns,
)
from models.rows import Rows
from models.schedules import Schedule
from models.schema import NumberColumn, Schema, Target, Task


def schema(task: Task = "binary", *, classes: int = 2, mean: float = 0.0, scale: float = 1.0) -> Schema:
    columns = tuple(NumberColumn(name, 0.0, 0.0, 1.0, indicator=False) for name in ("a", "b", "c"))
    names = () if task == "regression" else tuple("vwxyz"[:classes])
    return Schema(columns, Target("y", task, names, mean, scale))


def answers(model: keras.Model, rows: int = 4) -> Any:
    inputs = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    return model.predict_on_batch(inputs)


def squared(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def one_number(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


def dense(outputs: int) -> Any:
    def build(schema: Schema) -> keras.Model:
        return keras.Sequential([keras.Input((schema.width,)), keras.layers.Dense(outputs)])

    return build


def test_a_binary_network_starts_by_not_knowing() -> None:
    model = recipe_from(NetworkConfig(), "binary").compiled(schema(), seed=0)
    assert answers(model).tolist() == [[0.5]] * 4


def test_a_network_of_classes_answers_a_probability_each() -> None:
    model = recipe_from(NetworkConfig(), "multiclass").compiled(schema("multiclass", classes=5), seed=0)
    assert answers(model).shape == (4, 5)
    assert answers(model).sum(axis=1) == pytest.approx(1)


def test_a_regression_starts_at_the_mean_of_the_target_in_its_own_units() -> None:
    model = recipe_from(NetworkConfig(), "regression").compiled(
        schema("regression", mean=500, scale=90), seed=0
    )
    assert answers(model).ravel().tolist() == [500] * 4


def test_a_regression_with_a_logarithm_in_its_loss_answers_positive_values() -> None:
    recipe = recipe_from(NetworkConfig(loss="poisson"), "regression")
    model = recipe.compiled(schema("regression", mean=-3.0), seed=0)
    assert (answers(model) > 0).all()


def test_no_hidden_layer_is_a_linear_model() -> None:
    model = recipe_from(NetworkConfig(hidden=()), "binary").compiled(schema(), seed=0)
    assert model.count_params() == 4


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    recipe = recipe_from(NetworkConfig(), "binary")
    first, again, other = (recipe.compiled(schema(), seed=seed).weights[2].numpy() for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_that_may_be_chosen_can_be_made(optimizer: Any) -> None:
    config = NetworkConfig(optimizer=optimizer, learning_rate=0.02, weight_decay=0.3)
    model = recipe_from(config, "binary").compiled(schema(), seed=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert model.optimizer.weight_decay == 0.3


def test_no_clipping_and_no_decay_can_be_asked_for() -> None:
    config = NetworkConfig(optimizer="adam", clip_norm=0, weight_decay=0)
    optimizer = recipe_from(config, "binary").compiled(schema(), seed=0).optimizer
    assert (optimizer.global_clipnorm, optimizer.weight_decay) == (None, None)


def test_the_optimiser_is_told_the_unit_of_the_target() -> None:
    recipe = recipe_from(NetworkConfig(), "regression")
    small = recipe.compiled(schema("regression", scale=1e-3), seed=0).optimizer
    large = recipe.compiled(schema("regression", scale=1e3), seed=0).optimizer
    assert (small.global_clipnorm, large.global_clipnorm) == (pytest.approx(1e-6), pytest.approx(1e6))
    assert (small.epsilon, large.epsilon) == (pytest.approx(1e-13), pytest.approx(0.1))


def test_parameters_of_loss_optimiser_and_schedule_reach_keras() -> None:
    config = NetworkConfig(
        loss="huber",
        loss_parameters={"delta": 3.0},
        optimizer="sgd",
        optimizer_parameters={"momentum": 0.9},
        clip_by="value",
        schedule="step",
        schedule_parameters={"every": 4},
        warmup=2.0,
    )
    model = recipe_from(config, "regression").compiled(schema("regression"), seed=0)
    assert (model.loss.get_config()["delta"], model.optimizer.momentum, model.optimizer.clipvalue) == (
        3,
        0.9,
        1,
    )
    planned = planned_rate(model.optimizer)
    assert planned is not None
    assert planned.schedule == Schedule("step", 2.0, {"every": 4})


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_loss_of_the_catalogue_trains_the_network_that_comes_along(name: str) -> None:
    task = CATALOGUE[name].fits[-1]
    target = schema(task, classes=3 if task == "multiclass" else 2)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(128, 3)).astype(np.float32)
    targets = {
        "regression": np.abs(inputs[:, 0]).astype(np.float32),
        "binary": (inputs[:, 0] > 0).astype(np.float32),
        "multiclass": inputs.argmax(axis=1).astype(np.int32),
    }[task]
    rows = Rows(inputs, targets)
    recipe = recipe_from(NetworkConfig(hidden=(), loss=name, learning_rate=0.03), task)
    recipe = dataclasses.replace(recipe, linear_start=False)  # so that there is something to learn
    fitted = fit(recipe, target, rows, rows, FitConfig(epochs=4))
    first, last = fitted.history.epochs[0], fitted.history.epochs[-1]
    judged = row_losses(name, targets, predict(fitted.model, inputs)).mean()
    assert last.validation_loss < first.validation_loss
    assert judged == pytest.approx(fitted.history.best_loss, rel=1e-4, abs=1e-6)


def test_label_smoothing_is_learned_and_not_judged() -> None:
    binary = recipe_from(NetworkConfig(label_smoothing=0.2), "binary")
    assert binary.loss == NamedLoss("binary_crossentropy", {"label_smoothing": 0.2})
    several = recipe_from(NetworkConfig(label_smoothing=0.3), "multiclass")
    assert several.loss == NamedLoss("categorical_crossentropy", {"label_smoothing": 0.3})
    rows = Rows(np.zeros((400, 3), np.float32), np.zeros(400, np.int32))
    config = NetworkConfig(hidden=(), label_smoothing=0.3, learning_rate=0.1, weight_decay=0.0)
    recipe = recipe_from(config, "multiclass")
    model = fit(recipe, schema("multiclass", classes=3), rows, rows, FitConfig(epochs=20)).model
    assert predict(model, rows.inputs[:1])[0].tolist() == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@pytest.mark.parametrize(
    ("settings", "task", "said"),
    [
        ({}, "regression", "label_smoothing is for Keras's losses of classes, not for a number"),
        ({"loss": "hinge"}, "binary", "label_smoothing does not go with loss 'hinge'"),
        (
            {"loss": "bce", "loss_parameters": {"label_smoothing": 0.1}},
            "binary",
            "and its own label_smoothing. Keep one of them",
        ),
        (
            {"loss": "sparse_categorical_crossentropy", "loss_parameters": {"ignore_class": 1}},
            "multiclass",
            "label_smoothing does not go with loss 'sparse_categorical_crossentropy'",
        ),
    ],
)
def test_label_smoothing_that_does_not_go_is_refused(settings: Any, task: Task, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe_from(NetworkConfig(label_smoothing=0.1, **settings), task)


def test_label_smoothing_of_a_users_own_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="not for the loss squared"):
        recipe_from(NetworkConfig(label_smoothing=0.1), "binary", loss=squared)


def test_scores_are_for_a_network_of_ones_own() -> None:
    config = NetworkConfig(loss="bce", loss_parameters={"from_logits": True})
    with pytest.raises(ValueError, match="the mlp answers probabilities"):
        recipe_from(config, "binary")
    model = recipe_from(config, "binary", build=dense(1)).compiled(schema(), seed=0)
    assert model.loss.get_config()["from_logits"] is True


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss_parameters": {"delta": 1}}, "loss_parameters: they are of a loss that is written"),
        ({"loss": "own:loss", "loss_parameters": {"a": 1}}, "the loss is a function of your own"),
        ({"loss": "huber", "loss_parameters": {"delta": 0}}, "loss_parameters: delta = 0: expected"),
        (
            {"optimizer_parameters": {"momentum": 1}},
            "optimizer_parameters: adamw has no parameter 'momentum'",
        ),
        (
            {"schedule": "step", "schedule_parameters": {"evry": 1}},
            "schedule_parameters: step has no parameter",
        ),
        ({"schedule": "plateau", "patience": 2}, "the training ends after patience = 2 epochs"),
        ({"class_weights": "even"}, 'class_weights: "even" is not known. Write "balanced"'),
        ({"class_weights": {"late": -1}}, "class_weights: 'late' = -1: expected a number of 0 or more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_with_their_key(settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NetworkConfig(**settings)


def test_all_mistakes_of_the_settings_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"delta = 0.*; optimizer_parameters: .*; class_weights: "):
        NetworkConfig(
            loss="huber",
            loss_parameters={"delta": 0},
            optimizer_parameters={"x": 1},
            class_weights="even",
        )


def test_weights_of_classes_are_put_in_the_order_of_the_target() -> None:
    config = NetworkConfig(class_weights={"w": 3.0})
    assert config.fit_config(seed=0, classes=("v", "w", "x")).class_weights == (1.0, 3.0, 1.0)
    assert (
        NetworkConfig(class_weights="balanced").fit_config(seed=0, classes=("v", "w")).class_weights
        == "balanced"
    )
    with pytest.raises(ValueError, match="names 'w'; the target's classes are 'a', 'b'"):
        config.fit_config(seed=0, classes=("a", "b"))
    with pytest.raises(ValueError, match="the target is a number"):
        config.fit_config(seed=0)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("MSE", "mean_squared_error"),
        ("Huber", "huber"),
        (NamedLoss("bce", {"from_logits": True}), "binary_crossentropy"),
        (keras.losses.CategoricalHinge(), "categorical_hinge"),
        (keras.losses.poisson, "poisson"),
        (Quantile(0.3), "quantile"),
        (squared, None),
        ("own:loss", None),
    ],
)
def test_a_loss_of_the_catalogue_is_recognised_in_every_form(loss: Any, name: str | None) -> None:
    assert catalogue_name(loss) == name


def test_a_users_own_loss_with_the_name_of_one_of_keras_is_the_users_own() -> None:
    def huber(y_true: Any, y_pred: Any) -> Any:
        return y_pred

    assert catalogue_name(huber) is None
    assert not wants_columns(huber)


def test_a_network_that_the_user_compiled_with_columns_of_classes_gets_columns() -> None:
    def build(schema: Schema) -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", keras.losses.CategoricalCrossentropy())
        return model

    inputs = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    rows = Rows(inputs, inputs.argmax(axis=1).astype(np.int32))
    fitted = fit(Recipe(build, "unused"), schema("multiclass", classes=3), rows, rows, FitConfig(epochs=1))
    expected = row_losses("categorical_crossentropy", rows.targets, predict(fitted.model, inputs)).mean()
    assert fitted.history.best_loss == pytest.approx(expected, rel=1e-5)


def test_any_loss_gives_its_rows() -> None:
    target, prediction = np.array([1.0, 3.0], np.float32), np.array([[0.0], [0.0]], np.float32)
    assert row_losses_of("mae", target, prediction).tolist() == [1, 3]
    assert row_losses_of(NamedLoss("huber", {"delta": 0.5}), target, prediction).tolist() == [0.375, 1.375]
    assert row_losses_of(squared, target, prediction).tolist() == [1, 9]
    assert row_losses_of(keras.losses.Huber(0.5), target, prediction).tolist() == [0.375, 1.375]


def test_metrics_are_compiled_in() -> None:
    model = recipe_from(NetworkConfig(metrics=("accuracy",)), "binary").compiled(schema(), seed=0)
    figures = model.test_on_batch(np.zeros((2, 3)), np.ones((2, 1)), return_dict=True)
    assert set(figures) == {"loss", "accuracy"}


def test_a_users_own_network_is_compiled_with_the_settings() -> None:
    recipe = recipe_from(NetworkConfig(learning_rate=0.5), "regression", build=dense(1))
    model = recipe.compiled(schema("regression"), seed=0)
    assert (model.loss, float(model.optimizer.learning_rate)) == ("mean_squared_error", 0.5)


def test_a_network_that_the_user_compiled_stays_as_it_is() -> None:
    def build(schema: Schema) -> keras.Model:
        model = dense(1)(schema)
        model.compile(optimizer=keras.optimizers.SGD(0.25), loss="mae")
        return model

    model = Recipe(build, "mean_squared_error").compiled(schema("regression"), seed=0)
    assert (model.loss, type(model.optimizer).__name__) == ("mae", "SGD")
    assert model.optimizer.built


def test_a_network_that_is_not_built_yet_is_built() -> None:
    def build(schema: Schema) -> keras.Model:
        return keras.Sequential([keras.layers.Dense(1)])

    assert Recipe(build, "mse").compiled(schema("regression"), seed=0).count_params() == 4


def test_a_network_with_the_wrong_number_of_outputs_is_refused_with_the_number_expected() -> None:
    with pytest.raises(ValueError, match=r"answers a row with 1 numbers; the target 'y'.*needs 3"):
        Recipe(dense(1), "mse").compiled(schema("multiclass", classes=3), seed=0)


def test_a_network_with_the_wrong_number_of_inputs_is_refused_with_the_number_expected() -> None:
    def build(schema: Schema) -> keras.Model:
        return keras.Sequential([keras.Input((9,)), keras.layers.Dense(1)])

    with pytest.raises(ValueError, match=r"does not take rows of 3 inputs"):
        Recipe(build, "mse").compiled(schema("regression"), seed=0)


def test_a_network_of_two_answers_is_refused() -> None:
    def build(schema: Schema) -> keras.Model:
        inputs = keras.Input((schema.width,))
        return keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])

    with pytest.raises(ValueError, match=r"answers 2 rows with list; expected one array"):
        Recipe(build, "mse").compiled(schema("regression"), seed=0)


def test_a_network_that_answers_without_a_row_each_is_refused() -> None:
    def build(schema: Schema) -> keras.Model:
        inputs = keras.Input((schema.width,))
        return keras.Model(inputs, keras.layers.Flatten()(keras.ops.expand_dims(inputs, 0)))

    with pytest.raises(ValueError, match=r"answers 2 rows with shape \(1, 6\)"):
        Recipe(build, "mse").compiled(schema("regression"), seed=0)


def test_a_build_that_returns_no_network_is_refused() -> None:
    def build(schema: Schema) -> Any:
        return None

    with pytest.raises(ValueError, match=r"build returned NoneType; expected a keras\.Model"):
        Recipe(build, "mse").compiled(schema(), seed=0)


def test_a_loss_that_does_not_fit_the_target_is_refused() -> None:
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        recipe_from(NetworkConfig(loss="sparse_categorical_crossentropy"), "regression")


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"network\.family = 'transformer'.*mlp"):
        recipe_from(NetworkConfig(family="transformer"), "binary").compiled(schema(), seed=0)


def test_a_users_own_loss_gives_a_loss_a_row() -> None:
    target = np.array([1.0, 3.0], np.float32)
    prediction = np.array([[1.0], [1.0]], np.float32)
    assert row_losses_through_keras(squared, target, prediction).tolist() == [0, 4]


def test_a_loss_object_gives_a_loss_a_row() -> None:
    loss = keras.losses.MeanAbsoluteError()
    losses = row_losses_through_keras(loss, np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))
    assert losses.tolist() == [0, 2]


@pytest.mark.parametrize("loss", ["binary_crossentropy", "mean_squared_error", "huber"])
def test_losses_through_keras_are_those_of_the_catalogue(loss: str) -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 2, 50).astype(np.float32)
    prediction = random.uniform(0.01, 0.99, (50, 1)).astype(np.float32)
    expected = row_losses(loss, target, prediction)
    assert row_losses_through_keras(loss, target, prediction) == pytest.approx(expected, abs=1e-6)


def test_a_loss_of_classes_takes_whole_numbers() -> None:
    prediction = np.array([[0.5, 0.25, 0.25]], np.float32)
    losses = row_losses_through_keras(keras.losses.sparse_categorical_crossentropy, np.array([1]), prediction)
    assert losses == pytest.approx([np.log(4)])


def test_a_loss_that_averages_over_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one_number gave shape \(\) for 2 rows.*axis=-1"):
        row_losses_through_keras(one_number, np.array([1.0, 3.0]), np.array([[1.0], [1.0]]))


def test_targets_of_one_output_become_a_column() -> None:
    assert as_labels(np.zeros(3), 1).shape == (3, 1)
    assert as_labels(np.zeros(3), 4).shape == (3,)


def test_the_settings_of_a_fit_come_from_the_network() -> None:
    network = NetworkConfig(epochs=7, batch_size=8, patience=9)
    assert network.fit_config(seed=5) == FitConfig(epochs=7, batch_size=8, patience=9, seed=5)


@pytest.mark.parametrize("config", [NetworkConfig, FitConfig])
def test_every_setting_is_documented_and_its_default_is_allowed(config: type) -> None:
    for field in dataclasses.fields(config):
        assert field.metadata["doc"]
        low, high = field.metadata.get("range", (None, None))
        values = field.default if isinstance(field.default, tuple) else (field.default,)
        assert all(low is None or low <= value <= high for value in values)
        assert field.default in field.metadata.get("choices", [field.default])


def test_importing_recipes_does_not_import_keras() -> None:
    code = "import sys, models.recipe, models.history, models.rows; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
