"""The loss estimated without labels, beside NannyML's CBPE and DLE on the same windows, and when trust is withdrawn.

python -m benchmarks.estimate [--quick] [--json FILE] [--seeds N]

Versions are fitted on made and real rows, estimators on held-out rows; then inputs shift and their meaning does not.
An estimate is compared with what the labels show. What had to be chosen was chosen on others, problems and seeds:
TUNED of `estimate_problems`. NannyML runs in the peers' environment (make bench-env).
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import environment, options
from benchmarks.estimate_problems import JUDGED, Loss, Problem, Rows, Run, row_losses
from benchmarks.options import say
from benchmarks.result import Result, at_least, at_most, figure
from monitoring.loss_estimate import (
    WINSOR_QUANTILE,
    EstimatedRows,
    LossEstimate,
    LossEstimator,
    estimate,
    estimated_rows,
    fit_estimator,
    scored,
)
from monitoring.loss_trust import Scored, TrustScorer

Array = npt.NDArray[np.float64]

SEEDS, QUICK_SEEDS = 20, 1
QUICK = ("two classes, rings", "number, uneven noise")
PEER = Path(__file__).with_name("estimate_peer.py")
RUN_LENGTH = 1000.0  # windows between two false withdrawals
PIECE, LATE = 50, 500  # labels that come at once; by which an estimate is to be withdrawn
LARGE = 1 / 3  # of the loss
QUANTILE = 1.645


@dataclass(frozen=True)
class Compared:
    """Of all windows of a problem, by one loss. theirs: NannyML's estimates, its standard errors; nan where none is."""

    realised: Array
    truth: Array
    ours: Array
    held: npt.NDArray[np.bool_]
    theirs: Array
    their_errors: Array
    reference: Array

    @property
    def error(self) -> float:
        """Mean relative error against what the labels showed."""
        return float(np.mean(np.abs(self.ours / self.realised - 1)))

    @property
    def error_of_truth(self) -> float:
        """The same against the expected loss, which the labels' chance does not touch."""
        return float(np.mean(np.abs(self.ours / self.truth - 1)))

    @property
    def beside(self) -> float:
        """Our mean absolute error as a multiple of NannyML's."""
        ours, theirs = np.abs(self.ours - self.realised), np.abs(self.theirs - self.realised)
        return float(ours.mean() / theirs.mean())


@dataclass(frozen=True)
class Withdrawals:
    """windows: labelled, without a change; false: withdrawals in them. labels: from each change on, inf for never;
    moved: by how much each change moved the loss, as a share.
    """

    windows: int
    false: int
    labels: Array
    moved: Array

    @property
    def large(self) -> npt.NDArray[np.bool_]:
        """Changes that moved the loss by a third or more: fewer labels than are asked for show no smaller one."""
        return np.asarray(np.abs(self.moved) >= LARGE)


def measure(quick: bool, seeds: int | None = None) -> list[Result]:
    """Every figure of this benchmark."""
    environment.make()
    count = seeds or (QUICK_SEEDS if quick else SEEDS)
    problems = [problem for problem in JUDGED if not quick or problem.name in QUICK]
    found: list[Result] = []
    every: list[Compared] = []
    trusts: list[Withdrawals] = []
    for problem in problems:
        say(f"{problem.name}: {count} versions")
        runs = [problem.run(np.random.default_rng([seed, 2])) for seed in range(count)]
        theirs = nannyml(problem, runs)
        learned = [_estimator(problem, run, problem.losses[0]) for run in runs]
        for loss in problem.losses:
            estimators = [_of_loss(problem, run, one, loss) for run, one in zip(runs, learned, strict=True)]
            compared = compare(runs, estimators, loss, [answer.get(loss, {}) for answer in theirs])
            trust = withdrawals(problem, runs, estimators, loss)
            every.append(compared)
            trusts.append(trust)
            found += _figures(f"{problem.name}, {loss} loss", compared, trust, decided=not quick)
            say(f"{problem.name}, {loss}: error {compared.error:.3f}, of NannyML's {compared.beside:.2f}")
    return [*_together(every, trusts, decided=not quick), *found]


