"""Judging windows by their facts alone: what broken data lost is no harm, and each part is in the judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from monitoring.bins import reference_bins
from monitoring.budget import Budget
from monitoring.faults import DataFault
from monitoring.input_alarm import InputAlarm
from monitoring.judging import Judgement, judge_windows
from monitoring.label_selection import Selection
from monitoring.loss_alarm import AlarmConfig, LossLevel, LossReference, loss_level, loss_reference
from monitoring.loss_slices import SliceReference, SliceSums, slice_reference, slice_sums
from monitoring.profile import Profile, merge_all, profile
from monitoring.recovery import Gain
from monitoring.shift import ShiftThresholds, calibrate

ROWS, WINDOWS = 500, 20
FAULT = DataFault("x", "constant", "0 in all rows")


def rows(rng: np.random.Generator, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal(ROWS) + shift, "idle": rng.standard_normal(ROWS)}


def losses(rng: np.random.Generator, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Higher by far where x is above 1."""
    return np.asarray(rng.gamma(2.0, 0.5, ROWS) * np.where(columns["x"] > 1, 4.0, 1.0))


@dataclass(frozen=True)
class Known:
    """A reference as `judge_windows` asks for it."""

    profile: Profile
    thresholds: ShiftThresholds
    slices: SliceReference | None


@dataclass(frozen=True)
class Fact:
    """A window as `judge_windows` asks for it."""

    rows: int
    level: LossLevel
    gains: tuple[Gain, ...]
    profile: Profile
    sums: SliceSums | None
    faults: tuple[DataFault, ...] = ()
    selection: Selection | None = None
    inputs: InputAlarm | None = None


def made() -> tuple[Known, LossReference]:
    rng = np.random.default_rng(0)
    parts = [rows(rng) for _ in range(WINDOWS)]
    lost = [losses(rng, part) for part in parts]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    bins = reference_bins(whole)
    blocks = [profile(part, bins) for part in parts]
    loss = loss_reference(np.concatenate(lost), lost, windows=float(WINDOWS))
    slices = slice_reference(whole, np.concatenate(lost), ceiling=loss.ceiling)
    return Known(merge_all(blocks), calibrate(blocks), slices), loss


KNOWN, LOSS = made()


def fact(rng: np.random.Generator, *, shift: float = 0.0, worse: float = 1.0) -> Fact:
    columns = rows(rng, shift)
    lost = worse * losses(rng, columns)
    assert KNOWN.slices is not None
    level = loss_level(lost, LOSS.ceiling, LOSS.logarithmic)
    counted = profile(columns, KNOWN.profile.bins)
    return Fact(ROWS, level, (), counted, slice_sums(KNOWN.slices, columns, lost))


def judged(facts: Sequence[Fact], *, known: Known = KNOWN, after: int = -1) -> list[Judgement]:
    return judge_windows(
        known,
        LOSS,
        facts,
        config=AlarmConfig(),
        worth=0.01,
        budget=Budget(1000.0),
        correctable=False,
        after=after,
    )


def calm(count: int, seed: int = 1) -> list[Fact]:
    rng = np.random.default_rng(seed)
    return [fact(rng) for _ in range(count)]


def test_where_nothing_happens_all_is_quiet_and_says_what_it_could_have_shown() -> None:
    found = judged(calm(15))
    assert {one.verdict.kind for one in found} == {"quiet"}
    assert all(one.recovery is None and one.explanation is not None for one in found)
    rises = [one.power.rise or 0.0 for one in found]
    assert 0.1 < min(rises) < max(rises) < 0.8


def test_rows_that_move_to_where_more_is_lost_are_a_harmful_shift() -> None:
    rng = np.random.default_rng(2)
    last = judged([*calm(6), *(fact(rng, shift=1.0) for _ in range(4))])[-1]
    assert last.verdict.kind == "harmful shift"
    assert last.explanation is not None
    assert last.explanation.cause is not None
    assert last.explanation.cause.name == "x"
    assert any(reason.startswith("of that: where the rows lie +") for reason in last.verdict.reasons)


def test_rows_that_stay_and_lose_more_are_another_concept_also_where_inputs_moved() -> None:
    rng = np.random.default_rng(3)
    idle = [fact(rng, worse=1.8) for _ in range(4)]
    moved = [replace(one, profile=profile({"x": rng.standard_normal(ROWS), "idle": rng.standard_normal(ROWS) + 2},
                                          KNOWN.profile.bins)) for one in idle]  # fmt: skip
    last = judged([*calm(6), *moved])[-1]
    assert last.shift.names == ("idle",)
    assert last.verdict.kind == "concept change"


def test_what_broken_data_lost_is_no_evidence_of_harm_afterwards() -> None:
    rng = np.random.default_rng(4)
    broken = [replace(fact(rng, worse=6.0), faults=(FAULT,)) for _ in range(5)]
    found = judged([*calm(6), *broken, *calm(6, seed=5)])
    assert [one.verdict.kind for one in found[6:11]] == ["data fault"] * 5
    assert {one.verdict.kind for one in found[11:]} == {"quiet"}


def test_the_same_without_the_fault_is_harm() -> None:
    rng = np.random.default_rng(4)
    found = judged([*calm(6), *(fact(rng, worse=6.0) for _ in range(5))])
    assert found[-1].verdict.harmful
    assert found[-1].verdict.start in (5, 6)


def test_only_the_windows_that_are_asked_for_are_judged() -> None:
    facts = calm(8)
    assert [repr(one) for one in judged(facts, after=4)] == [repr(one) for one in judged(facts)[5:]]


def test_a_window_without_labels_is_not_enough_evidence() -> None:
    empty = replace(calm(1)[0], level=LossLevel(0, np.nan, np.nan, np.nan), sums=None)
    last = judged([*calm(3), empty])[-1]
    assert last.verdict.kind == "not enough evidence"
    assert last.explanation is None
    assert last.power.rise is None


def test_a_version_without_slices_is_judged_as_well() -> None:
    rng = np.random.default_rng(6)
    plain = [replace(one, sums=None) for one in [*calm(6), *(fact(rng, worse=2.0) for _ in range(4))]]
    last = judged(plain, known=replace(KNOWN, slices=None))[-1]
    assert last.verdict.kind == "concept change"
    assert last.slices is None
    assert last.explanation is None


def test_late_labels_that_differ_are_told_with_the_verdict() -> None:
    found = Selection(0.5, 0.1, 1.0, 0.2, 500)
    last = judged([*calm(2), replace(calm(1)[0], selection=found)])[-1]
    assert last.verdict.reasons[-1] == str(found)


@pytest.mark.parametrize("count", [0, 1])
def test_no_windows_are_no_trouble(count: int) -> None:
    assert len(judged(calm(count))) == count
