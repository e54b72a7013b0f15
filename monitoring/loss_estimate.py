"""The loss of a window before its labels come: an estimate from inputs and answers alone, with its interval.

A model of the row loss (`loss_model`), learned on rows that the version was not trained on, is averaged over the rows
of the window. The interval is about the loss that the labels will show: it holds what the labels of these rows can
do by chance, what the model does not know where these rows lie, and how windows differ beyond that.

It holds while the target depends on the inputs as it did: a shift of the inputs is what it is made for, a concept
change is what it cannot see. `loss_trust` scores it as labels arrive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.loss_basis import Basis, make_basis
from monitoring.loss_model import (
    MOST_LOG,
    ClassChances,
    Fitted,
    LossRate,
    PlainLoss,
    fit,
    gradient_of,
    log_chances,
)
from monitoring.loss_trust import LEAST_LABELS, Scored, Trust

Array = npt.NDArray[np.float64]
RowLosses = Callable[[Array, Array], Array]

LEVEL = 0.90  # of the interval
QUANTILE = 1.6448536269514722  # of the normal distribution, on either side
LEAST_ROWS = 200  # of a reference; below it even the mean of a loss is known to a tenth at best
MOST_ROWS = 20_000  # a model has a few hundred weights; of more rows an even share is taken
MOST_WEIGHTS = 400
MOST_FUNCTIONS = 130
DRAWS = 64  # of the weights, that stand for their covariance: its root to 9 %
DOUBT = 1.5  # times the weights' own doubt, for a model is wrong in more than its weights (benchmarks.estimate, TUNED)
POWER = 1.0  # of the variance, as Poisson's: nearer to large losses than 1.25 and 1.5 (benchmarks.estimate, TUNED)
PRIOR_BLOCKS = 2  # that say that windows do not differ beyond that
WINSOR_QUANTILE = 0.99  # of surprises, so that a few rows do not withdraw an estimate
# of the loss: with a standard error of a fifth nothing is known that a decision could rest on
MOST_DOUBT = 0.2
SURE = 1e-6  # a chance nearer to 0 or 1 than this says no more


@dataclass(frozen=True)
class LossEstimator:
    """What estimates the loss of a version. rows: it was learned from; loss: their mean.

    classes: of the target; 0 where it is a number. chances: whether answers are probabilities. weights (q,), draws
    (m, q) minus the weights: their doubt. base: log of the usual loss, or the loss itself where it is signed.
    noise: variance of a row's loss, of its mean's square; of itself where signed. spread: between windows, as a share
    of the loss beyond what rows explain. ceiling, centre, variance: of surprises, see `surprises`.
    """

    classes: int
    chances: bool
    signed: bool
    rows: int
    loss: float
    basis: Basis
    weights: Array
    draws: Array
    base: float
    noise: float
    spread: float
    ceiling: float
    centre: float
    variance: float


@dataclass(frozen=True)
class ExpectedLosses:
    """Of n rows: mean and variance of each one's loss; gradient (q,): of the sum of the means by the weights.

    chances, losses: of every class, (n, k), where the target has classes.
    """

    mean: Array
    variance: Array
    gradient: Array
    chances: Array | None = None
    losses: Array | None = None

    def take(self, rows: npt.NDArray[np.intp]) -> ExpectedLosses:
        """Some of the rows, without what their weights would be worth."""
        return ExpectedLosses(
            self.mean[rows],
            self.variance[rows],
            np.zeros_like(self.gradient),
            None if self.chances is None else self.chances[rows],
            None if self.losses is None else self.losses[rows],
        )


@dataclass(frozen=True)
class EstimateSums:
    """What is kept of rows; adding up gives those of all of them."""

    rows: int
    loss: float
    variance: float
    gradient: Array

    def __add__(self, other: EstimateSums) -> EstimateSums:
        return EstimateSums(
            self.rows + other.rows,
            self.loss + other.loss,
            self.variance + other.variance,
            self.gradient + other.gradient,
        )


@dataclass(frozen=True)
class LossEstimate:
    """The loss that a window's labels will show. chance, model, windows: standard errors, from the labels' chance, from
    the model and from how windows differ; widened: by how much past windows say that they are to be multiplied.
    """

    rows: int
    loss: float
    reference_loss: float
    chance: float
    model: float
    windows: float
    signed: bool = False
    widened: float = 1.0
    trusted: bool = True
    reason: str = ""

    @property
    def error(self) -> float:
        """Standard error of the estimate as a forecast of the realised loss."""
        return self.widened * math.sqrt(self.chance**2 + self.model**2 + self.windows**2)

    @property
    def low(self) -> float:
        if self.signed or self.loss <= 0:
            return self.loss - QUANTILE * self.error
        return self.loss * math.exp(-QUANTILE * self.error / self.loss)

    @property
    def high(self) -> float:
        if self.signed or self.loss <= 0:
            return self.loss + QUANTILE * self.error
        return self.loss * math.exp(QUANTILE * self.error / self.loss)

    def __str__(self) -> str:
        told = f"estimated loss {self.loss:.4g} ({self.low:.4g} to {self.high:.4g})"
        return told if self.trusted else f"{told}, not to be trusted: {self.reason}"


def fit_estimator(
    inputs: npt.NDArray[Any],
    predictions: Array,
    targets: Array,
    row_losses: RowLosses,
    *,
    classes: int,
    chances: bool = True,
    windows: Sequence[npt.NDArray[np.intp]] = (),
) -> LossEstimator | None:
    """Learns from rows with labels that the version was not trained on; None where they are too few.

    inputs (n, d): prepared; predictions (n, outputs); targets (n,): positions of classes or numbers. classes: of the
    target, 0 for a number. chances: whether answers are probabilities, not scores. windows: places of the rows of
    each window, for how windows differ.
    """
    losses = row_losses(targets, predictions)
    fine = np.flatnonzero(np.isfinite(losses) & np.isfinite(targets) & np.isfinite(predictions).all(axis=1))
    if len(fine) < LEAST_ROWS:
        return None
    every = max(-(-len(fine) // MOST_ROWS), 1)
    chosen = fine[::-every][::-1]
    rng = np.random.default_rng(len(chosen))
    most = min(MOST_FUNCTIONS, MOST_WEIGHTS // (classes + 1 if classes > 2 else 2), len(chosen) // 4)
    scores = scores_of(predictions, classes, chances)
    columns = _columns(inputs, scores)
    basis = make_basis(columns[chosen], rng, most=most)
    signed = not classes and bool(losses[fine].min() < 0 or not losses[fine].any())
    fitted, base = _fitted(
        basis, columns[chosen], scores[chosen], targets[chosen], losses[chosen], classes, signed
    )
    found = LossEstimator(
        classes=classes,
        chances=chances,
        signed=signed,
        rows=len(chosen),
        loss=float(losses[fine].mean()),
        basis=basis,
        weights=fitted.weights,
        draws=_draws(fitted.covariance, rng),
        base=base,
        noise=0.0,
        spread=0.0,
        ceiling=math.inf,
        centre=0.0,
        variance=0.0,
    )
    found = _scaled(found, inputs[chosen], predictions[chosen], losses[chosen], row_losses, fitted)
    return replace(found, spread=_spread(found, inputs, predictions, losses, row_losses, windows))


def _fitted(
    basis: Basis,
    columns: Array,
    scores: Array,
    targets: Array,
    losses: Array,
    classes: int,
    signed: bool,
) -> tuple[Fitted, float]:
    values = basis.values(columns)
    if classes:
        return fit(ClassChances(values, basis.groups, scores, targets)), 0.0
    if signed:
        plain = PlainLoss(values, basis.groups, losses)
        return fit(plain), plain.base
    rate = LossRate(values, basis.groups, np.maximum(losses, 0.0), POWER)
    return fit(rate), rate.base


def _draws(covariance: Array, rng: np.random.Generator) -> Array:
    """Draws of the weights' doubt, with the covariance's own diagonal on average."""
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    return np.asarray(DOUBT * rng.standard_normal((DRAWS, len(root))) @ root.T)


def _scaled(
    found: LossEstimator,
    inputs: npt.NDArray[Any],
    predictions: Array,
    losses: Array,
    row_losses: RowLosses,
    fitted: Fitted,
) -> LossEstimator:
    """With what the rows say of the noise; where the target is a number, the mean becomes that of the rows."""
    if not found.classes:
        mean = expected_losses(found, inputs, predictions, row_losses).mean
        base = found.base + (
            losses.mean() - mean.mean() if found.signed else math.log(losses.mean() / mean.mean())
        )
        found = replace(found, base=float(base))
    mean = expected_losses(found, inputs, predictions, row_losses).mean
    if found.classes:
        return replace(found, ceiling=float(np.quantile(losses, WINSOR_QUANTILE)))
    left = max(1.0 - fitted.effective / found.rows, 0.1)
    size = np.ones(len(mean)) if found.signed else mean**2
    noise = float(((losses - mean) ** 2).sum() / size.sum() / left)
    ratios = _ratios(found, losses, mean, noise)
    ceiling = float(np.quantile(ratios, WINSOR_QUANTILE))
    ratios = np.minimum(ratios, ceiling)
    return replace(
        found, noise=noise, ceiling=ceiling, centre=float(ratios.mean()), variance=float(ratios.var())
    )


def _ratios(estimator: LossEstimator, losses: Array, mean: Array, noise: float) -> Array:
    """Losses as multiples of what was expected; where they are signed, what is beyond in standard deviations."""
    if estimator.signed:
        return (losses - mean) / max(math.sqrt(noise), 1e-12)
    return np.asarray(losses / mean)


def _spread(
    found: LossEstimator,
    inputs: npt.NDArray[Any],
    predictions: Array,
    losses: Array,
    row_losses: RowLosses,
    windows: Sequence[npt.NDArray[np.intp]],
) -> float:
    """By how much realised and estimated loss of whole windows differ, beyond what chance and model explain."""
    beyond = []
    for rows in windows:
        known = rows[np.isfinite(losses[rows])]
        if len(known) < LEAST_ROWS / 4:
            continue
        said = estimate(found, sums_of(expected_losses(found, inputs[known], predictions[known], row_losses)))
        away = float(losses[known].mean()) - said.loss
        beyond.append((away**2 - said.chance**2) / max(said.loss**2, 1e-24))
    if not beyond:
        return 0.0
    return math.sqrt(max(sum(beyond), 0.0) / (len(beyond) + PRIOR_BLOCKS))


def scores_of(predictions: Array, classes: int, chances: bool) -> Array:
    """Answers as log-odds of the classes up to a constant, (n, k); as they are where the target is a number."""
    answers = np.asarray(predictions, float)
    if not classes:
        return answers
    if classes == 2:
        one = answers[:, 0]
        odds = np.log(np.clip(one, SURE, 1.0)) - np.log(np.clip(1.0 - one, SURE, 1.0)) if chances else one
        return np.column_stack([np.zeros(len(odds)), odds])
    scores = np.log(np.clip(answers, SURE, 1.0)) if chances else answers
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))


def _columns(inputs: npt.NDArray[Any], scores: Array) -> Array:
    """What the model sees of a row: its inputs, and of its answer the numbers, or how sure it is."""
    if scores.shape[1] <= 2:
        return np.column_stack([inputs, scores[:, -1]]).astype(float)
    top = np.sort(scores, axis=1)[:, -2:]
    return np.column_stack([inputs, top[:, 1], top[:, 1] - top[:, 0]]).astype(float)


def expected_losses(
    estimator: LossEstimator, inputs: npt.NDArray[Any], predictions: Array, row_losses: RowLosses
) -> ExpectedLosses:
    """What the losses of rows will be on average, and how much they vary."""
    scores = scores_of(predictions, estimator.classes, estimator.chances)
    values = estimator.basis.values(_columns(inputs, scores))
    if not estimator.classes:
        return _expected_numbers(estimator, values)
    chances = np.exp(log_chances(estimator.weights, values, scores))
    losses = class_losses(predictions, estimator.classes, row_losses)
    mean = (chances * losses).sum(axis=1)
    away = losses - mean[:, None]
    return ExpectedLosses(
        mean=mean,
        variance=(chances * away**2).sum(axis=1),
        gradient=gradient_of(chances * away, values, scores),
        chances=chances,
        losses=losses,
    )


def _expected_numbers(estimator: LossEstimator, values: Array) -> ExpectedLosses:
    level = values @ estimator.weights
    if estimator.signed:
        mean = estimator.base + level
        return ExpectedLosses(mean, np.full(len(mean), estimator.noise), values.sum(axis=0))
    mean = np.exp(estimator.base + np.clip(level, -MOST_LOG, MOST_LOG))
    return ExpectedLosses(mean, estimator.noise * mean**2, values.T @ mean)


def class_losses(predictions: Array, classes: int, row_losses: RowLosses) -> Array:
    """The loss that every row would have with every class, (n, k)."""
    rows = len(predictions)
    return np.column_stack([row_losses(np.full(rows, float(one)), predictions) for one in range(classes)])


def sums_of(expected: ExpectedLosses) -> EstimateSums:
    return EstimateSums(
        len(expected.mean), float(expected.mean.sum()), float(expected.variance.sum()), expected.gradient
    )


def estimate(estimator: LossEstimator, sums: EstimateSums) -> LossEstimate:
    """The estimate of all rows that were summed; at least one."""
    loss = sums.loss / sums.rows
    doubt = estimator.draws @ (sums.gradient / sums.rows)
    return LossEstimate(
        rows=sums.rows,
        loss=loss,
        reference_loss=estimator.loss,
        chance=math.sqrt(sums.variance) / sums.rows,
        model=float(np.sqrt((doubt**2).mean())),
        windows=estimator.spread * abs(loss),
        signed=estimator.signed,
    )


def surprises(estimator: LossEstimator, expected: ExpectedLosses, losses: Array) -> tuple[Array, Array]:
    """By how much the losses of rows differ from what was expected, as shares of the loss, with their variances.

    Losses are winsorised, and so is what was expected of them.
    """
    if expected.chances is not None and expected.losses is not None:
        kept = np.minimum(expected.losses, estimator.ceiling)
        mean = (expected.chances * kept).sum(axis=1)
        variance = (expected.chances * (kept - mean[:, None]) ** 2).sum(axis=1)
        size = max(abs(float(mean.mean())), 1e-12) if len(mean) else 1.0
        return (np.minimum(losses, estimator.ceiling) - mean) / size, variance / size**2
    if estimator.signed:
        scale = math.sqrt(estimator.noise)
        size = scale / max(abs(estimator.loss), 1e-12)
    else:
        size = 1.0 / max(estimator.centre, 1e-12)
    ratios = _ratios(estimator, losses, expected.mean, estimator.noise)
    values = np.minimum(ratios, estimator.ceiling) - estimator.centre
    return values * size, np.full(len(values), estimator.variance * size**2)


@dataclass(frozen=True)
class EstimatedRows:
    """What is left of rows of a window. all: of them; labelled: of those with a label, which lost `realised` together.

    surprises, variances: of the labelled rows in their order, see `surprises`. Adding up gives those of a whole window.
    """

    all: EstimateSums
    labelled: EstimateSums
    realised: float
    surprises: Array
    variances: Array

    def __add__(self, other: EstimatedRows) -> EstimatedRows:
        return EstimatedRows(
            self.all + other.all,
            self.labelled + other.labelled,
            self.realised + other.realised,
            np.concatenate([self.surprises, other.surprises]),
            np.concatenate([self.variances, other.variances]),
        )

    def unlabelled(self) -> EstimatedRows:
        """The same rows as if no label had come."""
        nothing = EstimateSums(0, 0.0, 0.0, np.zeros_like(self.all.gradient))
        return EstimatedRows(self.all, nothing, 0.0, np.zeros(0), np.zeros(0))


def estimated_rows(
    estimator: LossEstimator,
    inputs: npt.NDArray[Any],
    predictions: Array,
    losses: Array,
    row_losses: RowLosses,
) -> EstimatedRows:
    """What is left of rows. losses: realised, nan where there is no label; a row without an answer is left out."""
    sound = np.isfinite(predictions).all(axis=1)
    expected = expected_losses(estimator, inputs[sound], predictions[sound], row_losses)
    known = np.flatnonzero(np.isfinite(losses[sound]))
    labelled, realised = expected.take(known), losses[sound][known]
    values, variances = surprises(estimator, labelled, realised)
    return EstimatedRows(sums_of(expected), sums_of(labelled), float(realised.sum()), values, variances)


def scored(estimator: LossEstimator, rows: EstimatedRows) -> Scored:
    """The labels of a window as trust takes them."""
    if not rows.labelled.rows:
        return Scored(np.zeros(0), np.zeros(0), 0.0)
    count = rows.labelled.rows
    whole = estimate(estimator, rows.all)
    part = replace(estimate(estimator, rows.labelled), model=whole.model)
    enough = count >= LEAST_LABELS and part.error > 0
    return Scored(
        rows.surprises,
        rows.variances,
        doubt=whole.model / max(abs(whole.loss), 1e-12),
        miss=(rows.realised / count - part.loss) / part.error if enough else math.nan,
    )


def trusting(found: LossEstimate, state: Trust | None) -> LossEstimate:
    """The estimate with what labels say of it so far; None where none has come."""
    if state is not None:
        found = replace(found, trusted=state.trusted, reason=state.reason, widened=state.widened)
    if found.model > MOST_DOUBT * abs(found.loss):
        share = found.model / abs(found.loss) if found.loss else math.inf
        doubt = f"the window lies where the reference has few rows: the model doubts {share:.0%}"
        return replace(found, trusted=False, reason=doubt)
    return (
        found if state is not None else replace(found, reason="no label has come yet to score the estimate")
    )


def write_estimator(estimator: LossEstimator) -> dict[str, Any]:
    """As plain JSON values; numbers have six digits, which is more than is known."""
    plain = {field.name: getattr(estimator, field.name) for field in fields(estimator)}
    arrays = {name: _short(plain[name]) for name in ("weights", "draws")}
    return {
        **plain,
        **arrays,
        "basis": {name: _short(value) for name, value in estimator.basis.arrays().items()},
    }


def _short(values: Array) -> Any:
    digits = np.char.mod("%.6g", values.ravel()).astype(float)
    return digits.reshape(values.shape).tolist()


def read_estimator(stored: Mapping[str, Any]) -> LossEstimator:
    """What `write_estimator` wrote."""
    arrays = {name: np.asarray(stored[name], float) for name in ("weights", "draws")}
    ceiling = math.inf if stored["ceiling"] is None else stored["ceiling"]
    return LossEstimator(
        **{**stored, **arrays, "ceiling": ceiling, "basis": Basis.from_arrays(stored["basis"])}
    )
