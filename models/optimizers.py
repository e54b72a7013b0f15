"""The optimisers of Keras by name and parameters, told the unit of the loss.

An optimiser's parameters are meant for a target of scale 1. Gradients of a loss in the target's own unit are larger
by a power of that unit, so everything that is compared with a gradient is multiplied by it: metres and millimetres
learn alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from models.parameters import Parameter, Parameters, parameter_faults
from models.schedules import Schedule

if TYPE_CHECKING:
    import keras

Optimizer = Literal[
    "adamw",
    "adam",
    "sgd",
    "rmsprop",
    "nadam",
    "lion",
    "adamax",
    "adagrad",
    "adadelta",
    "adafactor",
    "ftrl",
    "lamb",
    "muon",
    "schedule_free_adamw",
]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
ClipBy = Literal["global_norm", "norm", "value"]
CLIP_BY: tuple[ClipBy, ...] = get_args(ClipBy)

_KEYWORD = {"global_norm": "global_clipnorm", "norm": "clipnorm", "value": "clipvalue"}


@dataclass(frozen=True)
class KnownOptimizer:
    """keras: its class in `keras.optimizers`. units: parameter -> power of the unit in which it is compared.

    rates: where a good learning rate usually lies, (least, most): from the papers and Keras's own defaults; a first
    try, no limit. remark: what to know before taking it.
    """

    keras: str
    rates: tuple[float, float]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    remark: str | None = None


def _share(default: float) -> Parameter:
    return Parameter(default, least=0.0, most=1.0)


def _size(default: float) -> Parameter:
    return Parameter(default, least=0.0)


_ADAM = {"beta_1": _share(0.9), "beta_2": _share(0.999), "epsilon": _size(1e-7)}
_EPSILON = {"epsilon": 1}
# of every optimiser in Keras; `loss_scale_factor` is for half precision, `name` for nobody
_OF_ALL = {
    "use_ema": Parameter(False),
    "ema_momentum": _share(0.99),
    "ema_overwrite_frequency": Parameter(None, least=1, whole=True, none=True),
    "gradient_accumulation_steps": Parameter(None, least=2, whole=True, none=True),
}

CATALOGUE: dict[Optimizer, KnownOptimizer] = {
    "adamw": KnownOptimizer("AdamW", (1e-4, 1e-2), {**_ADAM, "amsgrad": Parameter(False)}, _EPSILON),
    "adam": KnownOptimizer("Adam", (1e-4, 1e-2), {**_ADAM, "amsgrad": Parameter(False)}, _EPSILON),
    "sgd": KnownOptimizer(
        "SGD", (1e-3, 1.0), {"momentum": _share(0.0), "nesterov": Parameter(False)}
    ),  # its rate is divided by the unit, see `made`
    "rmsprop": KnownOptimizer(
        "RMSprop",
        (1e-4, 1e-2),
        {
            "rho": _share(0.9),
            "momentum": _share(0.0),
            "epsilon": _size(1e-7),
            "centered": Parameter(False),
        },
        {"epsilon": 2},  # it stands under the root
    ),
    "nadam": KnownOptimizer("Nadam", (1e-4, 1e-2), _ADAM, _EPSILON),
    "lion": KnownOptimizer(
        "Lion", (3e-5, 1e-3), {"beta_1": _share(0.9), "beta_2": _share(0.99)}
    ),  # takes the sign of a gradient, which has no unit
    "adamax": KnownOptimizer("Adamax", (1e-4, 1e-2), _ADAM, _EPSILON),
    "adagrad": KnownOptimizer(
        "Adagrad",
        (1e-2, 1.0),
        {"initial_accumulator_value": _size(0.1), "epsilon": _size(1e-7)},
        {"initial_accumulator_value": 2, "epsilon": 2},
    ),
    "adadelta": KnownOptimizer(
        "Adadelta",
        (0.1, 3.0),
        {"rho": _share(0.95), "epsilon": _size(1e-7)},
        remark="it compares its epsilon with gradients and with steps alike, so that targets of a scale far below 1 "
        "learn slowly: bring them to another unit",
    ),
    "adafactor": KnownOptimizer(
        "Adafactor",
        (1e-2, 1.0),
        {
            "beta_2_decay": Parameter(-0.8, least=-1.0, most=0.0),
            "epsilon_1": _size(1e-30),
            "epsilon_2": _size(1e-3),
            "clip_threshold": Parameter(1.0, least=0.0, inside=True),
            "relative_step": Parameter(True),
        },
        {"epsilon_1": 2},
        remark="its steps are shares of a weight's size, so that weights that begin at 0 leave it slowly",
    ),
    "ftrl": KnownOptimizer(
        "Ftrl",
        (1e-2, 1.0),
        {
            "learning_rate_power": Parameter(-0.5, most=0.0),
            "initial_accumulator_value": _size(0.1),
            "l1_regularization_strength": _size(0.0),
            "l2_regularization_strength": _size(0.0),
            "l2_shrinkage_regularization_strength": _size(0.0),
            "beta": _size(0.0),
        },
        {
            "initial_accumulator_value": 2,
            "l1_regularization_strength": 1,
            "l2_regularization_strength": 1,
            "l2_shrinkage_regularization_strength": 1,
            "beta": 1,
        },
        remark="it forgets the weights that a network begins with, so that hidden layers learn nothing: it is for "
        "linear models, hidden = []",
    ),
    "lamb": KnownOptimizer("Lamb", (1e-3, 3e-2), _ADAM, _EPSILON),
    "muon": KnownOptimizer(
        "Muon",
        (1e-3, 3e-2),
        {
            "adam_beta_1": _share(0.9),
            "adam_beta_2": _share(0.999),
            "adam_weight_decay": _size(0.004),
            "epsilon": _size(1e-7),
            "exclude_embeddings": Parameter(True),
            "adam_lr_ratio": _size(1.0),
            "momentum": _share(0.95),
            "ns_steps": Parameter(5, least=1, whole=True),
            "nesterov": Parameter(True),
            "rms_rate": Parameter(0.2, least=0.0, inside=True, none=True),
            "muon_a": Parameter(3.4445),
            "muon_b": Parameter(-4.775),
            "muon_c": Parameter(2.0315),
        },
        _EPSILON,
    ),
    "schedule_free_adamw": KnownOptimizer(
        "ScheduleFreeAdamW",
        (1e-3, 3e-2),
        {
            "beta_1": Parameter(0.9, least=0.0, most=1.0, inside=True),
            "beta_2": _share(0.999),
            "epsilon": _size(1e-8),
            "warmup_steps": Parameter(0, least=0, whole=True),
        },
        _EPSILON,
        remark="it takes the place of a schedule: leave schedule at constant",
    ),
}
# of Keras, but no choice of their own: wrappers around other optimisers
WRAPPERS = ("LossScaleOptimizer", "MultiOptimizer")


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimiser with everything that it is made of, for a target of scale 1.

    clip_norm: of the whole gradient ("global_norm"), of the gradient of each array of weights ("norm"), or the largest
    single number ("value"); 0 is no limit. Raises ValueError for mistaken parameters.

    >>> OptimizerConfig("sgd", learning_rate=0.1, parameters={"momentum": 0.9}).parameters
    {'momentum': 0.9}
    """

    name: Optimizer = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    clip_by: ClipBy = "global_norm"
    parameters: Parameters = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if faults := optimizer_faults(self.name, self.parameters):
            raise ValueError(f"optimizer {self.name!r}: {' '.join(faults)}")

    def made(self, unit: float = 1.0) -> keras.optimizers.Optimizer:
        """The Keras object. unit: how large gradients are beside those of a target of scale 1."""
        import keras

        known = CATALOGUE[self.name]
        scale = rate_scale(self.name, unit)
        settings: dict[str, Any] = {
            "learning_rate": self._rate(scale),
            "weight_decay": self._decay(scale),
            _KEYWORD[self.clip_by]: self.clip_norm * unit or None,
        }
        if self.name == "muon":
            settings["adam_weight_decay"] = self.weight_decay
        settings |= self.parameters
        for name, power in known.units.items():
            settings[name] = self.parameters.get(name, known.parameters[name].default) * unit**power
        return getattr(keras.optimizers, known.keras)(**settings)

    def _rate(self, scale: float) -> Any:
        if not self.schedule.moves:
            return float(self.learning_rate * scale)
        from models.keras_objects import PlannedRate

        plan = self.schedule
        return PlannedRate(self.learning_rate * scale, plan.kind, plan.warmup, plan.parameters)

    def _decay(self, scale: float) -> float | None:
        """A share of each weight per step of size 1, whatever the unit of the rate."""
        if not self.weight_decay and self.name not in ("adamw", "muon"):
            return None
        return self.weight_decay / scale


