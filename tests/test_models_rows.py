"""Rows hold together."""

from __future__ import annotations

import numpy as np
import pytest

from models.rows import Rows

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
