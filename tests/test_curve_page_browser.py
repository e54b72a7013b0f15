"""The page of a training in Debian's Chromium: what a reader sees, presses, zooms into and hears."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contrasts import contrasts
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab
from trainings import made_training as made

from models.history import EpochLoss
from pipelines.curve_page import write_curve_page
from pipelines.kept_curve import NO_STEPS, KeptCurve, TrainingRecord

pytestmark = pytest.mark.page


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    yield opened
    opened.close()


def show(tab: Tab, kept: KeptCurve, folder: Path, **more: Any) -> None:
    tab.goto(write_curve_page(kept, folder / "training.html", **more).as_uri())


def points(tab: Tab, line: str, box: str = "plot") -> int:
    path = tab.get_attribute(f"#{box} path[data-line={line}]", "d") or ""
    return path.count("M") + path.count("L")


def chosen(tab: Tab) -> list[str]:
    return tab.locator("#epochs tr.at th").all_inner_texts()


def axis(tab: Tab) -> list[str]:
    """The epochs that are marked on the axis."""
    marks = "[...document.querySelectorAll('#plot text[text-anchor=middle], #plot text[text-anchor=end]')]"
    bottom = f"{marks}.filter(t => t.textContent !== 'epoch')"
    height = f"Math.max(...{bottom}.map(t => +t.getAttribute('y')))"
    found: list[str] = tab.evaluate(
        f"{bottom}.filter(t => +t.getAttribute('y') === {height}).map(t => t.textContent)"
    )
    return found


def nothing(epochs: tuple[EpochLoss, ...] = ()) -> KeptCurve:
    return KeptCurve("x", "r", "fit", None, "why", TrainingRecord("mse", epochs), NO_STEPS)


# --- drawing ---


@pytest.mark.parametrize(
    ("epochs", "per", "shift"),
    [(1, 0, 0.0), (1, 1, 0.0), (2, 0, 0.0), (12, 200, 0.0), (90, 50, 0.0), (12, 40, -1.0)],
)
def test_the_page_draws_without_a_message_and_asks_for_nothing(
    tab: Tab, tmp_path: Path, epochs: int, per: int, shift: float
) -> None:
    heard: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    show(tab, made(epochs, per, shift=shift), tmp_path, rates='<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert points(tab, "validation") == epochs
    assert points(tab, "training") == epochs
    assert heard == []
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "training.html").as_uri()]


@pytest.mark.parametrize(
    "kept", [nothing(), nothing((EpochLoss(0, float("inf"), float("nan"), float("nan"), 0.1),))]
)
def test_a_training_that_came_to_nothing_draws_without_a_message(
    tab: Tab, tmp_path: Path, kept: KeptCurve
) -> None:
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    show(tab, kept, tmp_path)
    assert heard == []
    assert "why" in tab.inner_text(".diagnosis")


def test_steps_levels_spikes_rate_and_gradients_are_drawn(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    assert points(tab, "rate") == 12
    assert tab.locator("#plot path[data-line=steps]").count() == 2  # the loss, and the gradients
    assert points(tab, "steps") == 1200
    assert tab.locator("#plot path.level").count() == 3
    assert tab.locator("#plot path.spike").count() == 4
    assert tab.locator("#plot circle.ring-of").count() == 1


def test_starts_that_were_not_kept_can_be_hidden(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(starts=4), tmp_path)
    assert tab.locator("#plot path[data-line=starts]").count() == 2
    assert tab.inner_text(".legend button[data-line=starts] output") == "0.526 to 0.546"
    tab.click(".legend button[data-line=starts]")
    assert tab.locator("#plot path[data-line=starts]").count() == 0


def test_a_single_gradient_is_a_dot(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(1, 12), tmp_path)
    assert tab.locator("#plot g[clip-path='url(#in-gradients)'] circle.dot").count() == 1


# --- reading ---


def test_a_pointer_reads_the_step_and_the_epoch(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    box = tab.locator("#plot path.spike").first.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    said = tab.inner_text("#readout")
    assert said.startswith("Epoch 4 · training 0.495 · validation 0.527 · learning rate 0.00024")
    assert "of 2,400" in said
    assert "auc 0.7436, validation 0.7236" in said
    assert chosen(tab) == ["4"]
    assert tab.inner_text(".legend button[data-line=validation] output") == "0.527"
    tab.mouse.move(5, 5)
    assert chosen(tab) == []


def test_a_spike_is_told_with_what_is_around_it(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(12, 100), tmp_path)  # each step has a place of its own
    tab.focus("#plot")
    tab.keyboard.press("Home")
    for _ in range(8):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Shift+ArrowLeft")
    assert "step 898 of 1,200" in tab.inner_text("#readout")
    for _ in range(2):
        tab.keyboard.press("Shift+ArrowRight")
    assert "a spike: 9.000 against" in tab.inner_text("#readout")


def test_arrow_keys_move_between_epochs_and_enter_keeps_one(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    tab.focus("#plot")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        tab.keyboard.press(key)
    assert chosen(tab) == ["1"]
    assert tab.get_attribute("#plot", "aria-valuenow") == "1"
    assert (tab.get_attribute("#plot", "aria-valuetext") or "").startswith("epoch 1, training 0.580")
    tab.keyboard.press("Enter")
    tab.mouse.move(600, 400)
    assert chosen(tab) == ["1"]
    tab.keyboard.press("Escape")
    tab.keyboard.press("End")
    assert chosen(tab) == ["11"]
    tab.keyboard.press("Escape")
    assert chosen(tab) == []
    assert "Move over the chart" in tab.inner_text("#readout")


def test_a_row_of_the_table_shows_its_place_in_the_chart(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    tab.click("#epochs tbody tr:nth-child(6)")
    assert chosen(tab) == ["5"]
    assert tab.locator("#plot line.cursor.pinned").count() == 1


# --- the scale and the part that is shown ---


def test_the_log_scale_can_be_left_and_is_not_there_below_zero(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    before = tab.get_attribute("#plot path[data-line=validation]", "d")
    assert tab.get_attribute("#log", "aria-pressed") == "true"
    tab.click("#log")
    assert tab.get_attribute("#log", "aria-pressed") == "false"
    assert tab.get_attribute("#plot path[data-line=validation]", "d") != before
    show(tab, made(shift=-1.0), tmp_path)
    assert tab.is_disabled("#log")


def test_keys_and_buttons_zoom(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    whole = axis(tab)
    assert (whole[0], whole[-1]) == ("start", "11")
    assert tab.is_disabled("#wider")
    tab.focus("#plot")
    tab.keyboard.press("Home")
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    assert axis(tab) == ["start", "0", "1", "2"]
    tab.keyboard.press("End")  # what lies outside comes into view
    assert axis(tab)[-1] == "11"
    tab.click("#wider")
    assert len(axis(tab)) > 4
    tab.keyboard.press("0")
    tab.focus("#plot")
    tab.keyboard.press("0")
    assert axis(tab) == whole
    for _ in range(30):
        tab.keyboard.press("+")
    assert tab.is_disabled("#closer")
    assert points(tab, "steps") >= 10


def test_a_part_that_is_drawn_over_is_zoomed_into(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    box = tab.locator("#plot").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 300, box["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 500, box["y"] + 120, steps=4)
    assert tab.locator("#plot rect.chosen-part").count() == 1
    tab.mouse.up()
    assert 1 <= len(axis(tab)) <= 4
    assert tab.locator("#plot rect.chosen-part").count() == 0
    assert tab.locator("#plot line.cursor.pinned").count() == 0
    tab.dblclick("#plot", position={"x": 400, "y": 100})
    assert axis(tab)[0] == "start"


def test_a_line_can_be_hidden(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    tab.click(".legend button[data-line=raw]")
    tab.click(".legend button[data-line='level-best constant']")
    assert tab.locator("#plot path.level").count() == 2
    assert tab.locator("#plot g[clip-path='url(#in-loss)'] .band-of").count() == 0
    tab.click(".legend button[data-line='level-best constant']")
    assert tab.locator("#plot path.level").count() == 3


# --- the other charts ---


def test_another_figure_can_be_chosen(tab: Tab, tmp_path: Path) -> None:
    show(tab, made(), tmp_path)
    assert points(tab, "validation", "metrics-plot") == 12
    assert points(tab, "validation", "rows-plot") == 3
    tab.select_option("#rows-choice", "1")
    tab.focus("#rows-plot")
    tab.keyboard.press("ArrowRight")
    said = tab.inner_text("#rows-readout")
    assert said == "Rows learned from 3,125 · learned rows 0.4000 · unseen rows 0.6000 (0.59 to 0.62)"
    tab.keyboard.press("Escape")
    assert tab.inner_text("#rows-readout").startswith("Move over the chart")
    tab.hover("#metrics-plot", position={"x": 60, "y": 100})
    assert tab.inner_text("#metrics-readout").startswith("Epoch 0 · training 0.6700 · validation 0.6500")


# --- everybody ---


@pytest.mark.parametrize("width", [320, 375, 768, 1600])
def test_the_page_never_scrolls_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    kept = made()
    long = dataclasses.replace(kept.record, loss_name="losses:" + "b" * 120)
    show(tab, dataclasses.replace(kept, name="a" * 120, record=long), tmp_path)
    plot = tab.locator("#plot svg").bounding_box()  # once it is drawn
    assert plot is not None
    assert plot["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(browser: Browser, tmp_path: Path, scheme: str) -> None:
    tab = browser.new_page()
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    show(tab, made(), tmp_path)
    tab.click("#epochs tbody tr:nth-child(6)")
    found = contrasts(tab)
    assert len(found) > 150
    assert [text for ratio, text in found if ratio < 4.5] == []
    tab.close()


def test_without_its_script_the_table_holds_every_number(browser: Browser, tmp_path: Path) -> None:
    tab = browser.new_page(java_script_enabled=False)
    show(tab, made(), tmp_path)
    assert tab.locator("#epochs tbody tr").count() == 12
    assert "0.506" in tab.inner_text("#epochs tr.kept")
    assert "spikes" in tab.inner_text(".diagnosis")
    tab.close()


def test_text_from_outside_stays_text(tab: Tab, tmp_path: Path) -> None:
    evil = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    kept = made()
    record = dataclasses.replace(kept.record, loss_name=evil, baselines={evil: 0.6, "constant": 0.7})
    show(tab, dataclasses.replace(kept, name=evil, record=record, verdicts=(evil,)), tmp_path)
    tab.hover("#plot", position={"x": 300, "y": 100})
    assert tab.evaluate("window.hit") is None
    assert tab.inner_text("h1").startswith(evil)
