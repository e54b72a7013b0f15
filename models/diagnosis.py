"""What the losses of a training say about it: what is wrong, the evidence, likely causes, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.curve import FLOOR, Curve, Reading
from models.remedies import (
    Maker,
    Remedy,
    calmer_rate,
    clipped,
    column_dropped,
    fewer_units,
    higher_rate,
    larger_batches,
    less_dropout,
    lower_rate,
    more_dropout,
    more_epochs,
    more_units,
    no_penalty,
    normalised,
    other_units,
    penalised,
    remedies,
    steady_rate,
)

Kind = Literal[
    "divergence",
    "spikes",
    "leak suspected",
    "too noisy",
    "plateau",
    "overfitting",
    "underfitting",
    "healthy",
]
KINDS: tuple[Kind, ...] = get_args(Kind)  # the gravest first: a run is named by the first that is found

# Each was set on the runs of benchmarks/runs_design.py, between those that have the fault and those that do not.
ORDER = 10.0  # a loss that many times its best one, and still not falling, comes back no more
HOPELESS = 100.0  # a loss that many times its best one is not waited for to the end of the epoch
EXPLAINED = 0.025  # of the constant's loss: where a straight line leaves no more, honest tables are rare
NEAR_FLOOR = 0.02  # likewise, of whatever came lowest
AS_SEEN = 1.3  # validation loss by training loss, up to which unseen rows are answered like learned ones
EASIER = 0.6  # validation loss by training loss, below which unseen rows are easier than learned ones
REMEMBERED = 0.4  # training loss by validation loss, below which learned rows are remembered
HEART = 0.25  # of what there is to learn, by which the training loss falls after the best epoch
NOISE = 0.04  # of what there is to learn, between one epoch and the next
COST = 0.1  # of what there is to learn: a difference that matters
MOVED = 0.1  # of the way from the first epoch to what is attainable, under which nothing has moved
STILL = 3e-5  # of the scale: steps that are taken leave more noise than this
TURNED = 0.15  # of what there is to learn, that the loss has risen from its best: patience alone lets it rise a little
BEATEN = 0.18  # of what there is to learn: so much less than something simpler is too little
HAMPERED = 1.2  # training loss by validation loss, above which learning is disturbed more than it learns
PAID = 0.2  # of the training loss at the end: a penalty that is no longer small beside what is learned
AT_CONSTANT = 0.03  # of the constant's loss
COLLAPSED = 1e-3  # of the highest learning rate
GAP = 0.15  # of the scale, for a network that something simpler beats
WIDE_GAP = 0.2  # for any other
FALLING = 0.1  # of the loss, over the last quarter of the run
FAR_OUT = 20.0  # times the range of the middle 90 of 100 values; normal ones end at 2 times
USUAL_ROWS = 100_000  # say where most numbers lie; there may be more rows than memory holds
LEAST_EPOCHS = 5  # below, a run is short, and nothing can be said of where it would have stayed


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. evidence: in words, with the numbers. remedies: to try one at a time, in order."""

    kind: Kind
    evidence: str
    causes: tuple[str, ...]
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What a curve says. findings: the gravest first; () for a healthy run.

    epochs: how many were trained. kept: the epoch, from 0, whose weights are kept: it is judged, not what came after
    it. remark: what else the curve shows; "" where nothing.
    """

    findings: tuple[Finding, ...]
    epochs: int
    kept: int
    remark: str = ""

    @property
    def kind(self) -> Kind:
        """The gravest of the findings names the run."""
        return self.findings[0].kind if self.findings else "healthy"

    @property
    def diverged(self) -> bool:
        return any(finding.kind == "divergence" for finding in self.findings)

    @property
    def overfitting(self) -> bool:
        return any(finding.kind == "overfitting" for finding in self.findings)

    def lines(self) -> list[str]:
        """For the terminal: every finding with its evidence, its likely cause and what to try next."""
        told = [] if self.findings else [f"the loss curve is healthy ({self.epochs} epochs)"]
        for finding in self.findings:
            told.append(f"{finding.kind}: {finding.evidence}")
            told.append(f"  likely: {'; or '.join(finding.causes)}")
            told += [f"  try: {remedy}" for remedy in finding.remedies[:1]]
        return [*told, *([f"  {self.remark}"] if self.remark else [])]


def diagnose(curve: Curve) -> Diagnosis:
    """Reads the curve of a training: its levels beside those of the baselines, its gap, its noise, its end.

    A run can have several faults; `kind` is the gravest. What is not known (steps, validation, baselines) is not
    guessed: the rules that need it find nothing. Raises ValueError for a curve without an epoch.

    >>> curve = Curve((0.9, 0.5, 0.3, 0.2, 0.1, 0.05), (0.8, 0.6, 0.6, 0.7, 0.8, 0.9), baselines={"constant": 1.0})
    >>> found = diagnose(curve)
    >>> found.kind, found.findings[0].evidence
    ('overfitting', 'validation loss 0.6 in epoch 1, 0.8 at the end, while the training loss fell from 0.5 to 0.1')
    """
    if not curve.training:
        raise ValueError("the curve holds no epoch; expected at least one.")
    reading = Reading(curve)
    found: list[Finding] = []
    for kind, rule in RULES:
        said = any(kind in _SAID_WITH.get(finding.kind, ()) for finding in found)
        asked = kind in _ON_PURPOSE and reading.reached_target
        if not said and not asked and (finding := rule(reading)) is not None:
            found.append(finding)
    kept = len(curve.training) - 1 if curve.kept is None else curve.kept
    remarks = (_target_remark(reading), _remark(reading, kept)) if reading.finite else ()
    remark = "; ".join(filter(None, remarks))
    return Diagnosis(tuple(found), len(curve.training), kept, remark)


def may_register(diagnosis: Diagnosis, *, accept_overfit: bool = False) -> tuple[str, ...]:
    """What speaks against registering the weights that are kept; () where nothing does.

    A run that diverged cannot be registered. Weights that overfit can where somebody says so; where the curve turned up
    only after the epoch that is kept, nothing has to be said.

    >>> may_register(diagnose(Curve((0.7, float("inf")))))
    ('the run diverged: the training loss was no longer finite in epoch 1',)
    """
    reasons = [
        f"the run diverged: {finding.evidence}"
        for finding in diagnosis.findings
        if finding.kind == "divergence"
    ]
    if not accept_overfit:
        reasons += [
            f"the weights of epoch {diagnosis.kept} overfit: {finding.evidence}"
            for finding in diagnosis.findings
            if finding.kind == "overfitting"
        ]
    return tuple(reasons)


def rises(epochs: Sequence[NDArray[Any]], constant: float = math.nan, *, complete: bool = True) -> str | None:
    """Why a training that is going on has to stop, from the losses of its steps; None where it may go on.

    epochs: losses of the steps of each epoch so far. constant: loss of the best constant; where it is not known, the
    first steps take its place. complete: whether the last epoch is over. A jump that recovers is no reason: the level
    counts, the median over a quarter of an epoch. Of losses below 0 nothing is said.

    >>> rises([np.full(40, 0.5), np.full(40, 80.0)])
    'the training loss rose to 80, 160 times its 0.5'
    """
    losses = np.concatenate([np.zeros(0), *epochs])
    window = _window(max((len(steps) for steps in epochs), default=0))
    if len(losses) < 2 * window or losses.min() < 0:
        return None
    now, before = float(np.median(losses[-window:])), float(np.median(losses[-2 * window : -window]))
    levels = np.median(losses[: len(losses) // window * window].reshape(-1, window), axis=1)
    usual = max(float(levels.min()), constant if math.isfinite(constant) else float(levels[0]))
    if now < (ORDER if complete else HOPELESS) * usual or now < 0.9 * before:
        return None
    return f"the training loss rose to {now:.3g}, {now / usual:,.0f} times its {usual:.3g}"


class Diverged(ArithmeticError):
    """The loss became NaN or infinite, or rose by an order and did not come back: the weights are worth nothing.

    step: of the epoch, from 0; None where only the validation loss is not finite. reason: what was seen, in words.
    rows: numbers of the rows to learn from that this step took and that lie far from all others, set by `fit`.
    """

    def __init__(self, epoch: int, step: int | None, reason: str | None = None) -> None:
        self.epoch = epoch
        self.step = step
        self.reason = reason or "the loss was no longer finite"
        self.rows: tuple[int, ...] = ()
        super().__init__(epoch, step, reason)

    def __str__(self) -> str:
        where = "on the validation rows" if self.step is None else f"at step {self.step}"
        rows = f" Look at rows {', '.join(map(str, self.rows))}, far from all others." if self.rows else ""
        return (
            f"{self.reason[0].upper()}{self.reason[1:]} in epoch {self.epoch}, {where}.{rows} Lower the learning rate, "
            "set clip_norm, and look for targets that the loss cannot take (a logarithm of 0 or less)."
        )


class Watch:
    """Looks at the steps of a training as they come, and says when it has to stop.

    A check costs a sort of all steps, so it is made about four times an epoch.
    """

    def __init__(self, constant: float = math.nan) -> None:
        self.constant = constant
        self.epochs: list[NDArray[np.float64]] = []
        self._next = 0

    def begin_epoch(self) -> None:
        """The steps that come are of a new epoch."""
        self.epochs.append(np.zeros(0))
        self._next = 0

    def see(self, losses: NDArray[Any]) -> str | None:
        """Further steps; the reason to stop, or None."""
        if not np.isfinite(losses).all():
            return "the training loss was no longer finite"
        self.epochs[-1] = np.concatenate([self.epochs[-1], np.asarray(losses, np.float64)])
        if len(self.epochs[-1]) < self._next:
            return None
        length = max(len(steps) for steps in self.epochs)
        self._next = len(self.epochs[-1]) + _window(length)
        return rises(self.epochs, self.constant, complete=False)

    def end_epoch(self) -> str | None:
        """The epoch is over; the reason to stop, or None."""
        return rises(self.epochs, self.constant) if self.epochs and len(self.epochs[-1]) else None


def furthest_out(
    inputs: NDArray[Any], targets: NDArray[Any], rows: NDArray[Any], *, most: int = 3
) -> tuple[int, ...]:
    """Which of these rows hold a number that is far from all others, the furthest first; () where none does.

    inputs: (n, width). targets: (n,). rows: numbers of rows, to look for the ones that made a loss undefined.

    >>> inputs = np.tile(np.arange(5.0), 20).reshape(100, 1)
    >>> inputs[7] = 1e6
    >>> furthest_out(inputs, np.zeros(100), np.array([3, 7, 9]))
    (7,)
    """
    spread_over_all = np.linspace(0, len(targets) - 1, min(len(targets), USUAL_ROWS)).astype(np.intp)
    usual, own = (
        np.column_stack([inputs[some], targets[some]]).astype(np.float64) for some in (spread_over_all, rows)
    )
    low, middle, high = np.nanquantile(usual, [0.05, 0.5, 0.95], axis=0)
    spread = np.where(high > low, high - low, 1.0)
    out = np.abs(own - middle) / spread
    worst = np.where(np.isfinite(out), out, np.inf).max(axis=1)
    order = np.argsort(-worst, kind="stable")[:most]
    return tuple(dict.fromkeys(int(rows[place]) for place in order if worst[place] > FAR_OUT))


def _window(steps: int) -> int:
    """How many steps a level is taken over: a quarter of an epoch, and not too few."""
    return max(steps // 4, min(16, steps), 1)


_SAID_WITH: dict[Kind, tuple[Kind, ...]] = {
    # what follows from a graver finding, and would only repeat it
    "divergence": KINDS,
    "spikes": ("too noisy",),
    "leak suspected": ("plateau", "overfitting", "underfitting"),
    "too noisy": ("plateau", "underfitting"),
    "plateau": ("underfitting",),
    "overfitting": ("underfitting",),
}
# what a training does not have that ended at the loss that was asked for
_ON_PURPOSE: tuple[Kind, ...] = ("plateau", "underfitting")


# --- divergence ---


def _divergence(reading: Reading) -> Finding | None:
    evidence = _not_finite(reading) or _risen(reading)
    if evidence is None:
        return None
    rate = "the learning rate is too high"
    rows = "rows hold NaN, infinite or absurd values, or targets that the loss cannot take (a logarithm of 0 or less)"
    causes = (rows, rate) if _came_at_once(reading) else (rate, rows)
    return Finding("divergence", evidence, causes, remedies(reading.curve, lower_rate, clipped))


def _not_finite(reading: Reading) -> str | None:
    curve = reading.curve
    for epoch, loss in enumerate(curve.training):
        steps = np.asarray(curve.steps[epoch] if curve.steps else ())
        if not np.isfinite(steps).all():
            step = int(np.argmin(np.isfinite(steps)))
            return f"the training loss was no longer finite in epoch {epoch}, step {step}"
        if not math.isfinite(loss):
            return f"the training loss was no longer finite in epoch {epoch}"
        if curve.validation and not math.isfinite(curve.validation[epoch]):
            return f"the validation loss was no longer finite in epoch {epoch}"
    return None


def _risen(reading: Reading) -> str | None:
    """The level of the training loss at the end, where it has risen by an order and does not fall."""
    level, curve = reading.level, reading.curve
    if reason := rises([np.array(steps) for steps in curve.steps], reading.known_constant):
        return reason
    low, before, now = float(level.min()), float(level[-2:][0]), float(level[-1])
    above = low + ORDER * reading.scale if curve.may_be_negative else ORDER * max(low, reading.scale)
    return f"the training loss rose from {low:.3g} to {now:.3g}" if now >= max(above, before) else None


def _came_at_once(reading: Reading) -> bool:
    """Whether the loss was an ordinary one until it was not finite: no rate does that."""
    known = reading.all_steps[np.isfinite(reading.all_steps)]
    if not len(known):
        return True
    return float(np.median(known[-3:])) < ORDER * max(float(known[0]), reading.known_constant)


# --- what stands on single steps ---


def _spikes(reading: Reading) -> Finding | None:
    jumps = reading.jumps
    if not jumps:
        return None
    highest = max(jumps, key=lambda jump: jump.loss - jump.around)
    unit = "steps" if len(reading.all_steps) else "epochs"
    total = len(reading.all_steps) or reading.epochs
    evidence = (
        f"{len(jumps)} of {total:,} {unit} cost far more than those around them, the most {highest.loss:.3g} "
        f"against {highest.around:.3g} (number {highest.step}), and the loss came back"
    )
    causes = ("some batches hold rows that are wrong or absurd", "single steps are too long")
    return Finding("spikes", evidence, causes, remedies(reading.curve, clipped, larger_batches, calmer_rate))


def _too_noisy(reading: Reading) -> Finding | None:
    """Chance from epoch to epoch that matters and that costs: the best is not reached, or not kept."""
    noise = reading.noise
    if not noise >= NOISE * reading.unit or reading.typical - reading.attainable < COST * reading.unit:
        return None
    if _remembers(reading):
        return None  # the noise is that of learning by heart
    steps = f"; a step lies {reading.step_noise:.0%} from those around it" if reading.step_noise > 0 else ""
    evidence = (
        f"the {reading.what} moves by {noise:.2g} from epoch to epoch beside its trend, {noise / reading.unit:.0%} of "
        f"what there is to learn ({reading.unit:.3g}){steps}"
    )
    causes = ("the learning rate is too high for batches of this size", "batches are too small")
    return Finding("too noisy", evidence, causes, remedies(reading.curve, calmer_rate, larger_batches))


def _remembers(reading: Reading) -> bool:
    """Whether learned rows cost ever less while others cost more, or far less in the end."""
    training = reading.training
    if not reading.validated:
        return False
    fell = training[reading.best] - reading.learned >= HEART * reading.unit
    apart = min(reading.learned, np.median(training[reading.epochs // 2 :])) < REMEMBERED * reading.typical
    turned = reading.turn >= max(TURNED * reading.unit, 3 * reading.noise)
    return bool(apart or (fell and turned))


# --- what is too good ---


def _leak(reading: Reading) -> Finding | None:
    evidence = _all_explained(reading) or _followed_to_the_floor(reading) or _easier_than_learned(reading)
    if evidence is None:
        return None
    causes = (
        "a column gives the target away, or was written after it was known",
        "validation rows are also among the training rows",
    )
    return Finding("leak suspected", evidence, causes, remedies(reading.curve, column_dropped))


def _all_explained(reading: Reading) -> str | None:
    """A straight line has all but solved the problem."""
    if reading.curve.may_be_negative or not reading.simple <= EXPLAINED * reading.known_constant > 0:
        return None
    return (
        f"even the simple model leaves {reading.simple / reading.constant:.2%} of the loss of the best constant "
        f"({reading.simple:.3g} of {reading.constant:.3g})"
    )


def _followed_to_the_floor(reading: Reading) -> str | None:
    """Unseen rows are answered like learned ones, down to next to nothing."""
    if reading.curve.may_be_negative or not reading.validated:
        return None
    best, floor = reading.best, NEAR_FLOOR * reading.constant
    if not 0 < floor >= reading.lowest or reading.lowest > AS_SEEN * reading.training[best]:
        return None
    return (
        f"the validation loss followed the training loss down to {reading.lowest / reading.constant:.2%} of that of "
        f"the best constant ({reading.lowest:.3g}, training {reading.training[best]:.3g})"
    )


def _easier_than_learned(reading: Reading) -> str | None:
    """Unseen rows cost far less than learned ones, and not because the training is hampered."""
    if not reading.validated or reading.curve.altered or reading.epochs < LEAST_EPOCHS:
        return None
    late = slice(reading.epochs // 2, None)
    ratio = float(np.median(reading.judged[late] / np.maximum(reading.level[late], FLOOR * reading.scale)))
    if reading.curve.may_be_negative or ratio > EASIER:
        return None
    return (
        f"in the later half the validation loss is {ratio:.2f} times the training loss, which is not hampered by "
        "dropout"
    )


# --- what does not move, learns too much, or too little ---


def _plateau(reading: Reading) -> Finding | None:
    evidence = _stopped(reading) or _never_moved(reading) or _at_the_constant(reading)
    if evidence is None:
        return None
    causes = (
        "the learning rate is far too small, or its schedule fell too early",
        "hidden units are dead or saturated, so that no gradient comes through",
    )
    makers = (steady_rate, higher_rate, other_units, normalised)
    return Finding("plateau", evidence, causes, remedies(reading.curve, *makers))


def _stopped(reading: Reading) -> str | None:
    """Nothing moves any more while there is still something to learn; the rate may say why."""
    rates, late = reading.curve.learning_rates, slice(reading.epochs // 2, None)
    left = reading.lowest - reading.attainable >= COST * reading.unit
    if reading.epochs < LEAST_EPOCHS or not left or reading.gap > GAP * reading.scale:
        return None
    collapsed = bool(rates) and 0 < max(rates[late]) <= COLLAPSED * max(rates)
    still = float(np.ptp(reading.judged[late])) <= STILL * reading.scale
    if not collapsed and not still:
        return None
    rate = f"; the learning rate is {rates[-1]:.2g} (at most {max(rates):.2g})" if rates else ""
    return (
        f"the {reading.what} stays at {reading.end:.4g} and moves by {np.ptp(reading.judged[late]):.2g} in the later "
        f"half{rate}; {reading.attainable:.3g} can be reached"
    )


def _never_moved(reading: Reading) -> str | None:
    """Nearly all of the way is left, and the network is no better than a constant."""
    low = min(reading.lowest, float(reading.level.min()))
    if reading.epochs < LEAST_EPOCHS or reading.penalised or low < (1 - MOVED) * reading.constant:
        return None
    first, way = float(reading.judged[0]), float(reading.judged[0]) - reading.attainable
    still = not reading.noise > STILL * reading.scale
    if not (still or (reading.line_learns and abs(first - reading.end) < MOVED * way)):
        return None
    return (
        f"the {reading.what} went from {first:.4g} to {reading.end:.4g} in {reading.epochs} epochs; "
        f"the best constant has {reading.constant:.4g}{_rival(reading)}"
    )


def _at_the_constant(reading: Reading) -> str | None:
    """It came down to the best constant and stayed there, where a straight line would have learned more."""
    late = reading.judged[reading.epochs // 2 :]
    if reading.epochs < LEAST_EPOCHS or reading.penalised or not reading.line_learns:
        return None
    if np.abs(late - reading.constant).max() > AT_CONSTANT * reading.scale:
        return None
    return (
        f"the {reading.what} stays at {reading.end:.4g}, which is the best constant's {reading.constant:.4g}; "
        f"the simple model has {reading.simple:.4g}"
    )


def _overfitting(reading: Reading) -> Finding | None:
    evidence = _turned_up(reading) or _far_apart(reading)
    if evidence is None:
        return None
    causes = ("the network is large for the rows there are, and remembers them", "labels are noisy or wrong")
    makers = (more_dropout, penalised, fewer_units)
    return Finding("overfitting", evidence, causes, remedies(reading.curve, *makers))


def _turned_up(reading: Reading) -> str | None:
    """The validation loss rose while the training loss fell on."""
    best, training = reading.best, reading.training
    if reading.turn < TURNED * reading.unit or reading.gap < reading.turn:
        return None
    if training[best] - reading.learned < COST * COST * reading.scale:
        return None
    return (
        f"validation loss {reading.lowest:.3g} in epoch {best}, {reading.end:.3g} at the end, while the training "
        f"loss fell from {training[best]:.3g} to {training[-1]:.3g}"
    )


def _far_apart(reading: Reading) -> str | None:
    """Learned rows cost next to nothing, others much."""
    beaten = not reading.end < reading.rival[1]
    if reading.gap < (GAP if beaten else WIDE_GAP) * reading.scale:
        return None
    if reading.learned > EASIER * reading.end:
        return None
    return (
        f"the validation loss of {reading.end:.3g} is {reading.gap:.3g} above the training loss; the best constant has "
        f"{reading.constant:.3g}"
    )


def _underfitting(reading: Reading) -> Finding | None:
    falling = _still_falling(reading)
    evidence = falling or _beaten(reading) or _nothing_learned(reading)
    if evidence is None:
        return None
    causes, makers = _too_short() if falling else _too_little(reading)
    return Finding("underfitting", evidence, causes, remedies(reading.curve, *makers))


def _too_short() -> tuple[tuple[str, ...], tuple[Maker, ...]]:
    return ("it was trained too short",), (more_epochs, higher_rate)


def _too_little(reading: Reading) -> tuple[tuple[str, ...], tuple[Maker, ...]]:
    """What holds the network back, and what helps against it."""
    if reading.penalised or reading.paid > PAID:
        return ("the penalties on the weights are too strong",), (no_penalty("l1"), no_penalty("l2"))
    if reading.curve.altered and reading.learned > HAMPERED * reading.end:
        return ("dropout holds the network back",), (less_dropout, more_units)
    causes = ("the network is too small", "the inputs do not say more")
    return causes, (more_units, higher_rate, less_dropout)


def _still_falling(reading: Reading) -> str | None:
    """Both losses fell until the end, by an amount that matters."""
    fall, late = reading.fall(reading.judged), reading.epochs - 1 - reading.epochs // 20
    if reading.best < late:
        return None  # it fell, and then it did not
    loss = max(reading.judged[-1] - reading.floor, FLOOR * reading.scale)
    if min(fall, reading.fall(reading.level)) < max(FALLING * loss, COST * COST * 2 * reading.unit):
        return None
    if fall < 3 * reading.noise:
        return None
    return (
        f"the {reading.what} still fell by {fall:.3g} over the last {reading.last_quarter} of {reading.epochs} epochs, "
        f"to {reading.judged[-1]:.3g}"
    )


def _beaten(reading: Reading) -> str | None:
    name, loss = reading.rival
    limit = COST * COST if reading.paid > PAID else BEATEN
    if not name or reading.lowest - loss < limit * reading.unit or reading.training[reading.best] < loss:
        return None  # where learned rows cost less than that, the network is not what is lacking
    return f"the lowest {reading.what} is {reading.lowest:.3g}; {_NAMES.get(name, name)}: {loss:.3g}"


def _nothing_learned(reading: Reading) -> str | None:
    if reading.lowest < (1 - AT_CONSTANT) * reading.known_constant or math.isnan(reading.known_constant):
        return None
    return (
        f"the lowest {reading.what} is {reading.lowest:.4g}, no better than the best constant's "
        f"{reading.constant:.4g}"
    )


_NAMES = {"simple": "the simple model", "trees": "boosted trees", "forest": "a forest"}


def _rival(reading: Reading) -> str:
    name, loss = reading.rival
    return f", {_NAMES.get(name, name)} {loss:.4g}" if name else ""


def _target_remark(reading: Reading) -> str:
    """That it ended because it was good enough."""
    if not reading.reached_target:
        return ""
    return (
        f"it ended in epoch {reading.epochs - 1} because the {reading.what} reached the target_loss of "
        f"{reading.curve.target_loss:g}"
    )


def _remark(reading: Reading, kept: int) -> str:
    """That it was well to stop, where it was."""
    if reading.curve.kept is None or reading.later_turn < TURNED * reading.unit:
        return ""
    return (
        f"epoch {kept} is kept; after it the validation loss rose from {reading.end:.3g} to "
        f"{reading.end + reading.later_turn:.3g}"
    )


RULES: tuple[tuple[Kind, Callable[[Reading], Finding | None]], ...] = (
    ("divergence", _divergence),
    ("spikes", _spikes),
    ("leak suspected", _leak),
    ("too noisy", _too_noisy),
    ("plateau", _plateau),
    ("overfitting", _overfitting),
    ("underfitting", _underfitting),
)
