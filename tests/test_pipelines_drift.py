"""`losswatch drift`: the same answer from every kind of file, and faults that are told."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from monitoring.bins import reference_bins
from monitoring.profile import merge_all, profile
from pipelines import drift as module
from pipelines.cli import main
from pipelines.drift import batches, counted_reference, drift, open_table
from pipelines.errors import UserError

ROWS = 3000


def _frame(seed: int, rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"heat": rng.normal(size=rows), "kind": rng.choice(["a", "b", "c"], rows)})
    frame["count"] = rng.poisson(3, rows)
    frame["warm"] = frame["heat"] > 0
    frame["when"] = pd.date_range("2021-01-01", periods=rows, freq="h")
    frame.loc[::50, "heat"] = np.nan
    frame.loc[::40, "kind"] = None
    return frame


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    _frame(0).to_parquet(folder / "before.parquet", row_group_size=500)
    _frame(1).to_parquet(folder / "same.parquet")
    moved = _frame(2).assign(heat=lambda frame: frame.heat + 0.6).drop(columns="warm").assign(new=1)
    moved.to_parquet(folder / "moved.parquet", row_group_size=700)
    moved.to_csv(folder / "moved.csv", index=False)
    (folder / "parts").mkdir()
    for part, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
        moved.iloc[rows].to_parquet(folder / "parts" / f"{part}.parquet")
    from deltalake import write_deltalake

    write_deltalake(str(folder / "delta"), pa.Table.from_pandas(moved, preserve_index=False))
    return folder


def test_tables_of_one_source_are_not_told_apart(tables: Path) -> None:
    found = drift(tables / "before.parquet", tables / "same.parquet")
    assert (found.verdict, found.rows) == ("no shift", (ROWS, ROWS))
    assert [column.name for column in found.columns] == ["heat", "kind", "count", "warm"]
    assert found.left_out == ("when",)
    assert found.lines()[-1].startswith("no shift: 0 of 4 columns, 3,000 and 3,000 rows, in ")


def test_what_moved_and_what_only_one_has_is_named(tables: Path) -> None:
    found = drift(tables / "before.parquet", tables / "moved.parquet")
    assert found.verdict == "shift"
    assert [column.name for column in found.columns if column.verdict == "shift"] == ["heat"]
    assert (found.only_reference, found.only_current) == (("warm",), ("new",))
    heat = found.columns[0]
    assert heat.jensen_shannon > heat.threshold
    assert heat.kolmogorov_smirnov is not None
    assert heat.kolmogorov_smirnov[1] <= heat.kolmogorov_smirnov[0] <= heat.kolmogorov_smirnov[2]
    told = "\n".join(found.lines())
    assert f"only in {tables / 'moved.parquet'}: new" in told


@pytest.mark.parametrize("name", ["moved.csv", "parts", "delta"])
def test_every_kind_of_file_gives_the_same(tables: Path, name: str) -> None:
    ours, theirs = (drift(tables / "before.parquet", tables / each) for each in (name, "moved.parquet"))
    assert [column.name for column in ours.columns] == [column.name for column in theirs.columns]
    for one, other in zip(ours.columns, theirs.columns, strict=True):
        assert one.jensen_shannon == pytest.approx(other.jensen_shannon, abs=1e-12)
        assert (one.verdict, one.degrees) == (other.verdict, other.degrees)


def test_batches_and_blocks_change_nothing(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drift(tables / "before.parquet", tables / "moved.parquet")
    monkeypatch.setattr(module, "BATCH", 97)
    parts = drift(tables / "before.parquet", tables / "moved.parquet")
    for one, other in zip(whole.columns, parts.columns, strict=True):
        assert one.jensen_shannon == pytest.approx(other.jensen_shannon, abs=1e-12)
        assert (one.name, one.threshold, one.chi_squared) == (
            other.name,
            pytest.approx(other.threshold),
            pytest.approx(other.chi_squared),
        )


def test_cells_suit_the_whole_reference_where_its_first_rows_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    level = np.repeat([0.0, 50.0], ROWS // 2)  # the first half of the file lies elsewhere
    rows = pd.DataFrame({"heat": rng.normal(level), "flat": rng.normal(size=ROWS)})
    rows.to_parquet(tmp_path / "rows.parquet")
    opened = open_table(tmp_path / "rows.parquet")
    told: list[str] = []
    monkeypatch.setattr(module, "LEARNED", 500)
    for names, again in ((["flat"], False), (["flat", "heat"], True)):
        told.clear()
        counted = merge_all(counted_reference(opened, names, told.append))
        assert any("again" in text for text in told) is again
        assert max(max(column.counts) for column in counted.columns) < 0.1 * ROWS
        assert counted.rows == ROWS


def test_a_file_of_many_small_groups_is_read_whole(tmp_path: Path) -> None:
    _frame(0).to_parquet(tmp_path / "rows.parquet", row_group_size=7)
    opened = open_table(tmp_path / "rows.parquet")
    assert merge_all(counted_reference(opened, ["heat"], lambda text: None)).rows == ROWS


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 3, 3], pa.int64()),
        pa.array([1, 2, 3, 3], pa.uint8()),
        pa.array([0.5, None, float("nan"), 3.0], pa.float32()),
        pa.array([0.5, 1.5, float("inf"), None], pa.float64()),
        pa.array([True, None, False, True]),
        pa.array([Decimal("1.25"), None, Decimal(3), Decimal(3)], pa.decimal128(12, 2)),
        pa.array(["a", None, "b", "a"]),
        pa.array(["a", None, "b", "a"], pa.large_string()),
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.array([None, None, None, None], pa.string()),
    ],
    ids=lambda column: str(column.type),
)
def test_every_type_of_arrow_is_counted_as_its_values_are(column: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"x": pa.concat_arrays([column, column.slice(1)])}), path)
    values = [*column.to_pylist(), *column.to_pylist()[1:]]
    values = [float(value) if isinstance(value, Decimal | bool) else value for value in values]
    bins = reference_bins({"x": values})
    counted = [profile(batch, bins) for batch in batches(open_table(path), ["x"])]
    assert merge_all(counted) == profile({"x": values}, bins)


def test_only_the_columns_asked_for_are_compared(tables: Path) -> None:
    found = drift(tables / "before.parquet", tables / "moved.parquet", columns=["kind", "count"])
    assert {column.name for column in found.columns} == {"kind", "count"}
    assert (found.verdict, found.only_reference, found.only_current) == ("no shift", (), ())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("before.parquet", "nowhere.parquet"), "nowhere.parquet does not exist"),
        (("before.parquet", "befor.parquet"), "before.parquet"),
        (("empty.csv", "before.parquet"), "empty.csv"),
    ],
)
def test_files_that_are_none_are_told(tables: Path, names: tuple[str, str], told: str) -> None:
    (tables / "empty.csv").write_text("")
    with pytest.raises(UserError, match=told):
        drift(*(tables / name for name in names))


def test_tables_without_a_common_column_are_refused(tables: Path, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"other": [1, 2]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="have no column in common that could be compared: heat, kind"):
        drift(tables / "before.parquet", tmp_path / "other.parquet")


def test_a_column_that_neither_has_is_refused_with_the_nearest(tables: Path) -> None:
    with pytest.raises(UserError, match=r"neither table has 'haet'.*'heat'"):
        drift(tables / "before.parquet", tables / "moved.parquet", columns=["haet"])


def test_one_infinite_number_changes_no_verdict(tables: Path, tmp_path: Path) -> None:
    frame = _frame(1)
    frame.loc[7, "heat"] = np.inf
    frame.to_parquet(tmp_path / "inf.parquet")
    assert drift(tables / "before.parquet", tmp_path / "inf.parquet").verdict == "no shift"


def test_text_where_numbers_were_is_a_fault(tables: Path, tmp_path: Path) -> None:
    _frame(1).assign(heat="warm").to_parquet(tmp_path / "text.parquet")
    found = drift(tables / "before.parquet", tmp_path / "text.parquet")
    assert (found.verdict, found.columns[0].name) == ("data fault", "heat")
    assert "invalid" in found.columns[0].evidence


def _run(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(("flag", "expected"), [((), 0), (("--fail-on-drift",), 1)])
def test_drift_fails_the_command_only_where_asked(
    tables: Path, capsys: Any, flag: tuple[str, ...], expected: int
) -> None:
    code, said, _ = _run(capsys, "drift", tables / "before.parquet", tables / "moved.parquet", *flag)
    assert code == expected
    assert "heat" in said


def test_without_drift_the_command_does_not_fail(tables: Path, capsys: Any) -> None:
    code, _, _ = _run(capsys, "drift", tables / "before.parquet", tables / "same.parquet", "--fail-on-drift")
    assert code == 0


def test_the_json_file_has_every_figure(tables: Path, tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "drift.json"
    code, _, _ = _run(capsys, "drift", tables / "before.parquet", tables / "moved.parquet", "--json", target)
    found = json.loads(target.read_text())
    assert code == 0
    assert (found["verdict"], found["rows"]) == ("shift", [ROWS, ROWS])
    assert found["columns"][0]["name"] == "heat"
    assert len(found["columns"][0]["wasserstein"]) == 3


def test_a_mistake_is_one_line_and_exit_code_2(tables: Path, capsys: Any) -> None:
    code, said, complaint = _run(capsys, "drift", tables / "before.parquet", tables / "nowhere")
    assert (code, said) == (2, "")
    assert "does not exist" in complaint


def test_two_parquet_files_are_compared_without_heavy_libraries(tables: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.drift import drift; "
        f"drift(Path({str(tables / 'before.parquet')!r}), Path({str(tables / 'moved.parquet')!r})); "
        "print([name for name in ('pandas', 'scipy.stats', 'sklearn', 'tensorflow', 'mlflow', 'evidently') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_parquet_file_that_is_cut_off_is_told(tables: Path, tmp_path: Path, share: float) -> None:
    content = (tables / "moved.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"cut\.parquet is a damaged Parquet file"):
        drift(tables / "before.parquet", tmp_path / "cut.parquet")


def _signs(path: Path, seed: int, *, twisted: bool) -> Path:
    """Three columns: where twisted, the sign of the third is the product of the others'; no pair shows it."""
    rng = np.random.default_rng(seed)
    one, two, three = rng.normal(size=(3, 1200))
    three = np.abs(three) * np.sign(one * two) if twisted else three
    kind = rng.choice(["a", "b"], 1200)
    pd.DataFrame({"one": one, "two": two, "three": three, "kind": kind}).to_parquet(path)
    return path


