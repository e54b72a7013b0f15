"""The reference: the level of the loss on unseen rows, its spread over windows, and the inputs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from monitoring.window import Window, cut
from pipelines.reference import (
    make_loss_reference,
    make_reference,
    read_reference,
    whole_blocks,
    write_reference,
)

BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
DAYS, ROWS = 20, 100
TIMES = np.datetime64("2021-01-01", "us") + np.arange(DAYS * ROWS) * np.timedelta64(864, "s")


def windows() -> list[Window]:
    return cut(TIMES, BEGIN, "day")


def losses(seed: int = 0) -> Any:
    return np.random.default_rng(seed).exponential(size=DAYS * ROWS)


def test_the_level_is_that_of_the_unseen_rows() -> None:
    rising = losses() + np.where(np.arange(DAYS * ROWS) >= 15 * ROWS, 5.0, 0.0)
    unseen = np.arange(DAYS * ROWS) >= 15 * ROWS
    reference = make_loss_reference(rising, unseen, TIMES, windows())
    assert reference.rows == 5 * ROWS
    assert reference.loss == pytest.approx(rising[unseen].mean())


def test_without_unseen_rows_all_give_the_level() -> None:
    reference = make_loss_reference(losses(), np.zeros(DAYS * ROWS, bool), TIMES, windows())
    assert reference.rows == DAYS * ROWS


def test_unseen_rows_of_few_windows_say_less() -> None:
    every = np.ones(DAYS * ROWS, bool)
    last = np.arange(DAYS * ROWS) >= (DAYS - 1) * ROWS
    wide = make_loss_reference(losses(), every, TIMES, windows())
    narrow = make_loss_reference(losses(), last, TIMES, windows())
    assert narrow.error > 2 * wide.error


def test_days_that_differ_widen_the_spread() -> None:
    level = np.repeat(np.random.default_rng(1).uniform(0.5, 2.0, DAYS), ROWS)
    every = np.ones(DAYS * ROWS, bool)
    calm = make_loss_reference(losses(), every, TIMES, windows())
    restless = make_loss_reference(losses() * level, every, TIMES, windows())
    assert restless.spread > 3 * calm.spread


def test_pieces_and_nearly_empty_windows_are_no_blocks() -> None:
    blocks = [np.arange(size) for size in (10, 100, 0, 110, 90, 17)]
    assert [len(block) for block in whole_blocks(blocks)] == [100, 110, 90]
    assert whole_blocks([]) == []
    assert whole_blocks([np.arange(0)]) == []


def test_a_reference_comes_back_from_json_as_it_was() -> None:
    rng = np.random.default_rng(2)
    columns = {
        "wind": np.where(rng.random(DAYS * ROWS) < 0.1, np.nan, rng.standard_normal(DAYS * ROWS)),
        "kind": rng.choice(np.array(["a", "b", None], dtype=object), DAYS * ROWS),
    }
    loss = make_loss_reference(losses(), np.ones(DAYS * ROWS, bool), TIMES, windows())
    reference = make_reference(columns, TIMES, windows(), loss=loss)
    assert read_reference(json.loads(json.dumps(write_reference(reference)))) == reference
    assert reference.profile.rows == DAYS * ROWS


def test_one_window_is_enough_for_a_reference() -> None:
    first = np.arange(ROWS)
    columns = {"wind": np.random.default_rng(3).standard_normal(ROWS)}
    days = cut(TIMES[first], BEGIN, "day")
    loss = make_loss_reference(losses()[first], np.ones(ROWS, bool), TIMES[first], days)
    assert make_reference(columns, TIMES[first], days, loss=loss).profile.rows == ROWS
