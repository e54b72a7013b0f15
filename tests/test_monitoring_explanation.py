"""Explanations: the parts add up, and each lies where it was put."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.explanation import Explanation, explain
from monitoring.loss_slices import SliceReference, SliceSums, slice_reference, slice_sums

KINDS = np.array(["a", "b", "c"], dtype=object)
LOSS_OF = {"a": 1.0, "b": 2.0, "c": 4.0}


def rows(rng: np.random.Generator, count: int, shares: tuple[float, ...] = (0.6, 0.3, 0.1)) -> dict[str, Any]:
    return {"kind": rng.choice(KINDS, count, p=shares), "idle": rng.standard_normal(count)}


def losses(rng: np.random.Generator, columns: dict[str, Any]) -> Any:
    level = np.array([LOSS_OF.get(kind, 9.0) for kind in columns["kind"]])
    return level * rng.gamma(4.0, 0.25, len(level))


def made() -> SliceReference:
    rng = np.random.default_rng(0)
    columns = rows(rng, 6000)
    found = slice_reference(columns, losses(rng, columns), ceiling=20.0)
    assert found is not None
    return found


REFERENCE = made()


def window(seed: int, *, shares: tuple[float, ...] = (0.6, 0.3, 0.1), worse: float = 1.0) -> SliceSums:
    rng = np.random.default_rng(seed)
    columns = rows(rng, 3000, shares)
    return slice_sums(REFERENCE, columns, worse * losses(rng, columns))


def explained(*windows: SliceSums) -> Explanation:
    found = explain(REFERENCE, windows)
    assert found is not None
    return found


def test_rows_that_moved_to_where_the_loss_is_high_explain_the_rise() -> None:
    found = explained(window(1, shares=(0.2, 0.3, 0.5)))
    assert found.rise == pytest.approx(1.2, abs=0.15)
    assert found.explained > 0.9
    assert found.in_inputs
    assert not found.clear
    assert found.cause is not None
    assert (found.cause.name, found.cause.cell) == ("kind", "kind = c")
    assert found.cause.share_now == pytest.approx(0.5, abs=0.05)


def test_rows_that_lie_where_they_lay_and_lose_more_are_another_concept() -> None:
    found = explained(window(2, worse=1.5))
    assert found.explained < 0.1
    assert found.within == pytest.approx(0.8, abs=0.1)
    assert found.clear
    assert not found.in_inputs


def test_both_at_once_are_told_apart() -> None:
    found = explained(window(3, shares=(0.2, 0.3, 0.5), worse=1.25))
    assert found.by_inputs == pytest.approx(1.2, abs=0.15)
    assert found.within == pytest.approx(0.25 * 2.8, abs=0.15)


def test_the_slice_that_loses_more_is_named() -> None:
    rng = np.random.default_rng(4)
    columns = rows(rng, 3000)
    more = losses(rng, columns) * np.where(columns["kind"] == "b", 2.0, 1.0)
    found = explained(slice_sums(REFERENCE, columns, more))
    assert found.slices[0].name == "kind = b"
    assert found.slices[0].part == pytest.approx(found.within, rel=0.15)


def test_the_sign_of_the_errors_names_a_column_that_came_to_mean_another_thing() -> None:
    rng = np.random.default_rng(10)
    columns = {"a": rng.standard_normal(4000), "b": rng.standard_normal(4000)}
    noise = rng.standard_normal(4000)
    known = slice_reference(columns, noise**2, ceiling=12.0, errors=noise)
    assert known is not None
    wrong = noise + 0.15 * columns["b"]  # the mean loss rises by a fiftieth
    found = explain(known, [slice_sums(known, columns, wrong**2, wrong)])
    assert found is not None
    assert {part.column for part in found.slices} == {"b"}


def test_what_the_reference_never_had_is_a_matter_of_the_inputs() -> None:
    rng = np.random.default_rng(5)
    columns = rows(rng, 3000)
    columns["kind"] = np.where(rng.random(3000) < 0.2, "new", columns["kind"])
    found = explained(slice_sums(REFERENCE, columns, losses(rng, columns)))
    assert found.beyond == pytest.approx(0.2, abs=0.03)
    assert found.outside
    assert found.in_inputs
    assert found.cause is not None
    assert found.cause.cell == "kind: never seen before"
    assert "the reference has none" in str(found)


def test_a_column_that_moves_and_does_not_matter_has_no_part() -> None:
    rng = np.random.default_rng(6)
    columns = rows(rng, 3000)
    columns["idle"] = columns["idle"] + 1.0
    found = explained(slice_sums(REFERENCE, columns, losses(rng, columns)))
    part = next(one.part for one in found.columns if one.name == "idle")
    assert abs(part) < 0.05


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9), worse=st.floats(0.2, 5.0))
def test_the_parts_add_up_to_the_rise(seed: int, share: float, worse: float) -> None:
    found = explained(window(seed, shares=((1 - share) / 2, (1 - share) / 2, share), worse=worse))
    assert found.by_inputs + found.within == pytest.approx(found.rise)
    assert sum(one.part for one in found.columns) == pytest.approx(found.by_inputs, abs=1e-9)


def test_a_rise_may_be_counted_from_the_windows_before() -> None:
    before, now = [window(7, worse=0.5)], [window(8)]
    found = explain(REFERENCE, now, before)
    assert found is not None
    assert found.rise == pytest.approx(0.8, abs=0.1)
    assert found.explained < 0.1


def test_without_labelled_rows_there_is_nothing_to_explain() -> None:
    nothing = slice_sums(REFERENCE, {"kind": np.zeros(0, object), "idle": np.zeros(0)}, np.zeros(0))
    assert explain(REFERENCE, []) is None
    assert explain(REFERENCE, [nothing]) is None


def test_it_reads_as_a_sentence() -> None:
    text = str(explained(window(9, shares=(0.2, 0.3, 0.5))))
    assert text.startswith("where the rows lie +")
    assert "by kind = c (" in text
    assert "rows like those before" in text
