from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.document import asset
from pipelines.page import (
    VERDICTS,
    Page,
    PageWindow,
    VersionCurve,
    description,
    period_means,
    render,
    write_page,
)

WINDOW = PageWindow(
    start="2013-03-04T00:00:00+00:00",
    end="2013-03-11T00:00:00+00:00",
    rows=100,
    loss=0.5,
    loss_never=0.6,
    loss_simple=0.52,
    loss_constant=0.55,
    loss_schedule=0.51,
    version=1,
    verdict="quiet",
    action="keep",
    reasons=(),
    promoted=None,
    refused=False,
)
PAGE = Page(
    title="Flights",
    subtitle="late or not",
    loss_name="binary_crossentropy",
    windows=(WINDOW, replace(WINDOW, start=WINDOW.end, end="2013-03-18T00:00:00+00:00", rows=300, loss=0.7)),
    curves=(VersionCurve(1, "fit", "2013-03-01T00:00:00+00:00", ((0, 0.69, 0.68), (1, 0.55, 0.56))),),
    summary={"retrainings": 1, "promotions": 1, "refusals": 0, "alarms": 1, "seconds": 12.0},
    months=({"month": "2013-03", "rows": 400, "loss": 0.65, "never": 0.6, "retrainings": 1, "alarms": 1},),
    footer="made by a test",
)
VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Notes the attributes of every element, and every end tag without its beginning."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def embedded(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def many(count: int) -> Page:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    windows = tuple(
        replace(
            WINDOW,
            start=(start + timedelta(days=day)).isoformat(),
            end=(start + timedelta(days=day + 1)).isoformat(),
            loss=0.5 + day / 7919,
            reasons=("loss 0.49 → 0.57 (+16 %) over 6,812 rows, tolerance 5 %",) * 2,
        )
        for day in range(count)
    )
    curves = tuple(
        replace(PAGE.curves[0], version=version, epochs=((0, 0.6, 0.6),) * 40) for version in range(20)
    )
    return replace(PAGE, windows=windows, curves=curves)


def test_every_element_is_closed_in_its_order() -> None:
    reader = Reader(render(PAGE))
    assert (reader.open, reader.wrong) == ([], [])


def test_an_identifier_occurs_once() -> None:
    names = [attributes["id"] for _, attributes in Reader(render(PAGE)).seen if "id" in attributes]
    assert len(names) == len(set(names))


def test_nothing_is_fetched_and_no_inline_style_or_handler_is_needed() -> None:
    for tag, attributes in Reader(render(PAGE)).seen:
        assert not any(name == "style" or name.startswith("on") for name in attributes), tag
        assert (attributes.get("src"), attributes.get("action")) == (None, None), tag
        assert (attributes.get("href") or "#").startswith(("#", "data:")), tag
    assert "url(" not in asset("page.css")
    assert re.findall(r"https?://[^\"' ]+", render(PAGE)) == ["http://www.w3.org/2000/svg"] * 2


