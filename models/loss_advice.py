"""What speaks against a loss for a target and a network, told before anything is trained.

Every rule looks at one batch: its targets and what the fresh network answers. It gives a finding in words, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.last_layer import LastLayer
from models.losses import CATALOGUE, canonical, wanted
from models.parameters import Parameters, with_defaults

if TYPE_CHECKING:
    from models.schema import Task

Array = NDArray[Any]
Severity = Literal["fault", "warning", "note"]

MUCH = 0.5  # share of the rows out of reach from which a network cannot learn the target at all
FAR = 30.0  # times: a threshold so far from the spread of the target decides nothing any more
NEAR_ZERO = 1e-3  # of the middle size of the targets: dividing by less makes a few rows count for all


@dataclass(frozen=True)
class Finding:
    """severity: a fault makes a training worthless, a warning costs something, a note only tells.

    about: the part of the project, "loss" or "network".
    """

    severity: Severity
    about: Literal["loss", "network"]
    text: str


@dataclass(frozen=True, eq=False)
class Probe:
    """One batch and what a network answered to it, before any training.

    loss: a name of KNOWN_LOSSES. targets: (n,), or (n, classes). answers: (n, outputs). last: the end of the network.
    weighted: whether classes count differently in training.
    """

    loss: str
    task: Task
    targets: Array
    answers: Array
    last: LastLayer = field(default_factory=lambda: LastLayer(None))
    parameters: Parameters = field(default_factory=dict)
    weighted: bool = False

    @property
    def name(self) -> str:
        """The loss's full name."""
        return canonical(self.loss)

    @property
    def takes(self) -> str:
        """What the loss wants from the network."""
        return wanted(self.loss, self.parameters)

    @property
    def known(self) -> NDArray[np.float64]:
        """The targets that are there, in one row."""
        values = np.asarray(self.targets, np.float64).reshape(-1)
        return values[np.isfinite(values)]


Rule = Callable[[Probe], Finding | None]


def advice(probe: Probe) -> tuple[Finding, ...]:
    """Everything that the rules say, the gravest first; () where a loss, a target and a network go together.

    >>> targets, answers = np.array([-3.0, 40.0, 100.0]), np.full((3, 1), 0.5)
    >>> advice(Probe("mse", "regression", targets, answers, LastLayer("sigmoid", 0.0, 1.0)))[0].text
    'the network ends with sigmoid and answers from 0 to 1; 100 % of the targets, which go from -3 to 100, lie outside.
    End it with a Dense layer without activation, and keras.layers.Rescaling(schema.target.scale, schema.target.mean)'
    """
    order: tuple[Severity, ...] = ("fault", "warning", "note")
    found = [finding for rule in RULES if (finding := rule(probe)) is not None]
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _no_probabilities(probe: Probe) -> Finding | None:
    """Scores for a loss that takes probabilities."""
    if probe.takes not in ("a probability", "probabilities"):
        return None
    odd = not_probabilities(probe.answers, together=probe.takes == "probabilities")
    if odd is None and probe.last.activation == "linear":
        odd = "any number, for it ends without an activation"
    if odd is None:
        return None
    has_logits = "from_logits" in CATALOGUE[probe.name].parameters
    instead = ", or write loss_parameters = {from_logits = true}" if has_logits else ""
    several = probe.answers.shape[1] > 1
    return Finding(
        "fault",
        "network",
        f"the network answers {odd}, and {probe.loss} takes probabilities. End it with "
        f'keras.layers.Dense(schema.outputs, activation="{"softmax" if several else "sigmoid"}"){instead}',
    )


def not_probabilities(answers: Array, *, together: bool) -> str | None:
    """What is wrong with answers (n, outputs) as probabilities; None where nothing is.

    together: whether those of a row have to add up to 1.

    >>> not_probabilities(np.array([[0.5, 1.5]]), together=True)
    '1.5'
    """
    outside = answers[(answers < 0) | (answers > 1)]
    if len(outside):
        return f"{outside[0]:.3g}"
    sums = answers.sum(axis=1)
    if together and answers.shape[1] > 1 and len(sums) and np.abs(sums - 1).max() > 1e-3:
        return f"a row that adds up to {sums[np.abs(sums - 1).argmax()]:.3g}"
    return None


