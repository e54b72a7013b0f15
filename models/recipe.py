"""What a network is made of and how it learns: build, loss, optimiser, and the settings a user may write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from models.answer_width import output_sizes, outputs_of
from models.devices import DEVICES, PRECISIONS, Device, Precision
from models.families import Activation, family
from models.losses import (
    CATALOGUE,
    NamedLoss,
    canonical,
    check_loss,
    default_loss,
    loss_faults,
    row_losses,
    wanted,
)
from models.optimizers import CLIP_BY, OPTIMIZERS, ClipBy, Optimizer, OptimizerConfig, optimizer_faults
from models.parameters import Parameters
from models.schedules import KINDS, Kind, Schedule, schedule_faults

if TYPE_CHECKING:
    import keras

    from models.schema import Schema, Task

Build = Callable[["Schema"], "keras.Model"]
# a name of Keras's catalogue, one with parameters, (y_true, y_pred) -> loss per row, or a keras Loss
Loss = str | NamedLoss | Callable[..., Any]

# How a loss grows with the unit of the target: twice the unit is 4 times the squared error.
_UNIT_POWERS = {
    "mean_squared_error": 2,
    "mean_absolute_error": 1,
    "huber": 1,
    "log_cosh": 1,
    "quantile": 1,
}
# these have no name of their own in Keras, or other defaults there
_MADE_BY_US = ("categorical_generalized_cross_entropy", "quantile", "dice", "tversky")

_EPOCHS = {"doc": "passes over the training rows at most", "range": (0, 10_000)}
_BATCH_SIZE = {"doc": "rows of a step at most; small data take smaller steps", "range": (1, 1_000_000)}
_PATIENCE = {"doc": "epochs without a better validation loss before training ends", "range": (1, 10_000)}
_PRECISION = {
    "doc": 'in how many bits a GPU multiplies: "mixed" is quicker for wide layers, and does nothing on a CPU',
    "choices": PRECISIONS,
}
_TARGET_LOSS = {"doc": "training ends when the validation loss is no higher than this", "example": "0.25"}


@dataclass(frozen=True)
class FitConfig:
    """How long and in which steps a network learns."""

    epochs: int = field(default=60, metadata=_EPOCHS)  # early stopping ends nearly every training before
    # below, the fixed cost of a step is most of it
    batch_size: int = field(default=256, metadata=_BATCH_SIZE)
    patience: int = field(default=4, metadata=_PATIENCE)  # one unlucky epoch is common, four in a row are not
    seed: int = field(
        default=0, metadata={"doc": "of weights, dropout and row order", "range": (0, 2**31 - 1)}
    )
    steps_at_once: int = field(
        default=256,  # a hundredth of a second of a small network; Python costs a hundredth of that
        metadata={"doc": "steps that TensorFlow takes before Python hears of them", "range": (1, 100_000)},
    )
    class_weights: str | tuple[float, ...] | None = field(
        default=None,
        metadata={
            "doc": 'how much a training row of each class counts, in the order of classes, or "balanced"'
        },
    )
    target_loss: float | None = field(default=None, metadata=_TARGET_LOSS)
    precision: Precision = field(default="full", metadata=_PRECISION)


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
    input_noise: float = field(
        default=0.0,
        metadata={
            "doc": "deviation of the noise that is added to every input at each step, so that a row is never the same "
            "twice; numbers have a deviation of 1",
            "range": (0.0, 3.0),
        },
    )
    loss: str | None = field(
        default=None,  # squared error, or cross-entropy of the classes
        metadata={
            "doc": 'a loss of Keras by name, or your own as "module:function"; by default the one that fits the target'
        },
    )
    loss_parameters: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": "parameters of `loss` under Keras's names; `from_logits` is for a network of your own only",
            "example": "{delta = 2.0}",
        },
    )
    class_weights: str | Mapping[str, float] | None = field(
        default=None,  # they win recall of rare classes and cost right probabilities
        metadata={
            "doc": 'how much a training row of a class counts: "balanced", so that all classes count the same, or a '
            "table of classes, those left out count 1; losses are judged without it",
            "example": '"balanced"',
        },
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "doc": "share of the certainty that is taken from the labels of classes in training; "
            "losses are judged without it",
            "range": (0.0, 0.9),
        },
    )
    optimizer: Optimizer = field(
        default="adamw", metadata={"doc": "the rule that turns gradients into steps", "choices": OPTIMIZERS}
    )
    optimizer_parameters: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": "parameters of `optimizer` under Keras's names, for a target of scale 1",
            "example": "{beta_1 = 0.8}",
        },
    )
    learning_rate: float = field(
        default=1e-3,
        metadata={"doc": "size of a step; `losswatch rates` suggests one", "range": (1e-8, 10.0)},
    )
    schedule: Kind = field(
        default="constant",
        metadata={"doc": "how the learning rate moves over the epochs of a training", "choices": KINDS},
    )
    schedule_parameters: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": "parameters of `schedule`: cosine: epochs, end; restarts: first, longer, lower, end; step: every, "
            "factor; exponential: factor; one_cycle: epochs, rise, start, end; plateau: patience, factor, gain, end",
            "example": "{}",
        },
    )
    warmup: float = field(
        default=0.0,
        metadata={"doc": "epochs over which the learning rate rises from 0 first", "range": (0.0, 1000.0)},
    )
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
    clip_by: ClipBy = field(
        default="global_norm",  # keeps the direction of a step
        metadata={
            "doc": "what clip_norm limits: the length of the whole gradient, of the gradient of each array of weights, "
            "or its single numbers",
            "choices": CLIP_BY,
        },
    )
    activation: Activation = field(
        default="relu",
        metadata={"doc": "what the hidden units make of their sums", "choices": get_args(Activation)},
    )
    batch_norm: bool = field(
        default=False,  # helps deep networks; two layers beside a straight line need it seldom
        metadata={"doc": "whether hidden layers are brought to mean 0 and scale 1 in every batch"},
    )
    l1: float = field(
        default=0.0,
        metadata={
            "doc": "penalty on the sizes of the weights, for a target of scale 1; brings those of useless inputs to 0",
            "range": (0.0, 10.0),
        },
    )
    l2: float = field(
        default=0.0,  # weight_decay does it without changing the loss
        metadata={
            "doc": "penalty on the squares of the weights, for a target of scale 1",
            "range": (0.0, 10.0),
        },
    )
    metrics: tuple[str, ...] = field(
        default=(), metadata={"doc": "further figures of every epoch, under Keras's names"}
    )
    epochs: int = field(default=60, metadata=_EPOCHS)
    batch_size: int = field(default=256, metadata=_BATCH_SIZE)
    patience: int = field(default=4, metadata=_PATIENCE)
    target_loss: float | None = field(default=None, metadata=_TARGET_LOSS)
    accept_overfit: bool = field(
        default=False,  # such a network answers new rows worse than it seems
        metadata={"doc": "whether a network that has learned its rows by heart may be registered"},
    )
    restarts: int = field(
        default=1,
        metadata={
            "doc": "trainings from different seeds, of which the best on the validation rows is kept",
            "range": (1, 100),
        },
    )
    device: Device = field(
        default="cpu",  # quicker for the networks of tables, and the same weights to the bit every time
        metadata={
            "doc": 'what computes the network; "gpu" does nothing where there is none',
            "choices": DEVICES,
        },
    )
    precision: Precision = field(default="full", metadata=_PRECISION)

    def __post_init__(self) -> None:
        if faults := network_faults(self):
            raise ValueError("; ".join(faults))

    def fit_config(self, *, seed: int, classes: Sequence[str] = ()) -> FitConfig:
        """The part of the settings that `fit` and `update` take.

        classes: of the target, in their order. Raises ValueError where `class_weights` names others.
        """
        return FitConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            seed=seed,
            class_weights=_weights_of(self.class_weights, classes),
            target_loss=self.target_loss,
            precision=self.precision,
        )

    @property
    def plan(self) -> Schedule:
        """The course of the learning rate."""
        return Schedule(self.schedule, self.warmup, self.schedule_parameters)


def network_faults(network: NetworkConfig) -> tuple[str, ...]:
    """Settings that do not go together, a sentence each, with the key that it is about."""
    found = {
        "loss_parameters": _loss_parameter_faults(network),
        "optimizer_parameters": optimizer_faults(network.optimizer, network.optimizer_parameters),
        "schedule_parameters": schedule_faults(network.schedule, network.schedule_parameters),
        "class_weights": _weight_faults(network.class_weights),
    }
    if not found["schedule_parameters"]:
        found["schedule_parameters"] = _patience_faults(network)
    return tuple(f"{key}: {fault}" for key, faults in found.items() for fault in faults)


def _patience_faults(network: NetworkConfig) -> tuple[str, ...]:
    if network.schedule != "plateau" or network.plan.setting("patience") < network.patience:
        return ()
    return (
        f"patience = {network.plan.setting('patience')}: the training ends after patience = {network.patience} epochs, "
        "before the rate is lowered. Write a smaller one here, or a larger one in [network]",
    )


def _loss_parameter_faults(network: NetworkConfig) -> tuple[str, ...]:
    written, loss = network.loss_parameters, network.loss
    if not written or (loss is not None and ":" not in loss and catalogue_name(loss) is None):
        return ()  # an unknown name is told where it is looked up
    if loss is None:
        return ("they are of a loss that is written. Write loss = ... beside them",)
    if ":" in loss:
        return ("they are for Keras's losses, and the loss is a function of your own. Take them out",)
    return loss_faults(loss, written)


def _weight_faults(weights: str | Mapping[str, Any] | None) -> tuple[str, ...]:
    if weights is None or weights == "balanced":
        return ()
    if isinstance(weights, str):
        return (f'"{weights}" is not known. Write "balanced" or a table of classes, e.g. {{late = 3.0}}',)
    wrong = [name for name, weight in weights.items() if not _is_weight(weight)]
    return tuple(f"{name!r} = {weights[name]}: expected a number of 0 or more" for name in wrong)


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _weights_of(
    weights: str | Mapping[str, float] | None, classes: Sequence[str]
) -> str | tuple[float, ...] | None:
    """Weights in the order of the classes; "balanced" needs the rows and stays as it is."""
    if weights is None or (isinstance(weights, str) and classes):
        return weights if weights is None else str(weights)
    if not classes:
        raise ValueError("class_weights are for classes, and the target is a number. Take them out")
    assert not isinstance(weights, str)
    if strange := [name for name in weights if name not in classes]:
        known = ", ".join(map(repr, classes[:10]))
        raise ValueError(f"class_weights names {strange[0]!r}; the target's classes are {known}")
    return tuple(float(weights.get(name, 1.0)) for name in classes)


@dataclass(frozen=True)
class Recipe:
    """How to make a compiled network for any schema.

    build: returns a network with inputs (n, schema.width) and outputs (n, schema.outputs). One that it has
    compiled itself stays as it is, and the settings below are not used.
    loss: called with targets (n, 1), or (n,) whole numbers for several classes, and answers (n, outputs); losses of the
    catalogue that want a column a class get one. Of a network with several outputs, by name, all of which learn from
    the one target: a loss for each, see `models.outputs`.
    clip_norm: for a target of scale 1; 0 is no limit. metrics: Keras's names. loss_weights: of several outputs; those
    left out count 1.
    """

    build: Build
    loss: Loss | Mapping[str, Loss]
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    metrics: tuple[str, ...] = ()
    clip_by: ClipBy = "global_norm"
    optimizer_parameters: Parameters = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    linear_start: bool = False

    @property
    def optimizing(self) -> OptimizerConfig:
        """The optimiser with all that it is made of."""
        return OptimizerConfig(
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            self.clip_norm,
            self.clip_by,
            self.optimizer_parameters,
            self.schedule,
        )

    def unit(self, schema: Schema) -> float:
        """How large the gradients of a target of this scale are beside those of scale 1."""
        return unit_of(self.loss, schema)

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
        if isinstance(self.loss, Mapping):
            check_outputs(model, schema, self.loss)
        else:
            check_shape(model, schema)
        if not model.compiled:
            self._compile(model, self.unit(schema))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return model

    def _compile(self, model: keras.Model, unit: float) -> None:
        settings: dict[str, Any] = {"loss": compiled_loss(self.loss), "metrics": [*self.metrics] or None}
        if isinstance(self.loss, Mapping):
            settings["loss"] = {name: compiled_loss(loss) for name, loss in self.loss.items()}
            settings["loss_weights"] = {name: self.loss_weights.get(name, 1.0) for name in self.loss}
        model.compile(optimizer=self.optimizing.made(unit), **settings)


def recipe_from(
    network: NetworkConfig, task: Task, *, build: Build | None = None, loss: Loss | None = None
) -> Recipe:
    """The recipe of these settings; a user's own build or loss takes the place of ours.

    Raises ValueError where loss, its parameters and the task do not go together.

    >>> recipe_from(NetworkConfig(), "binary").loss
    'binary_crossentropy'
    """
    chosen = loss or network.loss or default_loss(task)
    if isinstance(chosen, str) and (advice := check_loss(chosen, task, network.loss_parameters)):
        raise ValueError(advice)
    if isinstance(chosen, str) and network.loss_parameters:
        chosen = NamedLoss(chosen, network.loss_parameters)
    if build is None and _parameters_of(chosen).get("from_logits"):
        raise ValueError(
            "loss_parameters.from_logits = true is for a network of your own that ends without an activation; "
            f"the {network.family} answers probabilities. Take it out."
        )
    learned = _smoothed(chosen, network.label_smoothing, task) if network.label_smoothing else chosen
    return Recipe(
        build=build or partial(_build, network, chosen),
        loss=learned,
        optimizer=network.optimizer,
        learning_rate=network.learning_rate,
        weight_decay=network.weight_decay,
        clip_norm=network.clip_norm,
        metrics=network.metrics,
        clip_by=network.clip_by,
        optimizer_parameters=network.optimizer_parameters,
        schedule=network.plan,
        linear_start=build is None
        and not network.l1,  # a penalty that shall leave few inputs begins with none
    )


def _smoothed(loss: Loss, share: float, task: Task) -> NamedLoss:
    """The loss with less certain labels; of whole-number labels, with a column for each class."""
    name = catalogue_name(loss)
    if task == "regression" or name is None:
        what = "a number" if task == "regression" else f"the loss {_name_of(loss)}"
        raise ValueError(f"label_smoothing is for Keras's losses of classes, not for {what}. Take it out.")
    parameters = dict(_parameters_of(loss))
    if name == "sparse_categorical_crossentropy" and parameters.pop("ignore_class", None) is None:
        name = "categorical_crossentropy"
    if "label_smoothing" not in CATALOGUE[name].parameters or "label_smoothing" in parameters:
        raise ValueError(
            f"label_smoothing does not go with loss {_name_of(loss)!r}"
            + (" and its own label_smoothing. Keep one of them." if parameters else ". Take it out.")
        )
    return NamedLoss(name, {**parameters, "label_smoothing": share})


def catalogue_name(loss: Loss) -> str | None:
    """Which loss of the catalogue this is: a name, a Keras loss or function; None for a user's own.

    >>> catalogue_name("mse"), catalogue_name(lambda y_true, y_pred: y_pred) is None
    ('mean_squared_error', True)
    """
    if isinstance(loss, NamedLoss):
        return catalogue_name(loss.name)
    if not isinstance(loss, str):
        kind = loss if isinstance(loss, type) or hasattr(loss, "__name__") else type(loss)
        if kind.__module__.partition(".")[0] != "keras" and kind.__module__ != "models.keras_objects":
            return None
        loss = "quantile" if kind.__name__ == "Quantile" else kind.__name__
    try:
        return canonical(loss)
    except ValueError:
        return None


def _parameters_of(loss: Loss) -> Parameters:
    return loss.parameters if isinstance(loss, NamedLoss) else {}


def compiled_loss(loss: Loss | Mapping[str, Loss]) -> Any:
    """The loss as Keras's `compile` takes it; of several outputs see `Recipe`."""
    if isinstance(loss, Mapping) or not isinstance(loss, str | NamedLoss):
        return loss
    name = catalogue_name(loss)
    if name is None or (isinstance(loss, str) and name not in _MADE_BY_US):
        return loss if isinstance(loss, str) else loss.name
    from models.keras_objects import keras_loss

    return keras_loss(name, _parameters_of(loss))


