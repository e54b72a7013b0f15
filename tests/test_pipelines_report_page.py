"""The page of the report as text: what it says, what it escapes, how large it gets."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace
from typing import Any

import lives
import pytest

from pipelines.report_page import MOST_TOLD, ReportPage, render_report
from pipelines.report_windows import Life
from pipelines.standing import Circumstances, standing


def data_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])
    return found


def prose(text: str) -> str:
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_first_thing_on_the_page_is_what_happened_and_what_to_do() -> None:
    page = lives.made_page()
    told = prose(render_report(page))
    assert told.index(page.standing.headline) < told.index("Next Nothing to do") < told.index("newest loss")


def test_the_same_record_gives_the_same_text() -> None:
    page = lives.made_page()
    assert render_report(page) == render_report(page)


def test_nothing_is_asked_of_the_network() -> None:
    text = render_report(lives.made_page())
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', text) == []
    assert "default-src 'none'" in text


def test_every_window_has_its_loss_and_verdict_in_the_data() -> None:
    page = lives.made_page()
    data = data_of(render_report(page))
    assert data["loss"] == [pytest.approx(window.loss, rel=1e-5) for window in page.windows]
    assert [data["verdict"][k] for k in (15, 30, 45)] == ["fault", "benign", "harmful"]
    assert data["challenger"][45] == 2
    assert data["estimate"]["low"][45] == 0.52


def test_quiet_windows_in_a_row_are_one_line() -> None:
    text = render_report(lives.made_page())
    assert text.count('<li class="calm"') == 4
    assert "14 quiet windows" in prose(text)


def test_harm_is_explained_by_column_and_slice() -> None:
    told = prose(render_report(lives.made_page()))
    assert (
        "What moved the loss by +20 % wind +12 % above 9 of a name that goes on and on: 5.0 % → 40.0 % of rows"
        in told
    )
    assert "rows like those before +6 %" in told
    assert "in carrier = DL +4 % 20 % of rows" in told


def test_the_slices_of_the_newest_window_that_has_any_are_listed() -> None:
    told = prose(render_report(lives.made_page()))
    assert "carrier = DL 102 0.700 0.500 raised" in told


def test_evidently_is_linked_where_its_report_lies_beside_the_page() -> None:
    page = lives.made_page(pages={45: "window-2013-04-18.html"})
    assert '<a href="window-2013-04-18.html">Evidently’s report of this window</a>' in render_report(page)


def test_a_page_without_windows_says_what_to_do() -> None:
    nothing = Life((), (), ())
    page = ReportPage("rides", lives.START, standing(Circumstances(nothing, 0)), "mse", nothing, ())
    text = render_report(page)
    assert "<code>losswatch train</code>" in text
    assert "<section" in text
    assert "<nav" in text
    assert 'id="chart"' not in text


def test_of_very_many_verdicts_the_newest_are_listed_and_the_rest_counted() -> None:
    windows = tuple(lives.window(k, "benign shift", reasons=("moved",)) for k in range(MOST_TOLD + 50))
    page = replace(lives.made_page(0), life=lives.life(*windows))
    text = render_report(page)
    assert text.count('data-kind="benign shift" data-from') == MOST_TOLD
    assert "50 older windows not listed" in prose(text)


def test_text_from_outside_is_escaped() -> None:
    evil = "</script><script>hit()</script>"
    window = lives.window(
        0, "harmful shift", reasons=(evil,), gate=(evil,), action=evil, evidence=lives.moved(evil)
    )
    found = standing(Circumstances(lives.life(window), 1))
    page = ReportPage(evil, lives.START, found, evil, lives.life(window), (), links=((evil, evil),))
    assert "<script>hit()" not in render_report(page)


@pytest.mark.slow
def test_the_largest_page_stays_below_eight_megabytes() -> None:
    page = lives.made_page(1000, 200)
    tracemalloc.start()
    text = render_report(page)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) < 8_000_000
    assert peak < 200e6


def test_a_verdict_that_the_page_does_not_know_is_shown_and_not_as_quiet() -> None:
    lived = lives.life(lives.window(0), lives.window(1, "no data", reasons=("no row came",)))
    found = standing(Circumstances(lived, 1))
    text = render_report(ReportPage("rides", lives.START, found, "mse", lived, ()))
    assert found.headline == "The newest window (5 Mar 2013): no data; no row came."
    assert data_of(text)["verdict"] == ["quiet", "thin"]
    assert "no data 1" in prose(text)


def test_slices_explain_only_what_is_clear() -> None:
    evidence = lives.explained()
    evidence["explanation"]["clear"] = False
    lived = lives.life(lives.window(0, "harmful shift", evidence=evidence))
    page = ReportPage("rides", lives.START, standing(Circumstances(lived, 1)), "mse", lived, ())
    assert "in carrier = DL" not in prose(render_report(page))