def test_the_policy_lets_only_this_style_and_this_script_act() -> None:
    text = render(PAGE)
    policy = next(
        a["content"] for _, a in Reader(text).seen if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for element in ("style", "script"):
        inside = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert len(inside) == 1
        print_of_it = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{print_of_it}'" in policy


def test_text_from_outside_is_escaped_everywhere() -> None:
    evil = "</script><b title='x'>&\"</b>"
    window = replace(WINDOW, reasons=(evil,), action=evil)
    curves = tuple(replace(PAGE.curves[0], kind=evil) for _ in range(2))
    months = ({"month": evil, "loss": 0.5},)
    page = Page(evil, evil, evil, (window,), curves, {}, months, evil)
    text = render(page)
    assert evil not in text
    assert "b" not in {tag for tag, _ in Reader(text).seen}
    places = "title, heading, subtitle, loss name, loss in words, two options, month, action, reason, footer"
    assert text.count(html.escape(evil)) == len(places.split(",")) + 1  # the options are two


def test_the_same_record_gives_the_same_page() -> None:
    assert render(PAGE) == render(PAGE)


def test_four_hundred_windows_and_twenty_trainings_stay_under_300_kb() -> None:
    assert len(render(many(400)).encode()) < 300_000


def test_the_series_are_as_long_as_the_windows_and_none_stays_none() -> None:
    data = embedded(render(replace(PAGE, windows=(replace(WINDOW, loss=None), WINDOW, WINDOW))))
    assert data["series"] == {
        "served": {"mean": 0.5, "values": [None, 0.5, 0.5]},
        "never": {"mean": 0.6, "values": [0.6] * 3},
        "schedule": {"mean": 0.51, "values": [0.51] * 3},
        "simple": {"mean": 0.52, "values": [0.52] * 3},
        "constant": {"mean": 0.55, "values": [0.55] * 3},
    }


@pytest.mark.parametrize(("loss", "shown"), [(math.nan, "–"), (math.inf, "∞"), (None, "–"), (-0.5, "−0.500")])
def test_a_loss_that_cannot_be_drawn_is_still_shown(loss: float | None, shown: str) -> None:
    assert f'<td class="n served">{shown}</td>' in render(
        replace(PAGE, windows=(replace(WINDOW, loss=loss),))
    )


def test_means_weigh_windows_by_their_rows_unless_the_summary_states_them() -> None:
    assert period_means(PAGE)["loss"] == pytest.approx((0.5 * 100 + 0.7 * 300) / 400)
    assert period_means(replace(PAGE, summary={"loss": 0.61, "loss_never": 0.9}))["never"] == 0.9


def test_a_page_without_windows_shows_the_training_alone() -> None:
    text = render(replace(PAGE, windows=(), months=()))
    assert 'role="img"' in text
    assert 'id="windows"' not in text


def test_a_page_without_anything_says_so() -> None:
    text = render(replace(PAGE, windows=(), curves=(), months=(), summary={}))
    assert "No version was trained and no window judged yet." in text
    assert (Reader(text).open, Reader(text).wrong) == ([], [])


def test_what_became_of_a_retraining_is_written_in_its_row() -> None:
    update = replace(WINDOW, verdict="harmful shift", action="update")
    text = render(replace(PAGE, windows=(replace(update, promoted=2), replace(update, refused=True), update)))
    assert [word for word in ("update → v2<", "update, refused<", "</svg>update<") if word in text] == [
        "update → v2<",
        "update, refused<",
        "</svg>update<",
    ]
    assert embedded(text)["outcome"] == ["promoted", "refused", "open"]


def test_an_unknown_verdict_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r'"odd".*quiet, not enough evidence, benign shift'):
        render(replace(PAGE, windows=(replace(WINDOW, verdict="odd"),)))


def test_every_verdict_has_a_mark_of_its_own_shape() -> None:
    shapes = re.findall(r'<symbol id="s-(\w+)" viewBox="-8 -8 16 16">(.*?)</symbol>', asset("symbols.svg"))
    assert {name for name, _ in shapes} >= set(VERDICTS.values()) - {"quiet"}
    assert len({shape for _, shape in shapes}) == len(shapes)


def test_columns_without_a_value_are_left_out() -> None:
    bare = replace(WINDOW, loss_never=None, loss_simple=None, loss_constant=None, loss_schedule=None)
    text = render(replace(PAGE, windows=(bare,), months=({"month": "2013-03", "loss": 0.5, "never": None},)))
    assert "never retrained</th>" not in text
    assert 'data-series="never"' not in text


def test_the_chart_in_words_names_the_period_the_means_and_the_versions() -> None:
    page = replace(PAGE, windows=(replace(WINDOW, promoted=2), PAGE.windows[1]))
    words = description(page, period_means(page), 3)
    assert "in 2 windows from 4 Mar 2013 to 18 Mar 2013" in words
    assert "Mean served 0.650, never retrained 0.600." in words
    assert "Highest served 0.700 on 11 Mar 2013." in words
    assert "Version 2 let in after 4 Mar 2013." in words


def test_windows_shorter_than_a_day_show_their_hour() -> None:
    hour = replace(WINDOW, start="2013-03-04T06:00:00+00:00", end="2013-03-04T07:00:00+00:00")
    assert "4 Mar 2013, 06:00" in render(replace(PAGE, windows=(hour,)))


def test_the_page_is_written_whole_with_its_folder(tmp_path: Path) -> None:
    path = write_page(PAGE, tmp_path / "out" / "page.html")
    assert path.read_text(encoding="utf-8") == render(PAGE)
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_a_failed_write_leaves_the_former_page_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_page(PAGE, tmp_path / "page.html")

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("pipelines.document.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_page(replace(PAGE, title="other"), path)
    assert path.read_text(encoding="utf-8") == render(PAGE)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
