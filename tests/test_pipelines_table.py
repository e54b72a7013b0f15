from __future__ import annotations

import math

from pipelines.table import Column, render

COLUMNS = [Column("month", "month"), Column("rows", "rows"), Column("loss", "losswatch", 3)]


def test_numbers_stand_at_the_right_and_words_at_the_left() -> None:
    rows = [{"month": "Mar", "rows": 28834, "loss": 0.4931}, {"month": "September", "rows": 7, "loss": 11.5}]
    assert render(rows, COLUMNS) == [
        "month        rows  losswatch",
        "────────────────────────────",
        "Mar        28,834      0.493",
        "September       7     11.500",
    ]


def test_totals_stand_below_a_rule_and_take_part_in_the_widths() -> None:
    lines = render([{"month": "Mar", "rows": 7}], COLUMNS, totals=[{"month": "whole", "rows": 28834}])
    assert lines == [
        "month    rows  losswatch",
        "────────────────────────",
        "Mar         7  –",
        "────────────────────────",
        "whole  28,834  –",
    ]


def test_none_nan_and_a_missing_key_are_a_dash() -> None:
    rows: list[dict[str, float | None]] = [{"loss": None}, {"loss": math.nan}, {}, {"loss": 0.5}]
    assert [line.strip() for line in render(rows, [COLUMNS[2]])[2:]] == ["–", "–", "–", "0.500"]


def test_without_stated_decimals_three_digits_of_the_middle_one_are_shown() -> None:
    rows = [{"loss": 41.26}, {"loss": 39.0}]
    assert [line.strip() for line in render(rows, [Column("loss", "loss")])[2:]] == ["41.3", "39.0"]


def test_a_table_without_rows_is_its_heading() -> None:
    assert render([], COLUMNS) == ["month  rows  losswatch", "──────────────────────"]


def test_yes_and_no_are_words() -> None:
    assert render([{"promoted": True}, {"promoted": False}], [Column("promoted", "promoted")])[2:] == [
        "yes",
        "no",
    ]


def test_text_cannot_steer_the_terminal() -> None:
    assert render([{"month": "a\x1b[2J\nb"}], [COLUMNS[0]])[2] == "a [2J b"


def test_wide_letters_and_combining_marks_keep_the_columns_aligned() -> None:
    rows = [{"month": "三月", "rows": 1}, {"month": "ma\u0301r", "rows": 2}]
    assert render(rows, COLUMNS[:2])[2:] == ["三月      1", "ma\u0301r       2"]