def _figures(name: str, compared: Compared, trust: Withdrawals, *, decided: bool) -> list[Result]:
    found = [
        at_most(10, f"{name}: relative error", 100 * compared.error, "%", decided=decided),
        figure(f"{name}: realised losses within the 90 % interval", 100 * float(compared.held.mean()), "%"),
        figure(f"{name}: error of the reference's loss", 100 * _error(compared.reference, compared), "%"),
    ]
    if np.isfinite(compared.truth).all():
        found.append(figure(f"{name}: relative error, expected loss", 100 * compared.error_of_truth, "%"))
    if np.isfinite(compared.theirs).all():
        found += [
            figure(f"{name}: NannyML's relative error", 100 * _error(compared.theirs, compared), "%"),
            at_most(1, f"{name}: error, of NannyML's", compared.beside, "times", decided=decided),
        ]
    if np.isfinite(compared.their_errors).all():
        near = np.abs(compared.theirs - compared.realised) <= QUANTILE * compared.their_errors
        found.append(figure(f"{name}: within NannyML's 1.645 sampling errors", 100 * float(near.mean()), "%"))
    late = float(np.mean(trust.labels <= LATE))
    return [*found, figure(f"{name}: withdrawn within {LATE} labels of a change", 100 * late, "%")]


def _error(said: Array, compared: Compared) -> float:
    return float(np.mean(np.abs(said / compared.realised - 1)))


def _together(every: Sequence[Compared], trusts: Sequence[Withdrawals], *, decided: bool) -> list[Result]:
    """Over all problems and losses."""
    held = 100 * float(np.mean([one.held.mean() for one in every]))
    beside = [one.beside for one in every if np.isfinite(one.theirs).all()]
    labels, large = (
        np.concatenate([getattr(trust, name) for trust in trusts]) for name in ("labels", "large")
    )
    windows, false = sum(trust.windows for trust in trusts), sum(trust.false for trust in trusts)
    return [
        at_most(
            10,
            "relative error, mean",
            100 * float(np.mean([one.error for one in every])),
            "%",
            decided=decided,
        ),
        at_most(
            10, "relative error, worst problem", 100 * max(one.error for one in every), "%", decided=decided
        ),
        at_least(87, "realised losses within the 90 % interval", held, "%", decided=decided),
        at_most(93, "realised losses within the 90 % interval, again", held, "%", decided=decided),
        at_most(
            1,
            "error, of NannyML's, geometric mean",
            float(np.exp(np.mean(np.log(beside)))),
            "times",
            decided=decided,
        ),
        at_most(1, "error, of NannyML's, worst problem", max(beside), "times", decided=decided),
        at_least(
            95,
            f"withdrawn within {LATE} labels of a change by a third or more",
            100 * float(np.mean(labels[large] <= LATE)),
            "%",
            decided=decided,
        ),
        figure(f"withdrawn within {LATE} labels of any change", 100 * float(np.mean(labels <= LATE)), "%"),
        figure("labels until an estimate is withdrawn, median", float(np.median(labels)), "labels"),
        figure("labelled windows without a change", float(windows), "windows"),
        figure("false withdrawals", 1000 * false / windows, "in 1,000 windows"),
    ]


# --- estimates ---


def _estimator(problem: Problem, run: Run, loss: Loss) -> LossEstimator:
    rows = run.reference
    losses = partial(row_losses, loss)
    found = fit_estimator(rows.inputs, rows.answers, rows.targets, losses, classes=problem.classes)
    assert found is not None
    return found


def _of_loss(problem: Problem, run: Run, learned: LossEstimator, loss: Loss) -> LossEstimator:
    """The estimator of one of a problem's losses; chances that are calibrated serve them all."""
    if loss == problem.losses[0]:
        return learned
    if not problem.classes:
        return _estimator(problem, run, loss)
    losses = row_losses(loss, run.reference.targets, run.reference.answers)
    ceiling = float(np.quantile(losses, WINSOR_QUANTILE))
    return replace(learned, loss=float(losses.mean()), ceiling=ceiling)


def kept(estimator: LossEstimator, rows: Rows, targets: Array, loss: Loss) -> EstimatedRows:
    """What is left of a window of which all labels came."""
    losses = partial(row_losses, loss)
    return estimated_rows(estimator, rows.inputs, rows.answers, losses(targets, rows.answers), losses)


def compare(
    runs: Sequence[Run], estimators: Sequence[LossEstimator], loss: Loss, theirs: Sequence[Mapping[str, Any]]
) -> Compared:
    """All windows of all runs, estimated and realised."""
    said: list[LossEstimate] = []
    realised: list[float] = []
    for run, estimator in zip(runs, estimators, strict=True):
        for window in run.windows:
            said.append(estimate(estimator, kept(estimator, window, window.targets, loss).all))
            realised.append(float(row_losses(loss, window.targets, window.answers).mean()))
    shown = np.array(realised)
    return Compared(
        realised=shown,
        truth=np.concatenate([run.truth[loss] for run in runs]),
        ours=np.array([one.loss for one in said]),
        held=np.array([one.low for one in said] <= shown) & (shown <= np.array([one.high for one in said])),
        theirs=_told(theirs, "loss", runs),
        their_errors=_told(theirs, "sampling", runs),
        reference=np.array([one.reference_loss for one in said]),
    )