def check_shape(model: keras.Model, schema: Schema) -> None:
    """Raises ValueError where inputs or outputs of the network are not those of the schema."""
    outputs = outputs_of(model, schema.width)
    if outputs != schema.outputs:
        raise ValueError(
            f"The network answers a row with {outputs} numbers; the target {schema.target.name!r} "
            f"({schema.target.task}) needs {schema.outputs}. End it with keras.layers.Dense(schema.outputs)."
        )


def check_outputs(model: keras.Model, schema: Schema, losses: Mapping[str, Loss]) -> None:
    """Raises ValueError where a network of several outputs does not have those that the losses name."""
    sizes = output_sizes(model, schema.width)
    if set(sizes) != set(losses):
        raise ValueError(
            f"The network has the outputs {', '.join(sizes)}, and losses are given for {', '.join(losses)}; expected a "
            "loss for each. Name the outputs by returning a mapping: keras.Model(inputs, {name: tensor, ...})."
        )


def row_losses_of(loss: Loss, target: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
    """Loss of every row by any loss: in numpy where it is of the catalogue by name, else through Keras.

    target: (n,). prediction: (n, outputs). Returns (n,), float64.

    >>> row_losses_of(NamedLoss("huber", {"delta": 2.0}), np.array([3.0]), np.array([[0.0]]))
    array([4.])
    """
    if isinstance(loss, str | NamedLoss) and (name := catalogue_name(loss)):
        return row_losses(name, target, prediction, **_parameters_of(loss))
    return row_losses_through_keras(loss, target, prediction)


def row_losses_through_keras(
    loss: Loss, target: NDArray[Any], prediction: NDArray[Any]
) -> NDArray[np.float64]:
    """Loss of every row by a loss of the user's own, before any averaging.

    target: (n,). prediction: (n, outputs). Returns (n,), float64.
    Raises ValueError where the loss does not give one number a row.
    """
    import keras

    function = compiled_loss(loss)
    function = keras.losses.get(function) if isinstance(function, str) else function
    per_row = function.call if isinstance(function, keras.losses.Loss) else function
    labels = as_labels(target, prediction.shape[1], columns=wants_columns(loss))
    answer = per_row(labels, prediction)
    values = np.asarray(answer, np.float64)
    if values.shape not in ((len(target),), (len(target), 1)):
        raise ValueError(
            f"The loss {_name_of(loss)} gave shape {values.shape} for {len(target)} rows; expected one "
            f"number a row, ({len(target)},). Average over the last axis: keras.ops.mean(..., axis=-1)."
        )
    return values.reshape(-1)


def as_labels(targets: NDArray[Any], outputs: int, *, columns: bool = False) -> NDArray[Any]:
    """Targets (n,) in the shape that Keras compares with answers: (n, 1) for one output, else (n,).

    With (n,) a loss that subtracts would spread (n,) against (n, 1) to (n, n) and be silently wrong.
    columns: for several outputs (n, outputs) instead, 1 at the position of the class.

    >>> as_labels(np.array([1, 0]), 3, columns=True)
    array([[0., 1., 0.], [1., 0., 0.]], dtype=float32)
    """
    if outputs == 1:
        return targets.reshape(-1, 1)
    return np.eye(outputs, dtype=np.float32)[targets.astype(np.int64)] if columns else targets


def wants_columns(loss: Loss) -> bool:
    """Whether a loss compares several classes as a column each; a user's own gets their positions.

    >>> wants_columns("categorical_crossentropy"), wants_columns("sparse_categorical_crossentropy")
    (True, False)
    """
    name = catalogue_name(loss)
    return name is not None and CATALOGUE[name].labels == "columns"


def _build(network: NetworkConfig, loss: Loss, schema: Schema) -> keras.Model:
    name = catalogue_name(loss)
    unit = unit_of(loss, schema)
    return family(network.family)(
        schema,
        hidden=network.hidden,
        dropout=network.dropout,
        input_dropout=network.input_dropout,
        input_noise=network.input_noise,
        positive=name is not None and wanted(name) == "positive numbers",
        activation=network.activation,
        batch_norm=network.batch_norm,
        l1=network.l1 * unit,
        l2=network.l2 * unit,
    )


def unit_of(loss: Loss | Mapping[str, Loss], schema: Schema) -> float:
    """How large the gradients of a target of this scale are beside those of scale 1.

    Of several outputs the largest counts.
    """
    if isinstance(loss, Mapping):
        return max(unit_of(each, schema) for each in loss.values())
    name = catalogue_name(loss)
    power = _UNIT_POWERS.get(name, 0) if name else 0
    unit = float(schema.target.scale or 1.0) ** power
    return unit * float(_parameters_of(loss).get("delta", 1.0)) if name == "huber" and unit != 1.0 else unit


def _check_is_model(model: object) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(
            f"build returned {type(model).__name__}; expected a keras.Model. "
            "Let build(schema) return the network."
        )


def _name_of(loss: Loss) -> str:
    if isinstance(loss, str | NamedLoss):
        return loss if isinstance(loss, str) else loss.name
    return str(getattr(loss, "__name__", type(loss).__name__))
