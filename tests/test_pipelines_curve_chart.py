"""The curve in two lines of text."""

from __future__ import annotations

import math

from models.history import EpochLoss
from pipelines.curve_chart import BARS, chart


def epochs(*losses: tuple[float, float]) -> list[EpochLoss]:
    return [EpochLoss(number, *pair, 1e-3, 0.1) for number, pair in enumerate(losses)]


def bars(line: str) -> str:
    return "".join(letter for letter in line if letter in BARS)


def test_both_losses_stand_on_one_log_scale() -> None:
    training, validation = chart(epochs((100.0, 10.0), (10.0, 1.0), (1.0, 1.0)))
    assert bars(training) == "█▅▁"
    assert bars(validation) == "▅▁▁"
    assert training.endswith("100 → 1")


def test_losses_below_zero_stand_on_a_plain_scale() -> None:
    training, _ = chart(epochs((1.0, 1.0), (0.0, 0.0), (-1.0, -1.0)))
    assert bars(training) == "█▅▁"


def test_the_kept_epoch_is_named() -> None:
    assert chart(epochs((0.9, 0.8), (0.5, 0.7), (0.4, 0.75)), 1)[1].endswith("kept is epoch 1 with 0.7")
    assert "kept" not in chart(epochs((0.9, 0.8), (0.5, 0.7)), None)[1]


def test_more_epochs_than_there_is_room_for_are_averaged() -> None:
    training, _ = chart(epochs(*[(8.0, 8.0)] * 50, *[(1.0, 1.0)] * 50), width=10)
    assert bars(training) == "█████▁▁▁▁▁"


def test_an_epoch_without_a_number_leaves_a_gap() -> None:
    assert "█ ▁" in chart(epochs((4.0, 4.0), (math.inf, math.nan), (1.0, 1.0)))[0]


def test_without_validation_rows_one_line_is_told() -> None:
    (line,) = chart(epochs((2.0, math.nan), (1.0, math.nan)), 1)
    assert line.endswith("2 → 1, kept is epoch 1 with 1")


def test_a_curve_that_stays_is_flat() -> None:
    assert bars(chart(epochs((0.5, 0.5), (0.5, 0.5)))[0]) == "▁▁"


def test_nothing_is_drawn_of_nothing() -> None:
    assert (
        chart([])
        == chart(epochs((1.0, 1.0)))
        == chart(epochs((math.nan, math.nan), (math.nan, math.nan)))
        == []
    )
