"""What the log keeps of a row: everything, a hash, or nothing."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.arrival import Arrival, Conflict
from pipelines.config import ConfigError, check_tables
from pipelines.errors import UserError
from pipelines.keeping import KEY, ColumnRules, LogConfig, hashes, kept_key, known_key, named_again
from pipelines.log import Log
from pipelines.moving import MovingLog
from pipelines.plain_columns import objects_of

NOW = datetime(2013, 3, 1, tzinfo=UTC)
RULES = LogConfig(columns={"customer": "hash", "street": "drop", "wind": "keep"})
ROW: dict[str, Any] = {"customer": ["Ann", "Bob", None], "street": ["Elm", "Oak", "Ash"], "wind": [1, 2, 3]}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path / "log", RULES)
    yield opened
    opened.close()


def read(log: Log, **wishes: Any) -> Any:
    return log.predictions(NOW - timedelta(days=1), NOW + timedelta(days=1), **wishes)


def arrival(*ids: str, **columns: Any) -> Arrival:
    columns = columns or {name: values[: len(ids)] for name, values in ROW.items()}
    time = round(NOW.timestamp() * 1e6)
    return Arrival(ids, [time] * len(ids), [[0.5]] * len(ids), columns, time, 1, "", own=True)


@pytest.mark.parametrize("way", ["in bulk", "one request", "together"])
def test_columns_are_kept_as_it_is_written(way: str, log: Log, tmp_path: Path) -> None:
    ids = ["a", "b", "c"]
    if way == "in bulk":
        log.append_predictions(ids, [NOW] * 3, ROW, [0.5] * 3, version=1, known_at=NOW)
    elif way == "one request":
        log.arrive(ids, [NOW] * 3, ROW, [0.5] * 3, version=1, known_at=NOW)
    else:
        log.arrive_together([arrival(*ids)])
    rows = read(log)
    assert sorted(rows.columns) == ["customer", "wind"]
    assert rows.columns["wind"].tolist() == [1, 2, 3]
    first, second, third = rows.columns["customer"].tolist()
    assert (first[:5], second[:5], third) == ("hash:", "hash:", None)
    again = read(log, levels={"customer": ["Zoe", "Ann"], "wind": ["1"]})
    assert again.columns["customer"].tolist() == ["Ann", second, None]
    held = b"".join(path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file())
    assert [name.encode() in held for name in ("Ann", "Bob", "Elm", "Oak")] == [False] * 4


def test_the_server_keeps_them_likewise_and_knows_a_row_again(tmp_path: Path) -> None:
    server = MovingLog(tmp_path / "log", RULES)
    assert server.arrive_together([arrival("a", "b", "c")]) == [None]
    (again,) = server.arrive_together([arrival("a", customer=["Ann"], street=["another"], wind=[1])])
    assert not isinstance(again, Conflict)
    (other,) = server.arrive_together([arrival("a", customer=["Amy"], street=["Elm"], wind=[1])])
    assert isinstance(other, Conflict)
    server.flush()
    server.close()
    rows = read(Log(tmp_path / "log"), levels={"customer": ["Ann", "Bob"]})
    assert rows.columns["customer"].tolist() == ["Ann", "Bob", None]
    assert "street" not in rows.columns


def test_without_rules_nothing_is_changed_and_no_key_is_made(tmp_path: Path) -> None:
    rules = ColumnRules(tmp_path / "log", LogConfig(columns={"a": "keep"}))
    arrivals = [arrival("a")]
    assert not rules
    assert rules.kept_of(arrivals) is arrivals
    assert not (tmp_path / "log").exists()


def test_the_key_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(kept_key, [tmp_path] * 16))
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY]
    (tmp_path / KEY).chmod(0o640)
    with pytest.raises(UserError, match=r"hash.key: others may read it.* Do: chmod 600"):
        known_key(tmp_path)


def test_a_hash_needs_its_key_and_knows_a_number_in_any_form() -> None:
    assert hashes(["a"], b"one") != hashes(["a"], b"two")
    assert len({*hashes([4711, 4711.0, "4711"], b"key")}) == 1
    assert hashes([None, float("nan"), ""], b"key") == [None, None, None]
    column = objects_of([*hashes(["a", "b"], b"key"), None, "hash:of another key"])
    assert named_again(column, ["b"], b"key").tolist() == [column[0], "b", None, "hash:of another key"]
    np.testing.assert_array_equal(named_again(np.array([1.5, 2.5]), ["1.5"], b"key"), [1.5, 2.5])


def test_a_rule_that_is_not_known_is_told() -> None:
    tables = {"data": {"target": "y", "path": "a.csv"}, "log": {"columns": {"customer": "hahs"}}}
    with pytest.raises(
        ConfigError, match=r"\[log\]: columns: customer = 'hahs': not known.*nearest is 'hash'"
    ):
        check_tables(tables, Path("shop/losswatch.toml"))
