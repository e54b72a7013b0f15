import logging
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.baselines import fit_simple
from models.callbacks import Diverged, Progress, state_of
from models.checkpoint import Checkpoint, read_checkpoint, remove_checkpoint, write_checkpoint
from models.export import load_keras, save_keras
from models.fit import Fitted, Steps, fit, planned_steps, predict, update
from models.history import EpochLoss
from models.losses import row_losses
from models.recipe import FitConfig, NetworkConfig, Recipe, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target, Task

WIDTH = 5


def schema(task: Task = "binary", *, classes: int = 2, scale: float = 1.0, width: int = WIDTH) -> Schema:
    columns = tuple(NumberColumn(f"x{place}", 0.0, 0.0, 1.0, indicator=False) for place in range(width))
    names = () if task == "regression" else tuple("vwxyz"[:classes])
    return Schema(columns, Target("y", task, names, 0.0, scale))


def rows(count: int, *, seed: int = 0, turn: float = 1.0) -> Rows:
    """Two classes that one line separates, with noise; turn -1 swaps the classes."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, WIDTH)).astype(np.float32)
    scores = turn * (inputs[:, 0] - inputs[:, 1]) + random.normal(size=count) / 2
    return Rows(inputs, (scores > 0).astype(np.float32))


NONE = rows(0)
CONFIG = FitConfig(epochs=3, batch_size=32)
RECIPE = replace(recipe_from(NetworkConfig(hidden=(4,)), "binary"), linear_start=False)  # something to learn


def trained(**changes: Any) -> Fitted:
    return fit(RECIPE, schema(), rows(300), rows(100, seed=1), replace(CONFIG, **changes))


@pytest.fixture(scope="module")
def plain() -> Fitted:
    """The training of three epochs that others are compared with; not to be trained further."""
    return trained()


@pytest.fixture(scope="module")
def champion(plain: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that every test loads afresh, as an update does."""
    path = tmp_path_factory.mktemp("champion") / "model.keras"
    save_keras(plain.model, path)
    return path


def weights(fitted: Fitted) -> list[Any]:
    return [weight.numpy() for weight in fitted.model.weights]


