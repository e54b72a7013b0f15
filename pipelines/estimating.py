"""The estimate of the loss before labels come: learned with a version, given for every window that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.loss_estimate import (
    EstimatedRows,
    LossEstimate,
    LossEstimator,
    estimate,
    estimated_rows,
    fit_estimator,
    scored,
    trusting,
)
from monitoring.loss_trust import Trust, TrustScorer
from monitoring.window import Window, rows_by_window
from pipelines.objective import Objective

if TYPE_CHECKING:
    from models.schema import Target

Array = npt.NDArray[Any]

ESTIMATE = "estimate"  # an event of the log: what was estimated of a window before its labels were due


def make_estimator(
    inputs: npt.NDArray[np.float32],
    predictions: Array,
    targets: Array,
    times: Array,
    windows: Sequence[Window],
    *,
    target: Target,
    goal: Objective,
) -> LossEstimator | None:
    """The estimator of a version, of rows in order of time that it was not trained on; None where they are too few."""
    if not len(targets):
        return None
    answers = predictions.astype(np.float64)
    return fit_estimator(
        inputs,
        answers,
        targets.astype(np.float64),
        goal.row_losses,
        classes=classes_of(target),
        chances=_are_chances(answers, goal),
        windows=rows_by_window(times, windows),
    )


def classes_of(target: Target) -> int:
    """How many classes a target has; 0 where it is a number."""
    return 0 if target.task == "regression" else len(target.classes)


def _are_chances(answers: npt.NDArray[np.float64], goal: Objective) -> bool:
    """Whether answers are probabilities, as far as they say so; scores are taken as log-odds."""
    known = answers[np.isfinite(answers)]
    return not goal.parameters.get("from_logits") and bool(((known >= 0) & (known <= 1)).all())


def rows_for_estimate(
    estimator: LossEstimator | None, inputs: Array, predictions: Array, losses: Array, goal: Objective
) -> EstimatedRows | None:
    """What is left of rows of a window. losses: nan where there is no label; None where nothing was learned."""
    if estimator is None:
        return None
    return estimated_rows(estimator, inputs, predictions.astype(np.float64), losses, goal.row_losses)


@dataclass(frozen=True)
class EndedWindow:
    """A window of a service that has ended. rows: what is left of them; sound: whether its data were."""

    window: Window
    rows: EstimatedRows
    sound: bool = True


class Estimates:
    """The estimates of the windows of a service, each as it was known when its window ended.

    delay: after the end of a window its labels are complete, and score the estimates after it. run_length: windows
    between two estimates that are withdrawn by chance.
    """

    def __init__(self, estimator: LossEstimator, delay: timedelta, run_length: float) -> None:
        self.estimator, self.delay = estimator, delay
        self._scorer = TrustScorer(run_length)
        self._scored: list[tuple[datetime, Trust]] = []  # when labels were complete, and what they said

    def of(self, ended: EndedWindow) -> LossEstimate | None:
        """The estimate of a window; None where it has no row."""
        if not ended.rows.all.rows:
            return None
        states = [state for complete, state in self._scored if complete <= ended.window.end]
        return trusting(estimate(self.estimator, ended.rows.all), states[-1] if states else None)

    def score(self, ended: EndedWindow) -> None:
        """Takes the labels of a window that is due, in order of time; broken data say nothing."""
        rows = ended.rows if ended.sound else ended.rows.unlabelled()
        self._scored.append(
            (ended.window.end + self.delay, self._scorer.update(scored(self.estimator, rows)))
        )


@dataclass(frozen=True)
class PendingEstimate:
    """What is estimated of a window whose labels are not due yet. start, end, due: ISO 8601."""

    start: str
    end: str
    due: str
    rows: int
    loss: float
    low: float
    high: float
    trusted: bool
    reason: str

    @classmethod
    def of(cls, window: Window, due: datetime, found: LossEstimate) -> PendingEstimate:
        return cls(
            start=window.start.isoformat(),
            end=window.end.isoformat(),
            due=due.isoformat(),
            rows=found.rows,
            loss=found.loss,
            low=found.low,
            high=found.high,
            trusted=found.trusted,
            reason=found.reason,
        )

    def line(self) -> str:
        told = (
            f"{self.start[:16]}: estimated loss {self.loss:.4g} ({self.low:.4g} to {self.high:.4g}) of {self.rows:,} "
            f"rows, labels due on {self.due[:16]}"
        )
        return told if self.trusted else f"{told}; not to be trusted: {self.reason}"
