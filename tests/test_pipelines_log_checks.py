"""What a project cannot do with the columns that its log keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.preparation import PrepareConfig
from models.schema import Schema
from pipelines.errors import UserError
from pipelines.keeping import LogConfig
from pipelines.log import Log
from pipelines.log_checks import changed_types, kept_columns, refuse_to_retrain
from pipelines.sources import Table

NOW = datetime(2013, 3, 1, tzinfo=UTC)


def frame(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    first = {
        "wind": rng.normal(size=200),
        "carrier": rng.choice(["UA", "DL"], 200),
        "y": rng.normal(size=200),
    }
    return pd.DataFrame(first | columns)


def table(rows: pd.DataFrame) -> Table:
    return Table(
        rows, np.full(len(rows), np.datetime64("2013-03-01", "ns")), np.arange(len(rows)).astype(str)
    )


def schema(rows: pd.DataFrame | None = None, **wishes: Any) -> Schema:
    return Schema.fit(frame() if rows is None else rows, "y", prepare=PrepareConfig(**wishes))


def told(columns: dict[str, str], of: Schema) -> list[str]:
    return [f"{one.severity}: {one.text}" for one in kept_columns(LogConfig(columns=columns), of)]


def test_what_is_kept_and_categories_that_are_hashed_stand_in_nobodys_way() -> None:
    assert told({"wind": "keep", "carrier": "hash"}, schema()) == []
    refuse_to_retrain(LogConfig(columns={"carrier": "hash"}), schema())


def test_a_dropped_input_cannot_be_learned_from_again() -> None:
    (text,) = told({"wind": "drop"}, schema())
    assert text.startswith(
        'fault: wind = "drop": the network learns from it, and a retraining takes it from the log'
    )
    with pytest.raises(UserError, match=r"\[log\] columns: wind = .* name it in \[data\] drop"):
        refuse_to_retrain(LogConfig(columns={"wind": "drop"}), schema())


def test_hashes_of_numbers_are_of_no_use() -> None:
    (text,) = told({"wind": "hash"}, schema())
    assert "hashes of a number cannot be counted or learned from" in text


def test_a_hash_of_what_is_prepared_by_hashing_is_known_by_nothing() -> None:
    rows = frame(stop=[f"stop {number % 90}" for number in range(200)])
    (text,) = told({"stop": "hash"}, schema(rows, encoding="hashing"))
    assert "keeps no level to know a hash by" in text


def test_a_column_that_is_no_input_is_only_told() -> None:
    assert told({"nobody": "drop"}, schema()) == [
        "note: nobody: no input of the network, and so never in the log"
    ]


def test_a_type_that_changed_since_it_was_logged_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    columns = {"wind": ["a", "b"], "carrier": [1, 2], "hour": [1, 2]}
    log.append_predictions(["a", "b"], [NOW, NOW], columns, [0.5, 0.5], version=1, known_at=NOW)
    rows = frame(hour=np.arange(200) % 24)
    found = changed_types(tmp_path / "log", schema(rows), table(rows))
    assert [one.severity for one in found] == ["fault", "fault"]
    assert "column 'wind' is numbers in the data, and of kind text in" in found[0].text
    assert "column 'carrier' is text in the data, and numbers in" in found[1].text
    assert "Give the new column another name" in found[1].text
    assert changed_types(tmp_path / "none", schema(rows), table(rows)) == []
