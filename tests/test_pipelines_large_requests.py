"""Large requests are read and scored by a process of their own, with the answers that the server itself would give."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import versions

from pipelines import large_requests
from pipelines.champion import Served
from pipelines.invocations import BadRequest, Invocation
from pipelines.large_requests import LargeFailed, LargeRequests, Task, Versions, _answer, _joined, read_rows
from pipelines.scoring import Scorer

ROWS = 1201  # three pieces
NAMES = ("hour", "carrier", "wind", "holiday")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(3, Scorer.load(versions.write_version(tmp_path_factory.mktemp("large") / "version")))


@pytest.fixture
def large() -> Iterator[LargeRequests]:
    requests = LargeRequests(seconds=120)
    yield requests
    requests.close()


def body(**more: Any) -> bytes:
    frame = versions.frame(ROWS)
    return json.dumps({"inputs": {name: frame[name] for name in NAMES}, **more}).encode()


BESIDE = {"ids": [f"a-{row}" for row in range(ROWS)], "times": ["2024-05-01T08:00:00Z"] * ROWS}


def same(found: tuple[Invocation, list[list[float]]], sent: bytes, served: Served) -> None:
    asked, answers = found
    expected = read_rows(sent, "application/json", served)
    assert (asked.columns, asked.rows, asked.ids) == (expected.columns, expected.rows, expected.ids)
    assert list(asked.columns) == list(expected.columns)
    assert asked.keys == expected.keys
    assert (asked.times is None) == (expected.times is None)
    assert asked.times is None or (asked.times == expected.times).all()
    assert answers == served.scorer.predict(expected.columns).tolist()


def test_the_process_gives_the_rows_and_answers_that_the_server_would(
    large: LargeRequests, served: Served
) -> None:
    for sent in (body(), body(**BESIDE)):
        same(large.read(sent, "application/json", served), sent, served)


def test_what_is_wrong_with_a_request_comes_back_as_it_is(large: LargeRequests, served: Served) -> None:
    with pytest.raises(BadRequest) as mine:
        read_rows(body(ids=["a"]), "application/json", served)
    with pytest.raises(BadRequest) as found:
        large.read(body(ids=["a"]), "application/json", served)
    for name in ("field", "reason", "expected", "rule", "status"):
        assert getattr(found.value, name) == getattr(mine.value, name)
    same(large.read(body(), "application/json", served), body(), served)  # and it goes on


def test_after_a_process_that_died_there_is_a_new_one(large: LargeRequests, served: Served) -> None:
    same(large.read(body(), "application/json", served), body(), served)
    assert large._process is not None
    os.kill(large._process.pid, signal.SIGKILL)
    large._process.wait()
    same(large.read(body(), "application/json", served), body(), served)


def test_who_gives_no_answer_in_time_is_ended(served: Served) -> None:
    hasty = LargeRequests(seconds=0.0)
    with pytest.raises(LargeFailed, match="no answer in time"):
        hasty.read(body(), "application/json", served)
    assert hasty._process is None


def test_a_version_that_answers_otherwise_than_it_did_is_told(
    large: LargeRequests, served: Served, tmp_path: Path
) -> None:
    wrong = Served(4, Scorer.load(versions.write_version(tmp_path / "wrong", golden_shift=0.5)))
    with pytest.raises(LargeFailed, match="the process ended"):
        large.read(body(), "application/json", wrong)
    same(large.read(body(), "application/json", served), body(), served)


def test_the_pieces_of_a_request_are_the_whole(served: Served) -> None:
    sent = body(**BESIDE)
    task = Task(sent, "application/json", served.scorer.bundle.folder, served.version, None)
    pieces, *frames = _answer(task, Versions())
    assert pieces == len(frames) == 3
    same(_joined(pieces, map(large_requests.pickle.dumps, frames)), sent, served)


def test_a_request_that_breaks_a_rule_is_one_frame(served: Served) -> None:
    task = Task(b"{}", "application/json", served.scorer.bundle.folder, served.version, None)
    (refused,) = _answer(task, Versions())
    assert (refused.error().status, refused.error().rule) == (400, "format")
