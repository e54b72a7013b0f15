"""A version's folder: written whole, read whole, known by its content."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.schema import CategoryColumn, NumberColumn, Schema, Target
from pipelines.bundle import BrokenBundle, Bundle, Golden, digest, plain, read_bundle, write_bundle

SCHEMA = Schema(
    (NumberColumn("distance", 900.0, 1000.0, 700.0, True), CategoryColumn("carrier", ("UA", "DL"))),
    Target("late", "binary", ("no", "yes")),
)
GOLDEN = Golden(({"distance": 1400, "carrier": None},), ((0.25,),))


def _write(folder: Path, **changed: Any) -> Bundle:
    folder.mkdir(exist_ok=True)
    (folder / "model.keras").write_bytes(b"a network")
    parts: dict[str, Any] = {
        "schema": SCHEMA,
        "settings": {"task": "binary", "loss": "binary_crossentropy"},
        "reference": {"row_losses": np.array([0.5, np.nan], np.float32)},
        "golden": GOLDEN,
    }
    return write_bundle(folder, **(parts | changed))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    written = _write(tmp_path)
    read = read_bundle(tmp_path)
    assert read == written
    assert read.schema == SCHEMA
    assert read.settings == {"task": "binary", "loss": "binary_crossentropy"}
    assert read.golden == GOLDEN


def test_numbers_of_numpy_become_plain_and_nan_becomes_none(tmp_path: Path) -> None:
    assert _write(tmp_path).reference == {"row_losses": [0.5, None]}


def test_without_a_network_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BrokenBundle, match=r"no model\.keras"):
        write_bundle(tmp_path, schema=SCHEMA, settings={}, reference={}, golden=GOLDEN)
    assert list(tmp_path.iterdir()) == []


def test_every_golden_row_needs_its_answer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 rows and 1 predictions"):
        _write(tmp_path, golden=Golden(({}, {}), ((0.5,),)))


def test_an_infinite_figure_is_refused_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bins\.distance\[1\]: inf"):
        _write(tmp_path, reference={"bins": {"distance": [0.0, float("inf")]}})


def test_a_network_that_cannot_be_exported_has_no_onnx(tmp_path: Path) -> None:
    assert _write(tmp_path).onnx is None
    (tmp_path / "model.onnx").write_bytes(b"exported")
    assert read_bundle(tmp_path).onnx == tmp_path / "model.onnx"
    assert read_bundle(tmp_path).keras == tmp_path / "model.keras"


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "schema.json").unlink()
    (tmp_path / "model.keras").unlink()
    with pytest.raises(BrokenBundle, match=r"model\.keras, schema\.json missing"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["version.json", "reference.json", "golden.json"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    _write(tmp_path)
    (tmp_path / name).write_text((tmp_path / name).read_text()[:-1])
    with pytest.raises(BrokenBundle, match=name):
        read_bundle(tmp_path)


def test_a_schema_that_is_none_is_a_broken_bundle(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "schema.json").write_text("{}")
    with pytest.raises(BrokenBundle, match=r"schema\.json"):
        read_bundle(tmp_path)


def test_the_digest_follows_every_byte_and_every_name(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    _write(tmp_path / "b")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    (tmp_path / "b" / "model.keras").write_bytes(b"b network")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")
    (tmp_path / "a" / "model.keras").rename(tmp_path / "a" / "model.onnx")
    (tmp_path / "b" / "model.keras").write_bytes(b"a network")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_the_files_are_strict_json(tmp_path: Path) -> None:
    _write(tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for name in ("version.json", "reference.json", "golden.json"):
        json.loads((tmp_path / name).read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.True_, True),
        (np.float32("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2013-03-01"), "2013-03-01T00:00:00"),
        (datetime(2013, 3, 1, tzinfo=UTC), "2013-03-01T00:00:00+00:00"),
        ((1, "a", None), [1, "a", None]),
    ],
)
def test_a_value_of_a_frame_has_a_plain_form(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_a_value_without_a_form_in_json_is_named() -> None:
    with pytest.raises(TypeError, match=r"columns\.price: complex has no form"):
        plain({"columns": {"price": 1j}})