def _told(theirs: Sequence[Mapping[str, Any]], name: str, runs: Sequence[Run]) -> Array:
    nothing = [float("nan")] * len(runs[0].windows)
    return np.concatenate([np.array(answer.get(name, nothing), float) for answer in theirs])


def nannyml(problem: Problem, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What NannyML says of the windows of each run, by loss."""
    say(f"{problem.name}: NannyML")
    stored: dict[str, Any] = {
        "classes": problem.classes,
        "rows": len(runs[0].windows[0].targets),
        "runs": len(runs),
    }
    for place, run in enumerate(runs):
        for name in ("inputs", "answers", "targets"):
            stored[f"{place}/reference/{name}"] = getattr(run.reference, name)
            stored[f"{place}/windows/{name}"] = np.concatenate([getattr(one, name) for one in run.windows])
    with tempfile.TemporaryDirectory() as folder:
        rows, answers = Path(folder) / "rows.npz", Path(folder) / "answers.json"
        np.savez(rows, **stored)
        command = [str(environment.FOLDER / "bin" / "python"), str(PEER), str(rows), str(answers)]
        quiet = {**environment.peer_environ(), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found: list[dict[str, Any]] = json.loads(answers.read_text("utf-8"))
    return found


# --- trust ---


def withdrawals(
    problem: Problem, runs: Sequence[Run], estimators: Sequence[LossEstimator], loss: Loss
) -> Withdrawals:
    """Windows without a change one after the other, as if one version had served them; then each kind of change."""
    windows, false, labels, moved = 0, 0, [], []
    for seed, (run, estimator) in enumerate(zip(runs, estimators, strict=True)):
        quiet = [scored(estimator, kept(estimator, one, one.targets, loss)) for one in run.windows]
        scorer = TrustScorer(RUN_LENGTH)
        states = [scorer.update(one) for one in quiet]
        windows, false = windows + len(quiet), false + states[-1].withdrawals
        for kind in range(2):
            rng = np.random.default_rng([seed, 3, kind])
            late = -(-2 * LATE // len(run.windows[-1].targets))
            rows = _joined(run.windows[-late:])
            targets = changed(rng, problem, rows, kind)
            labels.append(
                until_withdrawn(quiet[:-late], scored(estimator, kept(estimator, rows, targets, loss)))
            )
            before, after = (row_losses(loss, one, rows.answers).mean() for one in (rows.targets, targets))
            moved.append(after / before - 1)
    return Withdrawals(windows, false, np.array(labels), np.array(moved))


def _joined(windows: Sequence[Rows]) -> Rows:
    return Rows(
        np.concatenate([one.inputs for one in windows]),
        np.concatenate([one.answers for one in windows]),
        np.concatenate([one.targets for one in windows]),
    )


def until_withdrawn(before: Sequence[Scored], after: Scored) -> float:
    """Labels from a change on until the estimate is withdrawn; inf where it is not."""
    scorer = TrustScorer(RUN_LENGTH)
    for window in before:
        scorer.update(window)
    for came in range(PIECE, len(after.surprises) + 1, PIECE):
        first = Scored(after.surprises[:came], after.variances[:came], after.doubt)
        if not copy.deepcopy(scorer).update(first).trusted:
            return float(came)
    return float("inf")


def changed(rng: np.random.Generator, problem: Problem, rows: Rows, kind: int) -> Array:
    """Targets after a concept change, of two kinds.

    Numbers: noise half as large again, or all by one deviation higher. Classes: three in ten are drawn anew, or become
    the next class.
    """
    if not problem.classes:
        away = rows.targets - rows.answers[:, 0]
        return np.asarray(rows.answers[:, 0] + 1.5 * away if kind == 0 else rows.targets + away.std())
    some = rng.random(len(rows.targets)) < 0.3
    drawn = rng.integers(0, problem.classes, len(rows.targets))
    return np.asarray(
        np.where(some, drawn if kind == 0 else (rows.targets + 1) % problem.classes, rows.targets)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", type=int)
    chosen, rest = parser.parse_known_args(arguments)
    return options.run("estimate", partial(measure, seeds=chosen.seeds), rest)


if __name__ == "__main__":
    sys.exit(main())
