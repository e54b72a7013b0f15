"""The runs whose faults are made: halves that share nothing, faults that do what they say, and how runs are counted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import diagnosis, runs_design, runs_final
from benchmarks.diagnosis import Told, confusion, epochs_late, final_figures, macro_f1
from benchmarks.faults import (
    absurd_row,
    collapsing_rate,
    copies,
    held_back,
    hole,
    memorising,
    shifted_column,
    target_column,
    wrong_targets,
)
from benchmarks.runs import Run, Table, Training, baselines, few, train
from models.curve import Curve
from models.diagnosis import KINDS, Kind, diagnose

DESIGN, FINAL = runs_design.runs(), runs_final.runs()
ROWS, RNG = 40, np.random.default_rng(0)


def table(task: str = "regression") -> Table:
    inputs = RNG.standard_normal((ROWS, 3)).astype(np.float32)
    targets = {
        "regression": inputs.sum(axis=1),
        "binary": (inputs[:, 0] > 0).astype(np.float32),
        "multiclass": np.arange(ROWS, dtype=np.int32) % 3,
    }[task]
    return Table(task, inputs[:30], targets[:30], inputs[30:], targets[30:])  # type: ignore[arg-type]


# --- the halves ---


def test_there_are_enough_runs_of_every_kind_in_both_halves() -> None:
    assert len(DESIGN) + len(FINAL) >= 300
    for half in (DESIGN, FINAL):
        assert set(Counter(run.kind for run in half)) == set(KINDS)
        assert min(Counter(run.kind for run in half).values()) >= 20


def test_every_run_has_a_name_and_a_seed_of_its_own() -> None:
    for half in (DESIGN, FINAL):
        assert len({run.name for run in half}) == len(half)
    assert len({run.seed for run in (*DESIGN, *FINAL)}) == len(DESIGN) + len(FINAL)


def test_the_halves_share_no_table_and_no_network() -> None:
    assert not {run.table.__name__ for run in DESIGN} & {run.table.__name__ for run in FINAL}
    shapes = [{(one.hidden, one.activation) for one in half.NETWORKS} for half in (runs_design, runs_final)]
    assert not shapes[0] & shapes[1]


@pytest.mark.parametrize("make", [*runs_design.TABLES, *runs_final.TABLES])
def test_a_table_is_the_same_for_the_same_seed(make: object) -> None:
    one, again, other = (make(np.random.default_rng(seed)) for seed in (1, 1, 2))  # type: ignore[operator]
    assert np.array_equal(one.inputs, again.inputs)
    assert np.array_equal(one.held_targets, again.held_targets)
    assert not np.array_equal(one.inputs, other.inputs)
    assert one.outputs == other.outputs
    assert np.allclose(one.inputs.std(axis=0)[one.inputs.std(axis=0) > 0], 1, atol=1e-3)


# --- faults ---


def test_a_hole_is_in_one_row_alone() -> None:
    broken, _ = hole(table(), Training(), RNG)
    assert np.isnan(broken.targets).sum() == 1


def test_an_absurd_row_is_one() -> None:
    broken, _ = absurd_row(60)(table(), Training(), RNG)
    assert (broken.targets == 60).sum() == 1


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_wrong_targets_are_targets_that_the_loss_can_take(task: str) -> None:
    one = table(task)
    _, training = wrong_targets(0.1)(one, Training(), RNG)
    assert training.broken is not None
    _, targets = training.broken(RNG, one.inputs, one.targets)
    assert not np.array_equal(targets, one.targets)
    if task != "regression":
        assert set(targets) <= set(one.targets)


def test_a_rate_collapses_after_its_epoch() -> None:
    _, training = collapsing_rate(2)(table(), Training(batch=10), RNG)
    assert training.schedule is not None
    assert training.schedule(5) > 1e5 * training.schedule(6)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_the_target_among_the_inputs_says_it_all(task: str) -> None:
    leaked, _ = target_column(0.0)(table(task), Training(), RNG)
    assert len(np.unique(np.column_stack([leaked.inputs[:, 3:], leaked.targets]), axis=0)) == len(
        np.unique(leaked.targets)
    )


def test_a_column_written_afterwards_has_the_order_of_the_targets() -> None:
    leaked, _ = shifted_column(table(), Training(), RNG)
    high = np.argsort(leaked.targets)[[0, -1]]
    assert leaked.inputs[high[0], -1] < leaked.inputs[high[1], -1]


def test_copies_are_in_both_parts() -> None:
    both, _ = copies(15, 2)(table(), Training(), RNG)
    assert len(both.targets) == 15 + 2 * 5
    assert {tuple(row) for row in both.held_inputs} <= {tuple(row) for row in both.inputs}


def test_noisy_labels_are_those_of_other_rows() -> None:
    one = few(table(), 20)
    broken, training = memorising(20, noise=1.0, useless=4)(one, Training(), RNG)
    assert sorted(broken.targets) == sorted(one.targets)
    assert broken.inputs.shape == (20, 7)
    assert training.sparing is None


def test_cross_entropy_needs_a_smaller_penalty_to_be_held_back() -> None:
    strengths = [
        held_back(0.8)(table(task), Training(), RNG)[1].squared_penalty for task in ("regression", "binary")
    ]
    assert strengths == [0.8, 0.2]


def test_baselines_are_losses_on_the_held_out_rows() -> None:
    found = baselines(table())
    assert found["simple"] < 0.5 * found["constant"]
    assert math.isfinite(found["trees"])


# --- real runs ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("divergence", "uphill, odds"), ("plateau", "a rate of nothing, odds"), ("healthy", "nothing, odds")],
)
def test_a_run_trains_and_is_called_what_it_is(kind: Kind, name: str) -> None:
    run = next(run for run in DESIGN if run.name == name)
    curve = train(replace(run, training=replace(run.training, epochs=min(run.training.epochs, 40))))
    assert diagnose(curve).kind == run.kind == kind
    assert len(curve.steps) == len(curve.training)


# --- counting ---


def told(made: Kind, said: Kind, late: float = math.nan) -> Told:
    return Told(Run("a run", made, runs_design.odds, Training(), None, 0), said, late)


def test_a_kind_that_is_never_called_has_an_f1_of_nothing() -> None:
    counts = confusion([told("healthy", "healthy"), told("spikes", "healthy")])
    assert macro_f1(counts) == pytest.approx((2 / 3 + 0) / 2)


def test_all_right_is_a_macro_f1_of_one() -> None:
    assert macro_f1(confusion([told(kind, kind) for kind in KINDS])) == 1.0


def test_a_table_has_a_row_for_every_kind() -> None:
    lines = diagnosis.table(confusion([told("spikes", "spikes"), told("healthy", "spikes")]))
    assert len(lines) == 1 + len(KINDS)
    assert lines[2].split() == ["spikes", "1", "0.67"]


def test_what_is_asked_is_decided_by_the_final_runs() -> None:
    good = [told(kind, kind, 0.5) for kind in KINDS] * 20
    figures = {result.name: result for result in final_figures([*good, told("spikes", "healthy")])}
    assert figures["final runs, macro-F1"].met
    assert figures["final runs, with a fault and called healthy"].value == pytest.approx(1 / 141)
    assert figures["epochs from a diverged loss to the stop, most"].value == 0.5
    bad = {result.name: result for result in final_figures([*good, *[told("leak suspected", "healthy")] * 5])}
    assert bad["final runs, with a fault and called healthy"].met is False


def test_how_late_a_stop_is_counts_from_where_the_loss_stayed_high() -> None:
    losses = ((1.0, 30.0, 1.0, 1.0), (1.0, 1.0, 12.0, 40.0))
    assert epochs_late(Curve((8.0, 14.0), steps=losses, baselines={"constant": 1.0})) == pytest.approx(0.25)
    assert epochs_late(Curve((1.0,), steps=((1.0, math.nan),), baselines={"constant": 1.0})) == 0.0
    assert math.isnan(epochs_late(Curve((1.0,), steps=((1.0, 0.5),), baselines={"constant": 1.0})))
