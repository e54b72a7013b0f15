from __future__ import annotations

import math

import pytest

from pipelines.figures import count, decimals_for, number


@pytest.mark.parametrize(
    ("typical", "decimals"), [(0.5, 3), (4.2, 2), (37.0, 1), (812.0, 0), (0.0004, 6), (1e9, 0)]
)
def test_three_digits_of_a_typical_loss_are_shown(typical: float, decimals: int) -> None:
    assert decimals_for([typical, None, math.nan, 0.0]) == decimals


@pytest.mark.parametrize(
    ("loss", "text"),
    [(1.5e9, "1.5e+09"), (-1234.5, "−1,234.50"), (math.inf, "∞"), (-math.inf, "−∞"), ("word", "–")],
)
def test_a_loss_is_written_so_that_nothing_is_hidden(loss: object, text: str) -> None:
    assert number(loss, 2) == text


def test_a_count_that_is_no_number_is_a_dash() -> None:
    assert [count(value) for value in (math.nan, math.inf, None, "many", 7.0)] == ["–", "–", "–", "–", "7"]