def _squeezed_twice(probe: Probe) -> Finding | None:
    """Probabilities for a loss that takes scores."""
    if probe.takes != "logits" or probe.last.activation not in ("sigmoid", "softmax"):
        return None
    return Finding(
        "fault",
        "network",
        f"the network ends with {probe.last.activation}, and from_logits = true makes probabilities of its answers "
        "once more: they would never be certain. Leave one of them out",
    )


def _one_softmax(probe: Probe) -> Finding | None:
    """A softmax of one number, which is always 1."""
    if probe.last.activation != "softmax" or probe.answers.shape[1] > 1:
        return None
    return Finding(
        "fault",
        "network",
        "the network ends with softmax over one output, which is 1 for every row. Two classes have one output: "
        "end it with sigmoid",
    )


def _out_of_reach(probe: Probe) -> Finding | None:
    """Targets that no weights can make the network answer."""
    known, last = probe.known, probe.last
    if probe.task != "regression" or not len(known):
        return None
    outside = float(np.mean((known < last.least) | (known > last.largest)))
    if outside == 0:
        return None
    reach = (
        f"from {last.least:g} to {last.largest:g}" if last.largest < math.inf else f"{last.least:g} or more"
    )
    return Finding(
        "fault" if outside >= MUCH else "warning",
        "network",
        f"the network ends with {last.activation} and answers {reach}; {100 * outside:.0f} % of the targets, which go "
        f"from {known.min():g} to {known.max():g}, lie outside. End it with a Dense layer without activation, and "
        "keras.layers.Rescaling(schema.target.scale, schema.target.mean)",
    )


def _logarithm_of_target(probe: Probe) -> Finding | None:
    """Negative targets for a loss that counts or takes their logarithm."""
    if probe.takes != "positive numbers" or not (probe.known < 0).any():
        return None
    share, least = float(np.mean(probe.known < 0)), float(probe.known.min())
    what = "takes them for 0" if probe.name == "mean_squared_logarithmic_error" else "is meant for counts"
    return Finding(
        "fault",
        "loss",
        f"{100 * share:.0f} % of the targets are negative, down to {least:g}, and {probe.loss} {what}. Take "
        "mean_squared_error, mean_absolute_error or huber",
    )


def _logarithm_of_answer(probe: Probe) -> Finding | None:
    """Answers of 0 and less for a loss that takes their logarithm."""
    if probe.takes != "positive numbers" or probe.last.activation is None or probe.last.least >= 0:
        return None
    return Finding(
        "warning",
        "network",
        f"the network may answer 0 and less, of which {probe.loss} takes the logarithm. End it with "
        'keras.layers.Activation("softplus")',
    )


def _squared_error_on_classes(probe: Probe) -> Finding | None:
    """A loss of numbers for classes."""
    if probe.task == "regression" or "regression" not in CATALOGUE[probe.name].fits:
        return None
    better = "binary_crossentropy" if probe.task == "binary" else "sparse_categorical_crossentropy"
    return Finding(
        "warning",
        "loss",
        f"{probe.loss} is a loss of numbers: where the network is sure of a wrong class it hardly learns from it. "
        f"{better} costs more the surer a wrong answer is",
    )


def _columns_of_classes(probe: Probe) -> Finding | None:
    """Whole-number classes for a loss that compares a column each, and the other way round."""
    if probe.task != "multiclass":
        return None
    columns = np.ndim(probe.targets) == 2
    if CATALOGUE[probe.name].labels == "positions" and columns:
        text = f"the targets are a column for each class, and {probe.loss} takes positions"
        return Finding("fault", "loss", f"{text}. Take categorical_crossentropy")
    if probe.name != "categorical_crossentropy" or columns or probe.parameters.get("label_smoothing"):
        return None
    return Finding(
        "note",
        "loss",
        "the classes are whole numbers and become a column each for categorical_crossentropy; "
        "sparse_categorical_crossentropy is the same loss without the columns",
    )


