"""The report in Debian's Chromium: what a reader sees, presses and hears."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lives
import pytest
from contrasts import contrasts
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from pipelines.document import write_whole
from pipelines.report_page import ReportPage, render_report
from pipelines.report_windows import Estimate, Life, Pending
from pipelines.standing import Circumstances, standing

pytestmark = pytest.mark.page

SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def usual() -> ReportPage:
    """Sixty days, six columns, everything that may happen."""
    page: ReportPage = lives.made_page(pages={45: "window-2013-04-18.html"})
    return page


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = browser.new_page(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    yield opened
    opened.close()


def show(tab: Tab, page: ReportPage, folder: Path) -> None:
    tab.goto(write_whole(render_report(page), folder / "report.html").as_uri())


def nothing() -> ReportPage:
    found = Life((), (), ())
    return ReportPage("rides", lives.START, standing(Circumstances(found, 0)), "mse", found, ())


def points(tab: Tab, line: str) -> int:
    path = tab.get_attribute(f"#plot path[data-line={line}]", "d") or ""
    return path.count("M") + path.count("L")


# --- drawing ---


@pytest.mark.parametrize(("windows", "columns"), [(0, 0), (1, 2), (2, 3), (3, 3), (60, 6), (400, 30)])
def test_the_report_draws_without_a_message_and_asks_for_nothing(
    tab: Tab, tmp_path: Path, windows: int, columns: int
) -> None:
    heard: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    show(tab, lives.made_page(windows, columns) if windows else nothing(), tmp_path)
    for choice in tab.locator(".filters button, [data-zoom]:enabled, #log:enabled").all():
        choice.click()
    assert heard == []
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]


def test_the_line_has_a_point_for_every_window(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    assert points(tab, "served") == 60
    assert points(tab, "estimate") == 1
    assert tab.locator("#plot .line.reference").count() == 2
    assert tab.locator("#plot rect.band").count() == 2
    assert tab.locator("#plot rect.between").count() == 1


def test_a_window_without_truth_leaves_a_gap(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    windows = [replace(one, loss=None) if one.number == 4 else one for one in usual.life.windows]
    show(tab, replace(usual, life=replace(usual.life, windows=tuple(windows))), tmp_path)
    path = tab.get_attribute("#plot path[data-line=served]", "d") or ""
    assert (path.count("M"), path.count("L")) == (2, 57)


def test_a_window_that_nobody_judged_leaves_a_gap(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    windows = tuple(one for one in usual.life.windows if one.number != 7)
    show(tab, replace(usual, life=replace(usual.life, windows=windows)), tmp_path)
    path = tab.get_attribute("#plot path[data-line=served]", "d") or ""
    assert (path.count("M"), path.count("L")) == (2, 57)


def test_services_of_one_version_are_one_band(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    first, second = usual.life.services
    middle = lives.START + 20 * lives.DAY
    services = (replace(first, until=middle), replace(first, since=middle, loss=0.55), second)
    show(tab, replace(usual, life=replace(usual.life, services=services)), tmp_path)
    assert tab.locator("#plot rect.band").count() == 2
    assert tab.locator("#plot .line.reference").count() == 3


def test_estimates_go_on_where_labels_are_not_due(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    estimate = Estimate(0.55, 0.5, 0.6, True, "")
    pending = tuple(
        Pending(lives.START + k * lives.DAY, lives.START + (k + 1) * lives.DAY, estimate) for k in (60, 61)
    )
    show(tab, replace(usual, life=replace(usual.life, pending=pending)), tmp_path)
    assert points(tab, "estimate") == 3
    assert tab.locator("#plot rect.between").count() == 3
    tab.focus("#plot")
    for key in ("Home", "+"):
        tab.keyboard.press(key)
    assert tab.locator("#plot rect.between").count() == 0


# --- choosing ---


def test_arrow_keys_choose_a_window_and_tell_it(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    tab.focus("#plot")
    tab.keyboard.press("Home")
    for _ in range(45):
        tab.keyboard.press("ArrowRight")
    told = tab.get_attribute("#plot", "aria-valuetext") or ""
    assert told.startswith(
        "18 Apr 2013, window 45, loss 0.620, 500 rows, v1, harmful shift, update, v2 let in"
    )
    assert "loss 0.5 → 0.62 (+24 %) over 500 labelled rows" in tab.inner_text("#readout")
    assert tab.inner_text("[data-line=estimate] output") == "0.580"
    tab.keyboard.press("Escape")
    assert tab.get_attribute("#plot", "aria-valuetext") == "no window chosen"


def test_plus_and_minus_zoom_and_zero_shows_all(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    before = tab.get_attribute("#plot path[data-line=served]", "d")
    assert tab.is_disabled("[data-zoom=all]")
    tab.focus("#plot")
    tab.keyboard.press("+")
    assert tab.get_attribute("#plot path[data-line=served]", "d") != before
    assert tab.is_enabled("[data-zoom=all]")
    tab.keyboard.press("0")
    assert tab.get_attribute("#plot path[data-line=served]", "d") == before


def test_a_drag_zooms_and_a_double_click_shows_all(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    before = tab.get_attribute("#plot path[data-line=served]", "d")
    box = tab.locator("#plot").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 100, steps=4)
    tab.mouse.up()
    assert tab.get_attribute("#plot path[data-line=served]", "d") != before
    tab.mouse.dblclick(box["x"] + 0.6 * box["width"], box["y"] + 100)
    assert tab.get_attribute("#plot path[data-line=served]", "d") == before


def test_a_window_outside_of_the_zoom_is_brought_into_sight(
    tab: Tab, usual: ReportPage, tmp_path: Path
) -> None:
    show(tab, usual, tmp_path)
    tab.focus("#plot")
    for key in ("Home", "+", "+", "End"):
        tab.keyboard.press(key)
    assert tab.locator("#plot .cursor").count() == 1
    assert (tab.get_attribute("#plot", "aria-valuetext") or "").startswith("2 May 2013")


def test_the_training_of_another_version_can_be_chosen(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    tab.select_option("#curve", "1")
    assert "epochs of v2" in (tab.text_content("#plot") or "")
    tab.click("#plot .in-band >> text=v1")
    assert tab.input_value("#curve") == "0"


# --- columns ---


def test_the_map_opens_where_something_stands_out(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    told = tab.inner_text("#shares")
    assert told.startswith("n0, 18 Apr 2013: distance ")
    assert "named by the verdict" in told
    assert tab.locator("#shares a").get_attribute("href") == "window-2013-04-18.html"
    assert tab.locator("#shares rect.now.most").count() == 1


def test_the_keyboard_walks_the_map_and_opens_a_cell(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    tab.focus("#heat")
    for key in ("Home", "ArrowDown", *("ArrowRight",) * 15):
        tab.keyboard.press(key)
    assert tab.inner_text("#heat-told") == "n1, 19 Mar 2013: broken feed: constant: 3 in all rows"
    tab.keyboard.press("Enter")
    assert tab.inner_text("#shares").startswith("n1, 19 Mar 2013: broken feed")
    assert tab.input_value("#column") == "1"
    assert tab.locator("#plot .cursor.pinned").count() == 1
    assert tab.inner_text("#shares code") == "losswatch report --window 15"


def test_pointing_at_a_cell_reads_it_and_a_click_opens_it(
    tab: Tab, usual: ReportPage, tmp_path: Path
) -> None:
    show(tab, usual, tmp_path)
    tab.locator("#detail").scroll_into_view_if_needed()
    box = tab.locator("#heat canvas").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] - 3, box["y"] + 2 * 18 + 9)
    name = tab.locator("#heat .names div").nth(2).inner_text()
    assert tab.inner_text("#heat-told").startswith(f"{name}, 2 May 2013: distance 0.")
    tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + 2 * 18 + 9)
    assert tab.inner_text("#shares").startswith(f"{name}, 2 May 2013")


def test_any_column_by_any_window_by_its_controls(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    tab.select_option("#column", label="carrier")
    assert tab.inner_text("#shares").startswith("carrier, 18 Apr 2013")
    tab.click("#window-before")
    assert tab.inner_text("#shares").startswith("carrier, 17 Apr 2013")
    tab.click("#shares summary")
    rows = tab.locator("#shares tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["AA", "DL", "UA"] or len(rows) == 3


def test_what_is_not_inside_the_page_is_said(
    tab: Tab, usual: ReportPage, tmp_path: Path, monkeypatch: Any
) -> None:
    from pipelines import report_page
    from pipelines.report_columns import embedded_columns

    monkeypatch.setattr(report_page, "embedded_columns", lambda table: embedded_columns(table, most=2000))
    show(tab, usual, tmp_path)
    tab.focus("#heat")
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    assert "not inside this page" in tab.inner_text("#shares")


def test_many_columns_are_shown_when_asked_for(tab: Tab, tmp_path: Path) -> None:
    show(tab, lives.made_page(12, 30), tmp_path)
    assert tab.locator("#heat .names div").count() == 20
    tab.click("#more-columns")
    assert tab.locator("#heat .names div").count() == 30
    tab.select_option("#order", "name")
    assert tab.locator("#heat .names div").first.inner_text() == "carrier"


# --- verdicts ---


def test_verdicts_can_be_filtered(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    everything = tab.locator(".verdicts > li:visible").count()
    tab.click(".filters [data-kind='harmful shift']")
    assert tab.locator(".verdicts > li:visible").all_inner_texts()[0].startswith("harmful shift")
    assert tab.locator(".verdicts > li:visible").count() == 1
    assert tab.text_content("#filtered") == "1 of 1 entries shown"
    tab.click(".filters [data-kind=all]")
    assert (everything, tab.locator(".verdicts > li:visible").count()) == (7, 7)


def test_a_long_list_grows_when_asked_for(tab: Tab, tmp_path: Path) -> None:
    windows = tuple(lives.window(k, "benign shift", reasons=("moved",)) for k in range(100))
    show(tab, replace(lives.made_page(0), life=lives.life(*windows)), tmp_path)
    assert tab.locator(".verdicts > li:visible").count() == 12
    tab.click("#more-verdicts")
    assert tab.locator(".verdicts > li:visible").count() == 62
    assert tab.evaluate("document.activeElement.id") == "w87"


def test_a_link_to_a_verdict_that_is_not_listed_yet_lists_it(tab: Tab, tmp_path: Path) -> None:
    windows = tuple(lives.window(k, "benign shift", reasons=("moved",)) for k in range(100))
    show(tab, replace(lives.made_page(0), life=lives.life(*windows)), tmp_path)
    tab.focus("#plot")
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    tab.click("#readout a")
    assert tab.is_visible("#w0")


def test_a_verdict_leads_to_its_column(tab: Tab, usual: ReportPage, tmp_path: Path) -> None:
    show(tab, usual, tmp_path)
    tab.click("#w30 .go")
    assert tab.inner_text("#shares").startswith("n0, 3 Apr 2013: distance ")
    assert tab.evaluate("document.activeElement.id") == "column"


# --- for everybody ---


@pytest.mark.parametrize("width", [320, 390, 768, 1600])
def test_the_report_never_scrolls_sideways(
    browser: Browser, usual: ReportPage, tmp_path: Path, width: int
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    show(tab, replace(usual, name="a" * 120, loss_name="losses:" + "b" * 120), tmp_path)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('#heat canvas').getBoundingClientRect().right") <= width
    tab.close()


def test_the_keyboard_reaches_everything_and_leaves_it_again(
    tab: Tab, usual: ReportPage, tmp_path: Path
) -> None:
    show(tab, usual, tmp_path)
    wanted = "a[href], button, select, summary, [tabindex='0']"
    shown = f"[...document.querySelectorAll(`{wanted}`)].filter(e => !e.disabled && e.checkVisibility())"
    expected = tab.evaluate(f"{shown}.length")
    seen: list[str] = []
    for _ in range(expected):
        tab.keyboard.press("Tab")
        seen.append(tab.evaluate(f"String({shown}.indexOf(document.activeElement))"))
        outlined = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.evaluate(outlined) != "none"
    assert seen == [str(place) for place in range(expected)]
    tab.keyboard.press("Tab")
    assert tab.evaluate(f"{shown}.indexOf(document.activeElement)") in (-1, 0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_its_background(
    browser: Browser, usual: ReportPage, tmp_path: Path, scheme: Any
) -> None:
    tab = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
    show(tab, usual, tmp_path)
    tab.focus("#plot")
    tab.keyboard.press("End")
    tab.keyboard.press("Enter")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    found = contrasts(tab)
    assert ground == ("rgb(18, 21, 25)" if scheme == "dark" else "rgb(246, 246, 243)")
    assert len(found) > 150
    assert [text for ratio, text in found if ratio < 4.5] == []
    tab.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_column_beyond_its_threshold_looks_unlike_one_within(
    browser: Browser, usual: ReportPage, tmp_path: Path, scheme: Any
) -> None:
    tab = browser.new_page(color_scheme=scheme)
    show(tab, usual, tmp_path)
    pixel = """([row, share]) => {
      const c = document.querySelector("#heat canvas"), left = document.querySelector(".names").offsetWidth;
      const k = c.width / c.getBoundingClientRect().width, x = left + (c.width / k - left) * share;
      return [...c.getContext("2d").getImageData(x * k, (row * 18 + 9) * k, 1, 1).data];
    }"""
    beyond, within = (tab.evaluate(pixel, [0, (k + 0.5) / 60]) for k in (45, 20))
    assert sum((a - b) ** 2 for a, b in zip(beyond, within, strict=True)) > 5000
    tab.close()


def test_dark_and_light_may_change_while_the_report_is_open(
    tab: Tab, usual: ReportPage, tmp_path: Path
) -> None:
    show(tab, usual, tmp_path)
    drawn = "document.querySelector('#heat canvas').toDataURL()"
    before = tab.evaluate(drawn)
    tab.emulate_media(color_scheme="dark")
    end = time.monotonic() + 20
    while tab.evaluate(drawn) == before:  # the page hears of it when the browser gets to it
        assert time.monotonic() < end, "the map is drawn as it was"


def test_without_its_script_the_report_can_be_read(
    browser: Browser, usual: ReportPage, tmp_path: Path
) -> None:
    tab = browser.new_page(java_script_enabled=False)
    show(tab, usual, tmp_path)
    assert tab.inner_text(".headline") == usual.standing.headline
    assert tab.locator(".verdicts > li:visible").count() == 7
    assert "0.620" in tab.inner_text("#verdicts")
    assert tab.locator("#months tbody tr").count() == 3
    tab.close()


def test_paper_shows_every_verdict_and_no_buttons(tab: Tab, tmp_path: Path) -> None:
    windows = tuple(lives.window(k, "benign shift", reasons=("moved",)) for k in range(40))
    show(tab, replace(lives.made_page(0), life=lives.life(*windows)), tmp_path)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator(".verdicts > li:visible").count() == 40
    assert tab.locator(".controls:visible, .filters:visible, nav:visible").count() == 0
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator(".verdicts > li:visible").count() == 12


def test_text_from_outside_stays_text(tab: Tab, tmp_path: Path) -> None:
    evil = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    window = lives.window(0, "harmful shift", reasons=(evil,), action=evil, evidence=lives.moved(evil))
    lived = lives.life(window)
    found = standing(Circumstances(lived, 1))
    show(tab, ReportPage(evil, lives.START, found, evil, lived, ()), tmp_path)
    tab.focus("#plot")
    tab.keyboard.press("Home")
    assert tab.evaluate("window.hit") is None
    assert evil in tab.inner_text("#readout")
    assert tab.inner_text("h1") == evil
