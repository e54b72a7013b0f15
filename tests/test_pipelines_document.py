"""One file that asks for nothing: its policy, what it embeds, and how it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.document import asset, document, embedded, rounded, write_whole


def test_only_its_own_style_and_script_may_act() -> None:
    one = document("a", "<p>b</p>", style="p{}", script="let c;", data={})
    other = document("a", "<p>b</p>", style="p{}", script="let d;", data={})
    policies = [re.findall(r"script-src '(sha256-[^']+)'", text)[0] for text in (one, other)]
    assert policies[0] != policies[1]
    assert "default-src 'none'" in one
    assert re.findall(r"style-src '(sha256-[^']+)'", one) == re.findall(r"style-src '(sha256-[^']+)'", other)


def test_a_title_from_outside_stays_text() -> None:
    assert "<title>&lt;b&gt;</title>" in document("<b>", "", style="", script="", data={})


def test_data_cannot_end_their_element() -> None:
    text = embedded({"name": "</script><b>&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": "</script><b>&"}


def test_what_is_no_number_is_not_embedded() -> None:
    assert [rounded(value) for value in (None, float("inf"), 1 / 3)] == [None, None, 0.333333]
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(float("nan"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "page.html"
    assert write_whole("one", target) == target
    with pytest.raises(UnicodeEncodeError):
        write_whole("two \ud800", target)
    assert target.read_text("utf-8") == "one"
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["page.css", "page.js", "chart.js", "symbols.svg"])
def test_what_comes_along_asks_for_nothing(name: str) -> None:
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttp|import\(", asset(name))