def test_a_classifier_sees_what_no_column_shows_and_changes_no_verdict(tmp_path: Path) -> None:
    before, after = (_signs(tmp_path / f"{seed}.parquet", seed, twisted=bool(seed)) for seed in range(2))
    found = drift(before, after, joint=True, fail=True)
    assert found.verdict == "no shift"
    assert not found.failed
    assert found.joint is not None
    assert found.joint.separation > 0.6
    assert found.joint.p_value < 0.001
    assert found.joint.text in found.lines()
    assert drift(before, after).joint is None


def test_joint_is_an_option_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = _signs(tmp_path / "same.parquet", 0, twisted=False)
    other = _signs(tmp_path / "other.parquet", 5, twisted=False)
    assert main(["drift", str(same), str(other), "--joint", "--json", str(tmp_path / "found.json")]) == 0
    assert "a classifier tells reference and current rows apart at 0." in capsys.readouterr().out
    joint = json.loads((tmp_path / "found.json").read_text("utf-8"))["joint"]
    assert joint["rows"] == [1200, 1200]
    assert joint["p_value"] > 0.001


def test_few_rows_ask_no_classifier(tmp_path: Path) -> None:
    pd.DataFrame({"x": np.arange(60.0)}).to_parquet(tmp_path / "few.parquet")
    assert drift(tmp_path / "few.parquet", tmp_path / "few.parquet", joint=True).joint is None
