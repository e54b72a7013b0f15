"""Rows hold together."""

from __future__ import annotations

import numpy as np
import pytest

from models.rows import Rows, rehearsal, weighed

INPUTS = np.arange(6, dtype=np.float32).reshape(3, 2)
TARGETS = np.array([0.0, 1.0, 1.0], np.float32)


def test_taken_rows_keep_inputs_targets_and_weights_together() -> None:
    taken = Rows(INPUTS, TARGETS, np.array([1, 2, 3], np.float32)).take(np.array([2, 0]))
    np.testing.assert_array_equal(taken.inputs, [[4, 5], [0, 1]])
    np.testing.assert_array_equal(taken.targets, [1, 0])
    np.testing.assert_array_equal(taken.weights, [3, 1])


def test_rows_without_weights_are_taken_by_a_mask() -> None:
    taken = Rows(INPUTS, TARGETS).take(TARGETS > 0)
    assert len(taken) == 2
    assert taken.weights is None


@pytest.mark.parametrize(("targets", "weights"), [(TARGETS[:2], None), (TARGETS, TARGETS[:1])])
def test_parts_of_different_lengths_are_refused(targets: np.ndarray, weights: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="expected one length"):
        Rows(INPUTS, targets, weights)


def drawn(new: int, old: int, share: float) -> list[int]:
    return rehearsal(new, old, share=share, rng=np.random.default_rng(0)).tolist()


def test_rehearsal_draws_old_rows_until_they_are_the_share_asked_for() -> None:
    places = drawn(90, 500, 0.25)
    assert len(set(places)) == len(places) == 30
    assert places == sorted(places)
    assert max(places) < 500


def test_rehearsal_takes_every_old_row_once_where_there_are_too_few() -> None:
    assert drawn(90, 10, 0.5) == list(range(10))


def test_rehearsal_of_nothing_is_nothing() -> None:
    assert drawn(90, 0, 0.5) == drawn(90, 50, 0.0) == []


def test_a_share_of_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share = 1\.0.*below 1"):
        drawn(5, 5, 1.0)


def labelled(*targets: float, weights: list[float] | None = None) -> Rows:
    given = None if weights is None else np.array(weights, np.float32)
    return Rows(np.zeros((len(targets), 1), np.float32), np.array(targets, np.float32), given)


def test_balanced_classes_count_the_same_and_a_row_1_on_average() -> None:
    found = weighed(labelled(0, 0, 0, 1, 2, 2), "balanced").weights
    assert found is not None
    np.testing.assert_allclose([found[:3].sum(), found[3], found[4:].sum()], [2, 2, 2])
    assert found.mean() == pytest.approx(1)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_sample_weight

    targets = np.random.default_rng(0).integers(0, 4, 50).astype(float)
    found = weighed(labelled(*targets), "balanced").weights
    np.testing.assert_allclose(found, compute_sample_weight("balanced", targets), rtol=1e-6)


def test_weights_of_classes_and_of_rows_are_multiplied() -> None:
    rows = labelled(0, 1, 1, weights=[1, 2, 0])
    np.testing.assert_array_equal(weighed(rows, (0.5, 3.0)).weights, [0.5, 6, 0])
    assert rows.weights is not None
    np.testing.assert_array_equal(rows.weights, [1, 2, 0])


def test_without_weights_of_classes_or_rows_nothing_is_done() -> None:
    rows = labelled(0, 1)
    assert weighed(rows, None) is rows
    assert len(weighed(labelled(), "balanced")) == 0


def test_weights_of_classes_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class weights are for classes"):
        weighed(labelled(0.5, 1), "balanced")
    with pytest.raises(ValueError, match="2 class weights came, and the targets reach class 2"):
        weighed(labelled(0, 2), (1.0, 1.0))
