"""The page in Debian's Chromium: what a reader sees, presses and hears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from contrasts import contrasts
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from pipelines.page import Page, PageWindow, VersionCurve, write_page

pytestmark = pytest.mark.page

START = datetime(2013, 3, 4, tzinfo=UTC)
EVENTS = {0.12: "benign shift", 0.2: "harmful shift", 0.36: "concept change", 0.5: "data fault"}
EVENTS |= {0.62: "harmful shift", 0.72: "not enough evidence", 0.8: "harmful shift"}
ACTIONS = {"harmful shift": "update", "concept change": "refit", "data fault": "fix data"}
SUMMARY = {"loss": 0.502, "loss_never": 0.596, "retrainings": 4, "promotions": 3, "refusals": 1, "alarms": 5}


def made_curve(version: int, at: datetime, rng: np.random.Generator) -> VersionCurve:
    """A training as they usually go: 18 epochs from nothing, 7 from a champion."""
    epochs = np.arange(18 if version == 1 else 7)
    start = 0.22 if version == 1 else 0.03
    loss = 0.47 + start * np.exp(-epochs / 4) + rng.normal(0, 0.002, len(epochs))
    held_out = 0.5 + 0.7 * start * np.exp(-epochs / 3) + 0.0008 * epochs + rng.normal(0, 0.002, len(epochs))
    rows = zip(epochs.tolist(), loss.tolist(), held_out.tolist(), strict=True)
    return VersionCurve(version, "fit" if version == 1 else "update", at.isoformat(), tuple(rows))


def made_page(windows: int = 44, length: timedelta = timedelta(days=7), seed: int = 0) -> Page:
    """A year as it usually goes: summer is hard, some windows alarm, most challengers are let in."""
    rng = np.random.default_rng(seed)
    events = {round(share * windows): verdict for share, verdict in EVENTS.items()}
    version, made, curves = 1, [], [made_curve(1, START, rng)]
    for place in range(windows):
        start, end = START + place * length, START + (place + 1) * length
        summer = 0.09 * np.exp(-(((place / windows - 0.36) / 0.1) ** 2))
        level = 0.49 + summer + float(rng.normal(0, 0.02))
        never = level + 0.02 + 2.2 * summer + 0.04 * place / windows + float(rng.normal(0, 0.008))
        verdict = events.get(place, "quiet")
        action = ACTIONS.get(verdict, "keep")
        retrained, refused = action in ("update", "refit"), round(0.62 * windows) == place
        served = level + (0.06 if retrained else 0.0)
        reasons = (f"loss 0.490 → {served:.3f} over 6,812 rows, tolerance 5 %",) * retrained
        reasons += ("the network is not worse on the anchor rows: 0.002 ± 0.004",) * retrained
        made.append(
            PageWindow(start.isoformat(), end.isoformat(), 6500 + int(rng.integers(900)), served, never,
                       level + 0.022, level + 0.05, level + 0.012 + float(rng.normal(0, 0.006)), version,
                       verdict, action, reasons, version + 1 if retrained and not refused else None, refused)
        )  # fmt: skip
        if retrained and not refused:
            version += 1
            curves.append(made_curve(version, end, rng))
    months = tuple(
        {"month": f"2013-{month:02}", "rows": 28000, "loss": 0.49 + month / 1000, "never": 0.55 + month / 500,
         "simple": 0.523, "constant": 0.551, "schedule": 0.505, "retrainings": month % 2, "alarms": month % 3}
        for month in range(3, 13)
    )  # fmt: skip
    return Page(
        "Flights out of New York, 2013",
        "Arrival more than 15 minutes late: 327,346 flights, judged week by week from March to December.",
        "binary_crossentropy",
        tuple(made),
        tuple(curves),
        {**SUMMARY, "seconds": 112.4},
        months,
        "losswatch 0.1.0 · replay with seed 7",
    )


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    yield opened
    opened.close()


def show(tab: Tab, page: Page, folder: Path) -> None:
    tab.goto(write_page(page, folder / "page.html").as_uri())


def points(tab: Tab, line: str) -> int:
    path = tab.get_attribute(f"#plot path[data-line={line}]", "d") or ""
    return path.count("M") + path.count("L")


def chosen_rows(tab: Tab) -> list[int]:
    rows = "[...document.querySelectorAll('#windows tbody tr')]"
    found: list[int] = tab.evaluate(f"{rows}.map((r, i) => r.matches('.at') ? i : -1).filter(i => i >= 0)")
    return found


@pytest.mark.parametrize("windows", [0, 1, 3, 44, 400])
def test_the_page_draws_without_a_message_and_asks_for_nothing(
    tab: Tab, tmp_path: Path, windows: int
) -> None:
    heard: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    show(tab, made_page(windows), tmp_path)
    assert tab.locator("#plot svg path.validation").count() == 1
    assert heard == []
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "page.html").as_uri()]


@pytest.mark.parametrize("windows", [3, 44, 400])
def test_every_line_has_a_point_for_every_window(tab: Tab, tmp_path: Path, windows: int) -> None:
    show(tab, made_page(windows, timedelta(days=1)), tmp_path)
    assert {line: points(tab, line) for line in ("served", "never", "schedule")} == dict.fromkeys(
        ("served", "never", "schedule"), windows
    )
    assert tab.locator("#windows tbody tr").count() == windows


def test_a_window_without_truth_leaves_a_gap(tab: Tab, tmp_path: Path) -> None:
    page = made_page(10)
    gap = tuple(
        replace(window, loss=None) if place == 4 else window for place, window in enumerate(page.windows)
    )
    show(tab, replace(page, windows=gap), tmp_path)
    path = tab.get_attribute("#plot path[data-line=served]", "d") or ""
    assert (path.count("M"), path.count("L")) == (2, 7)


def test_a_report_of_what_serves_needs_no_version_beside_it(tab: Tab, tmp_path: Path) -> None:
    page = made_page(10)
    alone = tuple(
        replace(window, loss_never=None, loss_simple=None, loss_constant=None, loss_schedule=None)
        for window in page.windows
    )
    show(tab, replace(page, windows=alone, curves=(), months=(), summary={}), tmp_path)
    assert points(tab, "served") == 10
    assert tab.locator(".legend button").count() == 1
    assert tab.locator(".training-panel, #curve, #months").count() == 0


def test_arrow_keys_move_between_windows_and_enter_keeps_one(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.focus("#plot")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        tab.keyboard.press(key)
    assert chosen_rows(tab) == [1]
    tab.keyboard.press("End")
    assert chosen_rows(tab) == [43]
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    tab.focus("#log")
    assert chosen_rows(tab) == [0]
    assert tab.locator("#windows tr.pinned").count() == 1
    tab.focus("#plot")
    tab.keyboard.press("Escape")
    assert chosen_rows(tab) == []


def test_the_chosen_window_is_told_to_a_screen_reader_and_under_the_chart(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.focus("#plot")
    for _ in range(10):
        tab.keyboard.press("ArrowRight")
    told = tab.get_attribute("#plot", "aria-valuetext") or ""
    assert told.startswith(
        "6 May 2013, loss 0.571, never retrained 0.539, version 1, harmful shift, update → v2"
    )
    assert "loss 0.490 → 0.571 over 6,812 rows" in tab.inner_text("#readout")
    assert tab.inner_text(".legend button[data-series=served] output") == "0.571"


def test_pointing_at_a_window_marks_its_row_and_a_click_keeps_it(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    box = tab.locator("#plot").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100)
    pointed = chosen_rows(tab)
    tab.mouse.move(5, 5)
    assert (len(pointed), chosen_rows(tab)) == (1, [])
    tab.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 100)
    tab.mouse.move(5, 5)
    assert chosen_rows(tab) == pointed


def test_a_click_on_a_row_shows_its_window_in_the_chart(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.click("#windows tbody tr:nth-child(3)")
    assert chosen_rows(tab) == [2]
    assert tab.locator("#plot .cursor.pinned").count() == 1


def test_the_marked_row_is_scrolled_into_sight_without_moving_the_page(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(400, timedelta(days=1)), tmp_path)
    tab.focus("#plot")
    tab.keyboard.press("End")
    row, frame = tab.locator("#windows tr.at").bounding_box(), tab.locator(".tall").bounding_box()
    assert row is not None
    assert frame is not None
    assert frame["y"] <= row["y"] <= frame["y"] + frame["height"] - row["height"] + 1
    assert tab.evaluate("scrollY") == 0


def test_the_training_of_another_version_can_be_chosen(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.select_option("#curve", "1")
    path = tab.get_attribute("#plot path[data-curve=validation]", "d") or ""
    assert path.count("L") == 6
    assert "epochs of v2" in (tab.text_content("#plot") or "")
    tab.click("#plot .in-band >> text=v3")
    assert tab.input_value("#curve") == "2"


def test_the_log_scale_is_a_choice_until_one_line_would_flatten_the_others(tab: Tab, tmp_path: Path) -> None:
    page = made_page()
    show(tab, page, tmp_path)
    before = tab.get_attribute("#plot path[data-line=served]", "d")
    tab.click("#log")
    assert tab.get_attribute("#log", "aria-pressed") == "true"
    assert tab.get_attribute("#plot path[data-line=served]", "d") != before
    blown = tuple(replace(window, loss_never=0.5 * 1.3**place) for place, window in enumerate(page.windows))
    show(tab, replace(page, windows=blown), tmp_path)
    assert tab.get_attribute("#log", "aria-pressed") == "true"


def test_a_loss_of_zero_or_below_has_no_log_scale(tab: Tab, tmp_path: Path) -> None:
    page = made_page(10)
    show(tab, replace(page, windows=(replace(page.windows[0], loss=-0.1), *page.windows[1:])), tmp_path)
    assert tab.is_disabled("#log")


def test_a_line_can_be_hidden(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.click(".legend button[data-series=never]")
    assert tab.locator("#plot path[data-line=never]").count() == 0
    assert tab.get_attribute(".legend button[data-series=never]", "aria-pressed") == "false"


def test_only_what_stands_out_can_be_listed(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(), tmp_path)
    tab.click("#marked")
    assert tab.locator("#windows tbody tr:visible").count() == len(EVENTS)


@pytest.mark.parametrize("width", [320, 375, 768, 1600])
def test_the_page_never_scrolls_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    long = replace(made_page(44), title="a" * 120, loss_name="losses:" + "b" * 120)
    show(tab, long, tmp_path)
    plot = tab.locator("#plot svg").bounding_box()  # once it is drawn
    assert plot is not None
    assert plot["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(browser: Browser, tmp_path: Path, scheme: str) -> None:
    tab = browser.new_page()
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    show(tab, made_page(), tmp_path)
    tab.click("#windows tbody tr:nth-child(10)")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    found = contrasts(tab)
    assert ground == ("rgb(18, 21, 25)" if scheme == "dark" else "rgb(246, 246, 243)")
    assert len(found) > 300
    assert [text for ratio, text in found if ratio < 4.5] == []
    tab.close()


def test_a_reader_who_asked_for_less_motion_gets_none(browser: Browser, tmp_path: Path) -> None:
    tab = browser.new_page(reduced_motion="reduce")
    show(tab, made_page(3), tmp_path)
    moving = "n => getComputedStyle(n).transitionDuration !== '0s'"
    assert tab.evaluate(f"[...document.querySelectorAll('*')].filter({moving}).length") == 0
    tab.close()


def test_without_its_script_the_tables_hold_every_number(browser: Browser, tmp_path: Path) -> None:
    tab = browser.new_page(java_script_enabled=False)
    show(tab, made_page(44), tmp_path)
    assert tab.locator("#windows tbody tr").count() == 44
    assert "0.571" in tab.inner_text("#windows")
    assert tab.inner_text(".legend button[data-series=served] output") == "0.502"
    tab.close()


def test_paper_shows_the_whole_table(tab: Tab, tmp_path: Path) -> None:
    show(tab, made_page(44), tmp_path)
    tab.emulate_media(media="print")
    hidden = "(e => e.scrollHeight - e.clientHeight)(document.querySelector('.tall'))"
    assert tab.evaluate(hidden) <= 1
    assert not tab.is_visible("#log")


def test_text_from_outside_stays_text(tab: Tab, tmp_path: Path) -> None:
    page = made_page(3)
    evil = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    windows = (replace(page.windows[0], reasons=(evil,), action=evil), *page.windows[1:])
    curves = (replace(page.curves[0], kind=evil), *page.curves[1:])
    show(
        tab,
        replace(page, title=evil, subtitle=evil, loss_name=evil, footer=evil, windows=windows, curves=curves),
        tmp_path,
    )
    tab.click("#windows tbody tr:nth-child(1)")
    assert tab.evaluate("window.hit") is None
    assert tab.inner_text("h1") == evil
    assert evil in tab.inner_text("#readout")
