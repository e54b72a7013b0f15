"""What a network is made of and how it learns: build, loss, optimiser, and the settings a user may write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.families import family
from models.losses import check_loss, default_loss

if TYPE_CHECKING:
    import keras

    from models.schema import Schema, Task

Build = Callable[["Schema"], "keras.Model"]
Loss = (
    str | Callable[..., Any]
)  # a name of Keras's catalogue, (y_true, y_pred) -> loss per row, or a keras Loss
Optimizer = Literal["adamw", "adam", "sgd", "rmsprop", "nadam", "lion"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)

# How a loss grows with the unit of the target: twice the unit is 4 times the squared error.
_UNIT_POWERS = {
    "mean_squared_error": 2,
    "mse": 2,
    "mean_absolute_error": 1,
    "mae": 1,
    "huber": 1,
    "log_cosh": 1,
    "logcosh": 1,
}
_WITH_EPSILON = ("adamw", "adam", "rmsprop", "nadam")
_NEEDS_POSITIVE = (
    "poisson",
    "mean_squared_logarithmic_error",
    "msle",
)  # they take the logarithm of the answer


_EPOCHS = {"doc": "passes over the training rows at most", "range": (0, 10_000)}
_BATCH_SIZE = {"doc": "rows of a step at most; small data take smaller steps", "range": (1, 1_000_000)}
_PATIENCE = {"doc": "epochs without a better validation loss before training ends", "range": (1, 10_000)}


@dataclass(frozen=True)
class FitConfig:
    """How long and in which steps a network learns."""

    epochs: int = field(default=60, metadata=_EPOCHS)  # early stopping ends nearly every training before
    batch_size: int = field(
        default=256, metadata=_BATCH_SIZE
    )  # below, the fixed cost of a step is most of it
    patience: int = field(default=4, metadata=_PATIENCE)  # one unlucky epoch is common, four in a row are not
    seed: int = field(
        default=0, metadata={"doc": "of weights, dropout and row order", "range": (0, 2**31 - 1)}
    )
    steps_at_once: int = field(
        default=256,  # a hundredth of a second of a small network; Python costs a hundredth of that
        metadata={"doc": "steps that TensorFlow takes before Python hears of them", "range": (1, 100_000)},
    )


@dataclass(frozen=True)
class NetworkConfig:
    """The network and its training as a user may set them; every default works untouched.

    >>> NetworkConfig(hidden=(32,), epochs=5).fit_config(seed=7).epochs
    5
    """

    family: str = field(
        default="mlp", metadata={"doc": "which of the networks that come along", "choices": ("mlp",)}
    )
    hidden: tuple[int, ...] = field(
        default=(64, 32),
        metadata={"doc": "units of each hidden layer; [] is a linear model", "range": (1, 8192)},
    )
    dropout: float = field(
        default=0.3,  # with 850 rows of 200 inputs 0.1 lost half of what a linear model gains; tried 0.1 to 0.5
        metadata={"doc": "share of hidden units left out at each step", "range": (0.0, 0.9)},
    )
    input_dropout: float = field(
        default=0.1,  # 0.2 cost more on data with curves than it won on data without
        metadata={"doc": "share of inputs that the hidden layers do not see at a step", "range": (0.0, 0.9)},
    )
    loss: str | None = field(
        default=None,  # squared error, or cross-entropy of the classes
        metadata={
            "doc": 'a loss of Keras by name, or your own as "module:function"; by default the one that fits the target'
        },
    )
    optimizer: Optimizer = field(
        default="adamw", metadata={"doc": "the rule that turns gradients into steps", "choices": OPTIMIZERS}
    )
    learning_rate: float = field(default=1e-3, metadata={"doc": "size of a step", "range": (1e-8, 10.0)})
    weight_decay: float = field(
        default=0.1,  # 0 to 1 hardly differ on rows of the training's period; more is calmer after it
        metadata={"doc": "share of a weight that a step of size 1 takes away", "range": (0.0, 10.0)},
    )
    clip_norm: float = field(
        default=1.0,  # one absurd row may turn the weights, not throw them away
        metadata={
            "doc": "longest gradient let through, for a target of scale 1; 0 is no limit",
            "range": (0.0, 1e6),
        },
    )
    metrics: tuple[str, ...] = field(
        default=(), metadata={"doc": "further figures of every epoch, under Keras's names"}
    )
    epochs: int = field(default=60, metadata=_EPOCHS)
    batch_size: int = field(default=256, metadata=_BATCH_SIZE)
    patience: int = field(default=4, metadata=_PATIENCE)

    def fit_config(self, *, seed: int) -> FitConfig:
        """The part of the settings that `fit` and `update` take."""
        return FitConfig(epochs=self.epochs, batch_size=self.batch_size, patience=self.patience, seed=seed)


@dataclass(frozen=True)
class Recipe:
    """How to make a compiled network for any schema.

    build: returns a network with inputs (n, schema.width) and outputs (n, schema.outputs). One that it has
    compiled itself stays as it is, and the settings below are not used.
    loss: called with targets (n, 1), or (n,) whole numbers for several classes, and answers (n, outputs).
    clip_norm: for a target of scale 1; 0 is no limit. metrics: Keras's names.
    """

    build: Build
    loss: Loss
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    metrics: tuple[str, ...] = ()

    def compiled(self, schema: Schema, *, seed: int) -> keras.Model:
        """A fresh network, ready to learn: the same seed gives the same weights.

        Sets the seed of Keras, numpy and Python for the whole process.
        Raises ValueError where the network does not fit the schema.
        """
        import keras

        keras.utils.set_random_seed(seed)
        model = self.build(schema)
        _check_is_model(model)
        if not model.built:
            model(keras.Input((schema.width,)))
        check_shape(model, schema)
        if not model.compiled:
            model.compile(optimizer=_optimizer(self, schema), loss=self.loss, metrics=[*self.metrics] or None)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return model


def recipe_from(
    network: NetworkConfig, task: Task, *, build: Build | None = None, loss: Loss | None = None
) -> Recipe:
    """The recipe of these settings; a user's own build or loss takes the place of ours.

    >>> recipe_from(NetworkConfig(), "binary").loss
    'binary_crossentropy'
    """
    chosen = loss or network.loss or default_loss(task)
    if isinstance(chosen, str) and (advice := check_loss(chosen, task)):
        raise ValueError(advice)
    return Recipe(
        build=build or partial(_build, network, isinstance(chosen, str) and chosen in _NEEDS_POSITIVE),
        loss=chosen,
        optimizer=network.optimizer,
        learning_rate=network.learning_rate,
        weight_decay=network.weight_decay,
        clip_norm=network.clip_norm,
        metrics=network.metrics,
    )


def check_shape(model: keras.Model, schema: Schema) -> None:
    """Raises ValueError where inputs or outputs of the network are not those of the schema."""
    outputs = outputs_of(model, schema.width)
    if outputs != schema.outputs:
        raise ValueError(
            f"The network answers a row with {outputs} numbers; the target {schema.target.name!r} "
            f"({schema.target.task}) needs {schema.outputs}. End it with keras.layers.Dense(schema.outputs)."
        )


def outputs_of(model: keras.Model, width: int) -> int:
    """How many numbers the network answers a row of this width with.

    Raises ValueError where it does not take such rows, or does not answer with one array (n, outputs).
    """
    try:
        answers = model(np.zeros((2, width), np.float32), training=False)
    except Exception as fault:  # whatever the first layer that does not fit raises
        raise ValueError(
            f"The network does not take rows of {width} inputs. Begin it with keras.Input((schema.width,)) "
            f"and reshape inside. It said: {fault}"
        ) from fault
    shape = getattr(answers, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 2:
        what = f"{type(answers).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"The network answers 2 rows with {what}; expected one array of shape (2, outputs). "
            "End it with one keras.layers.Dense."
        )
    return int(shape[1])


def row_losses_through_keras(
    loss: Loss, target: NDArray[Any], prediction: NDArray[Any]
) -> NDArray[np.float64]:
    """Loss of every row by a loss of the user's own, before any averaging.

    target: (n,). prediction: (n, outputs). Returns (n,), float64.
    Raises ValueError where the loss does not give one number a row.
    """
    import keras

    function = keras.losses.get(loss) if isinstance(loss, str) else loss
    per_row = function.call if isinstance(function, keras.losses.Loss) else function
    answer = per_row(as_labels(target, prediction.shape[1]), prediction)
    values = np.asarray(answer, np.float64)
    if values.shape not in ((len(target),), (len(target), 1)):
        raise ValueError(
            f"The loss {_name_of(loss)} gave shape {values.shape} for {len(target)} rows; expected one "
            f"number a row, ({len(target)},). Average over the last axis: keras.ops.mean(..., axis=-1)."
        )
    return values.reshape(-1)


def as_labels(targets: NDArray[Any], outputs: int) -> NDArray[Any]:
    """Targets (n,) in the shape that Keras compares with answers: (n, 1) for one output, else (n,).

    With (n,) a loss that subtracts would spread (n,) against (n, 1) to (n, n) and be silently wrong.
    """
    return targets.reshape(-1, 1) if outputs == 1 else targets


def _build(network: NetworkConfig, positive: bool, schema: Schema) -> keras.Model:
    return family(network.family)(
        schema,
        hidden=network.hidden,
        dropout=network.dropout,
        input_dropout=network.input_dropout,
        positive=positive,
    )


def _optimizer(recipe: Recipe, schema: Schema) -> keras.optimizers.Optimizer:
    """The optimiser, told the unit of the loss, so that metres and millimetres learn alike."""
    import keras

    unit = _unit(recipe.loss, schema)
    settings: dict[str, Any] = {
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm * unit or None,
    }
    if recipe.optimizer in _WITH_EPSILON:
        settings["epsilon"] = 1e-7 * unit  # Keras's default, which is meant for gradients near 1
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": settings})


def _unit(loss: Loss, schema: Schema) -> float:
    """How large the gradients of a target of this scale are beside those of scale 1."""
    power = _UNIT_POWERS.get(loss, 0) if isinstance(loss, str) else 0
    return float(schema.target.scale or 1.0) ** power


def _check_is_model(model: object) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(
            f"build returned {type(model).__name__}; expected a keras.Model. "
            "Let build(schema) return the network."
        )


def _name_of(loss: Loss) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