def same(ours: list[Any], theirs: list[Any]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_training_lowers_the_loss_and_the_best_epoch_is_kept() -> None:
    validation = rows(100, seed=1)
    fitted = fit(RECIPE, schema(), rows(300), validation, replace(CONFIG, epochs=8))
    losses = [epoch.validation_loss for epoch in fitted.history.epochs]
    kept = row_losses("binary_crossentropy", validation.targets, predict(fitted.model, validation.inputs))
    assert kept.mean() == pytest.approx(min(losses), abs=1e-6)
    assert min(losses) < losses[0]


def test_training_ends_when_the_validation_loss_no_longer_falls() -> None:
    against = rows(100, seed=1, turn=-1.0)
    fitted = fit(RECIPE, schema(), rows(300), against, replace(CONFIG, epochs=50, patience=2))
    assert fitted.history.best_epoch == 0
    assert len(fitted.history.epochs) == 3


def test_the_same_arguments_give_the_same_weights(plain: Fitted) -> None:
    assert same(weights(trained()), weights(plain))


def test_without_validation_rows_the_training_loss_decides() -> None:
    fitted = fit(RECIPE, schema(), rows(300), NONE, CONFIG)
    assert all(math.isnan(epoch.validation_loss) for epoch in fitted.history.epochs)
    assert fitted.history.best_epoch == 2


@pytest.mark.parametrize("count", [1, 7, 33])
def test_few_rows_are_enough(count: int) -> None:
    fitted = fit(RECIPE, schema(), rows(count), rows(2, seed=1), FitConfig(epochs=2, steps_at_once=2))
    assert len(fitted.history.epochs) == 2


def test_no_epochs_return_the_network_as_it_was_built() -> None:
    assert trained(epochs=0).history.epochs == ()


def test_several_classes_are_learned() -> None:
    recipe = recipe_from(NetworkConfig(hidden=(4,), metrics=("accuracy",)), "multiclass")
    inputs = np.random.default_rng(0).normal(size=(300, WIDTH)).astype(np.float32)
    data = Rows(inputs, inputs[:, :3].argmax(axis=1).astype(np.int32))
    fitted = fit(recipe, schema("multiclass", classes=3), data, data, replace(CONFIG, epochs=10))
    assert fitted.history.epochs[-1].metrics["val_accuracy"] > 0.6


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_a_regression_is_learned_in_any_unit(scale: float) -> None:
    recipe = recipe_from(NetworkConfig(hidden=(8,)), "regression")
    inputs = np.random.default_rng(0).normal(size=(600, WIDTH)).astype(np.float32)
    data = Rows(inputs, (inputs @ np.array([1, -1, 0.5, 0, 0]) * scale / 1.5).astype(np.float32))
    fitted = fit(recipe, schema("regression", scale=scale), data, data, replace(CONFIG, epochs=30))
    unexplained = np.mean((predict(fitted.model, inputs)[:, 0] - data.targets) ** 2) / data.targets.var()
    assert unexplained < 0.15


def test_a_weight_of_a_row_counts() -> None:
    both = [rows(300), rows(300, turn=-1.0)]
    ignored = np.repeat(np.array([1, 0], np.float32), 300)
    mixed = Rows(
        np.concatenate([part.inputs for part in both]),
        np.concatenate([part.targets for part in both]),
        ignored,
    )
    judge = rows(200, seed=1)
    fitted = fit(RECIPE, schema(), mixed, judge, replace(CONFIG, epochs=10))
    assert fitted.history.best_loss < 0.6


def test_a_users_own_loss_is_minimised() -> None:
    def absolute(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)

    recipe = recipe_from(NetworkConfig(hidden=()), "binary", loss=absolute)
    data = rows(300)
    fitted = fit(recipe, schema(), data, data, CONFIG)
    error = np.abs(predict(fitted.model, data.inputs)[:, 0] - data.targets).mean()
    assert fitted.history.best_loss == pytest.approx(error, abs=1e-5)


class Doubled(keras.Model):  # type: ignore[misc]  # Keras publishes no type of it
    """A user's own class, which has no input shape before it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs: Any) -> Any:
        return self.dense(2 * inputs)


def test_a_users_own_class_of_network_is_trained() -> None:
    fitted = fit(Recipe(lambda _: Doubled(), "binary_crossentropy"), schema(), rows(300), rows(9), CONFIG)
    assert fitted.history.epochs[-1].loss < fitted.history.epochs[0].loss
    assert predict(fitted.model, np.zeros((0, WIDTH), np.float32)).shape == (0, 1)


def test_every_epoch_is_told_once() -> None:
    told: list[EpochLoss] = []
    fitted = fit(RECIPE, schema(), rows(300), NONE, CONFIG, on_epoch=told.append)
    assert tuple(told) == fitted.history.epochs
    assert [epoch.epoch for epoch in told] == [0, 1, 2]


def test_rows_that_are_missing_or_undefined_are_refused() -> None:
    bad = rows(10)
    bad.inputs[3, 1] = np.nan
    with pytest.raises(ValueError, match="No training rows"):
        fit(RECIPE, schema(), NONE, NONE, CONFIG)
    with pytest.raises(ValueError, match="The validation inputs hold NaN"):
        fit(RECIPE, schema(), rows(10), bad, CONFIG)


def test_an_exploding_loss_raises_with_epoch_and_step() -> None:
    def explodes(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.log(y_pred - 2.0)

    with pytest.raises(Diverged, match=r"epoch 0, at step 0.*learning rate") as caught:
        fit(recipe_from(NetworkConfig(), "binary", loss=explodes), schema(), rows(300), NONE, CONFIG)
    assert (caught.value.epoch, caught.value.step) == (0, 0)


def test_a_loss_that_is_undefined_on_the_validation_rows_raises() -> None:
    def undefined_at_nine(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.where(y_true == 9.0, np.nan, keras.ops.square(y_true - y_pred))

    recipe = recipe_from(NetworkConfig(hidden=()), "binary", loss=undefined_at_nine)
    nine = Rows(np.zeros((1, WIDTH), np.float32), np.array([9], np.float32))
    with pytest.raises(Diverged, match="on the validation rows") as caught:
        fit(recipe, schema(), rows(50), nine, CONFIG)
    assert caught.value.step is None


def test_an_epoch_is_cut_into_even_steps() -> None:
    assert planned_steps(300_000, FitConfig()) == Steps(batch=256, count=1172)
    assert planned_steps(257, FitConfig()) == Steps(batch=29, count=9)
    assert planned_steps(3, FitConfig(batch_size=1)) == Steps(1, 3)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 100, 1000, 8192, 100_001])
def test_every_row_has_a_place_in_every_epoch(count: int) -> None:
    steps = planned_steps(count, FitConfig())
    assert count <= steps.batch * steps.count < count + steps.count


def test_answers_do_not_depend_on_the_batch_size(plain: Fitted) -> None:
    model, inputs = plain.model, rows(50).inputs
    assert predict(model, inputs, batch_size=7) == pytest.approx(predict(model, inputs), abs=1e-6)
    assert predict(model, inputs).dtype == np.float32


def test_an_update_goes_on_with_the_optimisers_state(champion: Path) -> None:
    model = load_keras(champion)
    before = int(model.optimizer.iterations.numpy())
    update(model, rows(320), NONE, replace(CONFIG, epochs=1))
    assert before == 30
    assert int(model.optimizer.iterations.numpy()) == before + 10


def test_the_first_steps_after_loading_are_those_without_saving(champion: Path) -> None:
    kept = trained().model
    new = rows(32, seed=5)
    one_step = replace(CONFIG, epochs=2)
    ours = update(kept, new, NONE, one_step)
    theirs = update(load_keras(champion), new, NONE, one_step)
    assert [epoch.loss for epoch in ours.history.epochs[1:]] == [
        epoch.loss for epoch in theirs.history.epochs[1:]
    ]
    assert same(weights(ours), weights(theirs))


def test_an_update_learns_what_has_changed(champion: Path) -> None:
    changed, judge = rows(600, seed=6, turn=-1.0), rows(200, seed=7, turn=-1.0)
    fitted = update(load_keras(champion), changed, judge, replace(CONFIG, epochs=10), learning_rate=0.01)
    start, best = fitted.history.epochs[0], fitted.history.best_loss
    assert start.epoch == -1
    assert best < start.validation_loss / 2
    assert fitted.history.epochs[1].learning_rate == pytest.approx(0.01)


def test_an_update_that_brings_nothing_returns_the_model_as_it_came(champion: Path) -> None:
    model = load_keras(champion)
    before = [weight.numpy() for weight in model.weights]
    steps = int(model.optimizer.iterations.numpy())
    fitted = update(model, rows(300, turn=-1.0), rows(100, seed=1), CONFIG, learning_rate=0.1)
    assert fitted.history.best_epoch == -1
    assert same(weights(fitted), before)
    assert int(fitted.model.optimizer.iterations.numpy()) == steps


def test_the_loss_of_the_model_as_it_came_is_that_of_its_answers(champion: Path) -> None:
    model, judge = load_keras(champion), rows(100, seed=1)
    expected = row_losses("binary_crossentropy", judge.targets, predict(model, judge.inputs)).mean()
    fitted = update(model, rows(50), judge, replace(CONFIG, epochs=0))
    assert fitted.history.best_loss == pytest.approx(expected, abs=1e-6)
    assert math.isnan(fitted.history.epochs[0].loss)


def test_an_update_that_diverges_leaves_the_model_as_it_came(champion: Path) -> None:
    model = load_keras(champion)
    before = [weight.numpy() for weight in model.weights]
    heavy = replace(rows(300), weights=np.full(300, 3e38, np.float32))
    with pytest.raises(Diverged):
        update(model, heavy, NONE, CONFIG)
    assert all(
        np.array_equal(weight.numpy(), came) for weight, came in zip(model.weights, before, strict=True)
    )
    assert int(model.optimizer.iterations.numpy()) == 30


def test_two_updates_of_one_model_may_have_other_numbers_of_rows(champion: Path) -> None:
    model = load_keras(champion)
    update(model, rows(40), NONE, replace(CONFIG, epochs=1))
    fitted = update(model, rows(4000), NONE, replace(CONFIG, epochs=1))
    assert len(fitted.history.epochs) == 2


class Killed(Exception):
    """Stands for the end of the process."""


def stop_after(epoch: int) -> Callable[[EpochLoss], None]:
    def on_epoch(record: EpochLoss) -> None:
        if record.epoch == epoch:
            raise Killed

    return on_epoch


def interrupted(checkpoint: Path, *, seed: int = 0) -> None:
    """Trains until the last of three epochs is done but not yet written down."""
    config = replace(CONFIG, seed=seed)
    validation = rows(100, seed=1)
    with pytest.raises(Killed):
        fit(
            RECIPE,
            schema(),
            rows(300),
            validation,
            config,
            checkpoint=checkpoint,
            on_epoch=stop_after(2),
        )


def resumed(checkpoint: Path, on_epoch: Callable[[EpochLoss], None] | None = None) -> Fitted:
    return fit(
        RECIPE, schema(), rows(300), rows(100, seed=1), CONFIG, checkpoint=checkpoint, on_epoch=on_epoch
    )


def test_an_interrupted_training_goes_on_to_the_same_weights(plain: Fitted, tmp_path: Path) -> None:
    checkpoint = tmp_path / "deep" / "training"
    told: list[int] = []
    interrupted(checkpoint)
    fitted = resumed(checkpoint, lambda epoch: told.append(epoch.epoch))
    assert told == [2]
    assert same(weights(fitted), weights(plain))
    assert [epoch.loss for epoch in fitted.history.epochs] == [epoch.loss for epoch in plain.history.epochs]


def test_an_interrupted_update_goes_on_to_the_same_weights(champion: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "update"
    new, judge = rows(300, seed=6, turn=-1.0), rows(100, seed=7, turn=-1.0)
    with pytest.raises(Killed):
        update(load_keras(champion), new, judge, CONFIG, checkpoint=checkpoint, on_epoch=stop_after(2))
    assert checkpoint.exists()
    fitted = update(load_keras(champion), new, judge, CONFIG, checkpoint=checkpoint)
    whole = update(load_keras(champion), new, judge, CONFIG)
    assert same(weights(fitted), weights(whole))
    assert [epoch.epoch for epoch in fitted.history.epochs] == [-1, 0, 1, 2]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "another file": lambda content: b"something else",
    "cut off": lambda content: content[:-50],
    "one bit turned": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_ignored_with_a_warning(
    damage: str, plain: Fitted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "training"
    write_checkpoint(path, Checkpoint("name", plain.history, state_of(plain.model), None))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert read_checkpoint(path, "name") is None
    assert "is damaged" in caplog.text


def test_a_damaged_checkpoint_makes_the_training_start_anew(plain: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "training"
    path.write_bytes(b"half of a")
    assert same(weights(resumed(path)), weights(plain))


def test_a_checkpoint_of_another_network_changes_nothing(
    plain: Fitted, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(plain.model)
    with caplog.at_level(logging.WARNING):
        progress.resume(Checkpoint("name", plain.history, state_of(plain.model)[:-1], None))
    assert "of a network with other layers" in caplog.text
    assert progress.next_epoch == 0


def test_a_checkpoint_of_another_training_is_ignored_with_a_warning(
    plain: Fitted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "training"
    interrupted(checkpoint, seed=1)
    with caplog.at_level(logging.WARNING):
        fitted = resumed(checkpoint)
    assert "belongs to another training" in caplog.text
    assert same(weights(fitted), weights(plain))


def test_a_training_killed_after_its_last_epoch_only_returns_its_result(tmp_path: Path) -> None:
    checkpoint = tmp_path / "training"
    told: list[EpochLoss] = []
    whole = resumed(checkpoint)
    again = resumed(checkpoint, told.append)
    assert told == []
    assert same(weights(again), weights(whole))
    remove_checkpoint(checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_training_leaves_no_checkpoint(tmp_path: Path) -> None:
    def explodes(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.log(y_pred - 2.0)

    recipe = recipe_from(NetworkConfig(hidden=()), "binary", loss=explodes)
    with pytest.raises(Diverged):
        fit(recipe, schema(), rows(50), NONE, CONFIG, checkpoint=tmp_path / "training")
    assert list(tmp_path.iterdir()) == []


TRAINING = """
import sys
from pathlib import Path
import keras
import numpy as np
from models.fit import fit
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import NumberColumn, Schema, Target


def own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def tell(epoch):
    print(epoch.epoch, flush=True)


random = np.random.default_rng(0)
inputs = random.normal(size=(5_000, 8)).astype(np.float32)
targets = (inputs[:, 0] * inputs[:, 1] + random.normal(size=5_000)).astype(np.float32)
columns = tuple(NumberColumn(str(place), 0.0, 0.0, 1.0, False) for place in range(8))
schema = Schema(columns, Target("y", "regression", (), 0.0, 1.0))
recipe = recipe_from(NetworkConfig(), "regression", loss=own_loss)
train, validation = Rows(inputs[:4_000], targets[:4_000]), Rows(inputs[4_000:], targets[4_000:])
config = FitConfig(epochs=6, patience=6)
fitted = fit(recipe, schema, train, validation, config, checkpoint=Path(sys.argv[1]), on_epoch=tell)
np.savez(sys.argv[2], *[weight.numpy() for weight in fitted.model.weights])
"""


def test_training_ends_when_the_validation_loss_is_low_enough() -> None:
    whole = trained(epochs=8)
    losses = [epoch.validation_loss for epoch in whole.history.epochs]
    ended = trained(epochs=8, target_loss=losses[3])
    assert [epoch.validation_loss for epoch in ended.history.epochs] == losses[:4]
    assert ended.history.best_loss <= losses[3]


def test_an_update_of_a_model_that_has_reached_its_target_still_learns(plain: Fitted, champion: Path) -> None:
    further = update(load_keras(champion), rows(300), rows(100, seed=1), replace(CONFIG, target_loss=9.0))
    assert [epoch.epoch for epoch in further.history.epochs] == [-1, 0]


def test_a_training_that_had_reached_its_target_is_not_trained_further(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=8, target_loss=9.0)
    told: list[EpochLoss] = []
    for _ in range(2):
        fitted = fit(
            RECIPE,
            schema(),
            rows(300),
            rows(100, seed=1),
            config,
            checkpoint=tmp_path / "c",
            on_epoch=told.append,
        )
    assert [epoch.epoch for epoch in told] == [0]
    assert len(fitted.history.epochs) == 1


def test_penalties_are_in_the_training_loss_and_not_in_the_validation_loss() -> None:
    recipe = recipe_from(NetworkConfig(hidden=(4,), l1=0.02, l2=0.01), "binary")
    validation = rows(100, seed=1)
    fitted = fit(recipe, schema(), rows(300), validation, CONFIG)
    best = next(one for one in fitted.history.epochs if one.epoch == fitted.history.best_epoch)
    plain = row_losses("binary_crossentropy", validation.targets, predict(fitted.model, validation.inputs))
    assert best.validation_loss == pytest.approx(plain.mean(), abs=1e-6)
    assert best.metrics["penalty"] == pytest.approx(float(sum(fitted.model.losses)), rel=1e-6)
    assert best.loss > best.validation_loss


def test_balanced_classes_are_found_more_often() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2000, WIDTH)).astype(np.float32)
    rare = Rows(inputs, (inputs[:, 0] + random.normal(size=2000) > 2.5).astype(np.float32))
    found = []
    for weights in (None, "balanced", (1.0, 20.0)):
        config = replace(CONFIG, epochs=12, class_weights=weights)
        model = fit(RECIPE, schema(), rare, rare, config).model
        found.append(np.mean(predict(model, inputs)[rare.targets == 1] > 0.5))
    assert found[0] < 0.4
    assert min(found[1:]) > 0.6


def test_weights_of_classes_are_not_judged() -> None:
    validation = rows(100, seed=1)
    config = replace(CONFIG, class_weights=(3.0, 0.5))
    fitted = fit(RECIPE, schema(), rows(300), validation, config)
    plain = row_losses("binary_crossentropy", validation.targets, predict(fitted.model, validation.inputs))
    assert fitted.history.best_loss == pytest.approx(plain.mean(), abs=1e-6)


def run(script: Path, checkpoint: Path, result: Path, *, kill_after: int | None = None) -> list[int]:
    """Trains in a process of its own, killed as soon as it has told of an epoch; returns the epochs told."""
    command = [sys.executable, str(script), str(checkpoint), str(result)]
    told = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            told.append(int(line))
            if told[-1] == kill_after:
                process.kill()
    assert process.returncode == (0 if kill_after is None else -signal.SIGKILL)
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)  # three times TensorFlow's start
def test_a_training_killed_by_the_system_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    script, checkpoint = tmp_path / "training.py", tmp_path / "checkpoint"
    script.write_text(TRAINING)
    run(script, checkpoint, tmp_path / "never.npz", kill_after=2)
    assert checkpoint.exists()
    assert run(script, checkpoint, tmp_path / "resumed.npz")[0] in (2, 3, 4)
    assert run(script, tmp_path / "other", tmp_path / "whole.npz") == [0, 1, 2, 3, 4, 5]
    with np.load(tmp_path / "resumed.npz") as resumed, np.load(tmp_path / "whole.npz") as whole:
        for name in whole.files:
            assert resumed[name] == pytest.approx(whole[name], abs=1e-6)


def inputs_of(width: int, count: int, kind: str) -> tuple[Any, Any]:
    """Rows of a linear truth, the hardest case for a network beside a linear model."""
    random = np.random.default_rng(width + count)
    inputs = random.normal(size=(count + 5000, width)).astype(np.float32)
    scores = inputs @ random.normal(size=width) / np.sqrt(width) * 1.5
    if kind == "regression":
        return inputs, (scores + random.normal(size=len(scores))).astype(np.float32)
    return inputs, (random.random(len(scores)) < 1 / (1 + np.exp(-scores))).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize(
    ("width", "count", "least"), [(30, 1000, 0.85), (200, 1000, 0.5), (200, 10_000, 0.93)]
)
def test_where_a_line_is_the_truth_the_network_wins_nearly_what_a_linear_model_wins(
    task: Any, width: int, count: int, least: float
) -> None:
    inputs, targets = inputs_of(width, count, task)
    cut = round(count * 0.85)
    train, stop = Rows(inputs[:cut], targets[:cut]), Rows(inputs[cut:count], targets[cut:count])
    network = NetworkConfig()
    recipe = recipe_from(network, task)
    columns = schema(task, scale=float(targets[:count].std()), width=width)
    fitted = fit(recipe, columns, train, stop, network.fit_config(seed=0))
    simple = fit_simple(task, inputs[:count], targets[:count])
    loss, judge, truth = str(recipe.loss), inputs[count:], targets[count:]
    ours = row_losses(loss, truth, predict(fitted.model, judge)).mean()
    theirs = row_losses(loss, truth, simple.predict(judge)).mean()
    nothing = row_losses(loss, truth, np.full((len(truth), 1), targets[:count].mean(), np.float32)).mean()
    assert (nothing - ours) / (nothing - theirs) > least
