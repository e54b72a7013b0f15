"""Whatever is sent, the server refuses it with a reason and goes on; one that does not is found out."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.clients import Answer
from benchmarks.malformed import Maker, requests_by_hand, torn_http
from benchmarks.serving_malformed import MOST_GROWTH, refused, said
from models.schema import Schema
from pipelines.api_page import openapi


def _maker(seed: int) -> Maker:
    rows = {"wind": [1.0, 2.0] * 9, "carrier": ["a", "b"] * 9, "y": ["p", "q", "p"] * 6}
    schema = Schema.fit(rows, "y", task="binary")
    return Maker(json.loads(json.dumps(openapi(schema, 1, frozenset()))), seed)


def test_the_same_seed_gives_the_same_requests() -> None:
    first, again, other = ([one.sent for one in islice(_maker(seed).requests(), 50)] for seed in (1, 1, 2))
    assert first == again != other


def test_requests_by_hand_differ() -> None:
    by_hand = [*requests_by_hand(), *torn_http()]
    assert len(by_hand) > 300
    assert len({one.sent for one in by_hand}) > 0.9 * len(by_hand)


def test_a_refusal_without_field_rule_and_reason_says_nothing() -> None:
    whole = {"field": "wind", "rule": "type", "reason": "a text", "expected": ""}
    assert said(Answer(400, {}, json.dumps({"error": whole}).encode()))
    for body in (b"", b"no", b"[]", b"{}", b'{"error": {"field": "", "rule": "", "reason": "x"}}'):
        assert not said(Answer(400, {}, body))


@pytest.mark.slow
def test_each_malformed_request_is_refused_with_its_reason(tmp_path: Path) -> None:
    found = refused(tmp_path / "project", 3000)
    assert found.faultless, found.faults
    assert found.by_status.total() >= 3000
    assert found.grown < MOST_GROWTH


@pytest.mark.slow
def test_a_fault_of_the_server_is_found(tmp_path: Path) -> None:
    assert refused(tmp_path / "project", 900, plant="trust_the_width").broken > 0


@pytest.mark.slow
def test_a_server_that_ends_is_found(tmp_path: Path) -> None:
    assert refused(tmp_path / "project", 900, plant="end_at_depth").ends > 0


@pytest.mark.slow
def test_types_that_are_not_looked_at_are_found(tmp_path: Path) -> None:
    assert refused(tmp_path / "project", 900, plant="believe_everything").taken > 0


@pytest.mark.slow
def test_memory_that_is_never_let_go_of_is_found(tmp_path: Path) -> None:
    assert refused(tmp_path / "project", 3000, plant="keep_every_body").grown > MOST_GROWTH
