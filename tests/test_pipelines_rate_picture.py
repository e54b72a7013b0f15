"""The picture of the rate range: its marks, its forms, and losses that are no numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models.rate_range import RateRange, read_losses
from pipelines.errors import UserError
from pipelines.rate_picture import draw, page, write_picture

RATES = np.geomspace(1e-4, 1.0, 81)


@pytest.fixture(scope="module")
def found() -> RateRange:
    losses = 0.2 + 0.8 / (1 + (RATES / 0.01) ** 2)
    return read_losses(RATES, np.where(RATES < 0.3, losses, 9.0), before=1.0)


def texts(svg: str) -> list[str]:
    return [
        element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def test_rates_losses_and_marks_are_named(found: RateRange) -> None:
    told = texts(draw(found, "bikes: mse"))
    assert {"0.0001", "0.001", "0.01", "0.1", "1", "bikes: mse", "learning rate", "untrained"} <= set(told)
    assert f"suggested {found.suggested:.2g}" in told
    assert f"worse than untrained {found.diverged_at:.2g}" in told


def test_without_a_suggestion_or_an_explosion_there_is_no_mark(found: RateRange) -> None:
    calm = replace(found, suggested=None, diverged_at=None)
    assert [text for text in texts(draw(calm, "x")) if "suggested" in text or "worse" in text] == []


def test_losses_that_are_no_numbers_leave_a_gap_at_the_end(found: RateRange) -> None:
    losses = np.where(RATES < 0.3, found.losses, np.nan)
    broken = read_losses(RATES, losses, before=1.0)
    assert "nan" not in draw(broken, "x")


def test_the_title_of_a_stranger_does_no_harm(found: RateRange) -> None:
    assert "<script>" not in draw(found, "<script>") + page(found, "<script>")


@pytest.mark.parametrize(
    ("name", "begins"), [("r.svg", b"<svg"), ("r.png", b"\x89PNG"), ("r.html", b"<!doctype html>")]
)
def test_the_name_of_the_file_says_its_form(
    found: RateRange, name: str, begins: bytes, tmp_path: Path
) -> None:
    path = write_picture(found, "bikes", tmp_path / name)
    assert path.read_bytes().startswith(begins)


def test_the_page_gives_the_reasons(found: RateRange) -> None:
    assert all(f"<li>{reason}</li>" in page(found, "bikes") for reason in found.reasons)


def test_another_form_is_refused(found: RateRange, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a picture is written as \.svg, \.png, \.html"):
        write_picture(found, "bikes", tmp_path / "r.pdf")
