"""What the server says of itself: the columns of its version, and nothing of anybody's that is code."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from models.schema import CategoryColumn, NumberColumn, Schema, Target
from pipelines.api_page import docs_page, openapi
from pipelines.invocations import FORMATS

ODD = '<script>alert("x")</script>'
SCHEMA = Schema(
    (
        NumberColumn("wind", 0.0, 0.0, 1.0, indicator=False),
        NumberColumn("holiday", 0.0, 0.0, 1.0, indicator=False),
        CategoryColumn(ODD, ("a",)),
    ),
    Target("late", "binary"),
)
DESCRIPTION = openapi(SCHEMA, 3, frozenset(("holiday",)))


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        inner = (_references(one) for one in value.values())
        return set().union(*inner, {value["$ref"]} if "$ref" in value else set())
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_a_row_has_the_columns_of_the_version() -> None:
    row = DESCRIPTION["components"]["schemas"]["Row"]
    assert {name: kind["type"][0] for name, kind in row["properties"].items()} == {
        "wind": "number",
        "holiday": "boolean",
        ODD: "string",
    }
    assert DESCRIPTION["info"]["version"] == "3"


def test_every_format_is_described_and_every_reference_leads_somewhere() -> None:
    body = DESCRIPTION["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert [one["required"] for one in body["oneOf"]] == [[name] for name in FORMATS]
    for reference in _references(DESCRIPTION):
        place = DESCRIPTION
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_runs_no_code_and_asks_nobody() -> None:
    page = docs_page(DESCRIPTION, {"wind": 1.5, "it's": ODD})
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.found
    assert tags.links == ["openapi.json"]
    assert "&lt;script&gt;" in page
    for path in DESCRIPTION["paths"]:
        assert f"<code>{path}</code>" in page


def test_before_a_version_is_loaded_the_page_says_so() -> None:
    assert "No version is loaded yet" in docs_page(openapi(None, None, frozenset()), {})
