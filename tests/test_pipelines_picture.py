from __future__ import annotations

import math
import xml.etree.ElementTree as tree
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.page import VERDICTS, Page, PageWindow, VersionCurve
from pipelines.picture import SHAPES, draw, fitted_scale, write_picture

SVG = "{http://www.w3.org/2000/svg}"


def page(*losses: float | None, never: float | None = 0.6) -> Page:
    start = datetime(2013, 3, 4, tzinfo=UTC)
    windows = tuple(
        PageWindow(
            start=(start + place * timedelta(days=7)).isoformat(),
            end=(start + (place + 1) * timedelta(days=7)).isoformat(),
            rows=100,
            loss=loss,
            loss_never=never,
            loss_simple=0.52,
            loss_constant=0.55,
            loss_schedule=None,
            version=1 + place // 2,
            verdict="harmful shift" if place % 2 else "quiet",
            action="update" if place % 2 else "keep",
            reasons=(),
            promoted=2 + place // 2 if place % 2 else None,
            refused=False,
        )
        for place, loss in enumerate(losses)
    )
    curve = VersionCurve(1, "fit", "2013-03-01", ((0, 0.7, 0.68), (1, 0.6, 0.55), (2, 0.5, math.nan)))
    return Page("<b>", "", "mse & more", windows, (curve,), {}, (), "")


def elements(text: str, name: str, style: str) -> list[tree.Element]:
    return [
        found for found in tree.fromstring(text).iter(SVG + name) if style in found.get("class", "").split()
    ]


def test_both_lines_have_a_point_for_every_window() -> None:
    text = draw(page(0.5, 0.52, 0.6, 0.55, 0.5))
    for style in ("served", "never"):
        (line,) = elements(text, "path", style)
        assert line.get("d", "").count("L") == 4


def test_a_window_without_truth_leaves_a_gap() -> None:
    (line,) = elements(draw(page(0.5, 0.52, None, 0.55, 0.5)), "path", "served")
    assert (line.get("d", "").count("M"), line.get("d", "").count("L")) == (2, 2)


def test_alarms_retrainings_and_versions_are_marked() -> None:
    text = draw(page(0.5, 0.52, 0.6, 0.55))
    assert len(elements(text, "path", "harmful")) == 2 + 1  # and once in the key
    assert len(elements(text, "path", "promoted")) == 2 + 1 + 1  # and the epoch that was kept
    assert [band.text for band in elements(text, "text", "strong")][-2:] == ["v1", "v2"]


def test_one_window_and_no_training_is_enough() -> None:
    text = draw(replace(page(0.5, never=None), curves=()))
    assert elements(text, "path", "training") == []
    assert len(elements(text, "path", "served")) == 1


def test_a_line_that_would_flatten_the_others_makes_the_scale_logarithmic() -> None:
    assert fitted_scale(page(0.5, 0.52, never=90.0)).logarithmic
    assert not fitted_scale(page(0.5, 0.52)).logarithmic
    assert elements(draw(page(0.5, 0.52, never=90.0)), "path", "grid") != []


def test_a_picture_of_no_loss_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one window with a loss"):
        draw(page(None, None))


def test_every_verdict_that_asks_for_a_look_has_a_shape() -> None:
    assert set(VERDICTS.values()) - set(SHAPES) == {"quiet", "thin"}


def test_the_picture_is_written_whole(tmp_path: Path) -> None:
    path = write_picture(page(0.5, 0.6), tmp_path / "docs" / "year.svg")
    assert path.read_text(encoding="utf-8") == draw(page(0.5, 0.6))