def rate_scale(name: Optimizer, unit: float) -> float:
    """What the learning rate of a target of scale 1 is multiplied by.

    Plain gradient descent alone makes steps as long as the gradient; the others divide by its size.
    """
    return 1.0 / unit if name == "sgd" else 1.0


def optimizer_parameters(name: Optimizer) -> dict[str, Parameter]:
    """Every parameter that may be written for an optimiser, beside rate, decay and clipping.

    >>> "momentum" in optimizer_parameters("sgd"), "momentum" in optimizer_parameters("adam")
    (True, False)
    """
    return {**CATALOGUE[name].parameters, **_OF_ALL}


def optimizer_faults(name: str, parameters: Parameters) -> tuple[str, ...]:
    """Everything that is wrong with an optimiser and its parameters, a sentence each.

    >>> optimizer_faults("sgd", {"momentum": 2})
    ('momentum = 2: expected a number from 0 to 1',)
    """
    if name not in CATALOGUE:
        return (f"optimizer {name!r} is not known; expected one of {', '.join(OPTIMIZERS)}",)
    faults = parameter_faults(name, optimizer_parameters(name), parameters)
    if parameters.get("use_ema") and not parameters.get("ema_overwrite_frequency"):
        faults += (
            "use_ema = true needs ema_overwrite_frequency, or the averages are never used; write e.g. 100",
        )
    if parameters.get("nesterov") and name == "sgd" and not parameters.get("momentum"):
        faults += ("nesterov = true needs a momentum; write e.g. 0.9",)
    return faults


def optimizer_remarks(config: OptimizerConfig, *, linear: bool) -> tuple[str, ...]:
    """What to know of an optimiser before a training with it, a sentence each.

    linear: whether the network has no hidden layer.
    """
    known, found = CATALOGUE[config.name], []
    least, most = known.rates
    if not least / 10 <= config.learning_rate <= most * 10:
        found.append(
            f"learning_rate = {config.learning_rate:g} is far from where {config.name} usually learns, {least:g} to "
            f"{most:g}"
        )
    if known.remark and not (config.name == "ftrl" and linear) and not _is_beside(config):
        found.append(f"{config.name}: {known.remark}")
    return tuple(found)


def _is_beside(config: OptimizerConfig) -> bool:
    """Whether a remark is about something that is not so."""
    return config.name == "schedule_free_adamw" and not config.schedule.moves