def _hinge_of_probabilities(probe: Probe) -> Finding | None:
    """A margin around 0 that answers from 0 to 1 cannot keep."""
    if probe.name not in ("hinge", "squared_hinge") or probe.last.least < 0:
        return None
    return Finding(
        "warning",
        "loss",
        f"{probe.loss} reads targets of 0 and 1 as -1 and 1, and the network answers 0 and more: rows of the first "
        "class never cost less than 1. End the network with tanh, or take binary_crossentropy",
    )


def _hinge_of_strange_targets(probe: Probe) -> Finding | None:
    """Targets that are neither 0 and 1 nor -1 and 1."""
    if probe.name not in ("hinge", "squared_hinge"):
        return None
    values = set(np.unique(probe.known).tolist())
    if values <= {0.0, 1.0} or values <= {-1.0, 1.0}:
        return None
    return Finding(
        "fault", "loss", f"{probe.loss} takes targets of 0 and 1, or of -1 and 1; came {sorted(values)[:4]}"
    )


def _targets_near_zero(probe: Probe) -> Finding | None:
    """Targets by which a loss of percentages divides."""
    sizes = np.abs(probe.known)
    if probe.name != "mean_absolute_percentage_error" or not len(sizes):
        return None
    share = float(np.mean(sizes < NEAR_ZERO * np.median(sizes)) if np.median(sizes) else np.mean(sizes == 0))
    if share == 0:
        return None
    return Finding(
        "warning",
        "loss",
        f"{probe.loss} divides by the target, and {100 * share:.1f} % of the targets are 0 or nearly: they would count "
        "for all others. Take mean_absolute_error, or poisson for counts",
    )


def _delta_without_effect(probe: Probe) -> Finding | None:
    """A Huber threshold so small or large that nothing is left of one of its parts."""
    known = probe.known
    if probe.name != "huber" or probe.task != "regression" or len(known) < 2:
        return None
    delta = float(with_defaults(CATALOGUE["huber"].parameters, probe.parameters)["delta"])
    spread = float(np.std(known))
    if not spread or spread / FAR <= delta <= spread * FAR:
        return None
    same = "mean_absolute_error" if delta < spread else "half of mean_squared_error"
    return Finding(
        "note",
        "loss",
        f"huber with delta = {delta:g} on a target that spreads by {spread:.3g} is {same} but for a factor. Write "
        f"loss_parameters = {{delta = {float(f'{spread:.1g}'):g}}}, or take that loss",
    )


def _ignored_class(probe: Probe) -> Finding | None:
    """A class that is there and costs nothing."""
    ignored = probe.parameters.get("ignore_class")
    if ignored is None or not (probe.known == ignored).any():
        return None
    share = float(np.mean(probe.known == ignored))
    text = f"ignore_class = {ignored}: {100 * share:.0f} % of the rows are of this class and cost nothing, whatever is "
    return Finding("note", "loss", text + "answered")


def _weighted_classes(probe: Probe) -> Finding | None:
    """Probabilities that are no longer those of the rows."""
    if not probe.weighted or probe.takes not in ("a probability", "probabilities"):
        return None
    return Finding(
        "note",
        "loss",
        "with class_weights the network answers rare classes more often than they occur, and its losses are judged on "
        "the rows as they are: expect a higher loss and a better recall",
    )


RULES: tuple[Rule, ...] = (
    _no_probabilities,
    _squeezed_twice,
    _one_softmax,
    _out_of_reach,
    _logarithm_of_target,
    _logarithm_of_answer,
    _squared_error_on_classes,
    _columns_of_classes,
    _hinge_of_probabilities,
    _hinge_of_strange_targets,
    _targets_near_zero,
    _delta_without_effect,
    _ignored_class,
    _weighted_classes,
)
