"""Names and numbers stand in sentences as people write them."""

from __future__ import annotations

import math

import pytest

from models.wording import in_words, written


def test_names_are_written_as_people_write_them() -> None:
    names = ("f1_macro", "calibration_slope", "r2", "shop:net_profit")
    assert [in_words(name) for name in names] == ["F1 macro", "calibration slope", "R²", "shop:net_profit"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 4, "0"),
        (1.0, 4, "1"),
        (12.3456, 4, "12.35"),
        (5351.4, 4, "5,351"),
        (43_675.2, 2, "43,675"),
        (0.1, 4, "0.1"),
        (0.999999, 4, "1"),
        (-0.5, 2, "-0.5"),
        (1e-9, 2, "1e-09"),
        (2.5e8, 2, "2.5e+08"),
        (150.0, 2, "150"),
        (math.nan, 4, "unknown"),
    ],
)
def test_numbers_keep_their_size_readable(value: float, digits: int, text: str) -> None:
    assert written(value, digits) == text
