"""What a user can get wrong: exit code 2, one clear message that names the place, and nothing left behind."""

from __future__ import annotations

import gzip
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.cli import main
from pipelines.registry import _make_database

ROWS = 60
Complaint = Callable[..., str]


def frame() -> pd.DataFrame:
    hours = pd.date_range("2021-01-01", periods=ROWS, freq="h")
    late = [place % 3 == 0 for place in range(ROWS)]
    return pd.DataFrame({"when": hours, "wind": range(ROWS), "late": [int(value) for value in late]})


SETTINGS = '[data]\npath = "rows.csv"\ntarget = "late"\ntime = "when"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in order; each test spoils one thing."""
    frame().to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "losswatch.toml").write_text(SETTINGS)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def complaint(folder: Path, capsys: pytest.CaptureFixture[str]) -> Complaint:
    """What a command says when it ends with 2; the folder must be as it was, and nothing is on stdout."""

    def of(*arguments: str) -> str:
        before = tree(folder)
        assert main([*arguments, "--project", str(folder)]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "Traceback" not in shown.err
        assert shown.err.startswith("losswatch: ")
        assert tree(folder) == before
        return shown.err.removeprefix("losswatch: ")

    return of


def settings(folder: Path, text: str) -> None:
    (folder / "losswatch.toml").write_text(text)


# --- the file ---


def write_cut_parquet(path: Path) -> None:
    frame().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])


def write_damaged_parquet(path: Path) -> None:
    frame().to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"\xff" * (len(content) - 200) + content[-192:])


FILES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("gone.csv", lambda path: None, "gone.csv does not exist"),
    "a folder": ("rows", lambda path: path.mkdir(), "rows is a folder"),
    "empty": ("none.csv", lambda path: path.write_text(""), "none.csv is empty (0 bytes)"),
    "white": ("none.csv", lambda path: path.write_text(" \n\n"), "none.csv is empty"),
    "a heading alone": ("head.csv", lambda path: path.write_text("when,wind,late\n"), "no rows"),
    "numbers without names": ("bare.csv", lambda path: path.write_text("1,2\n3,4\n"), "no column names"),
    "cut in a row": (
        "cut.csv",
        lambda path: path.write_text("when,wind,late\n2021-01-01,1,0\n2021-01-02,2,1\n2021-01"),
        "line 4 has 1 values, expected 3. The file seems to be cut off",
    ),
    "cut in a quote": (
        "cut.csv",
        lambda path: path.write_text('when,wind,late\n2021-01-01,1,0\n"2021-01-02,2,1\n'),
        "a quote in line 3 is never closed",
    ),
    "cut Parquet": ("cut.parquet", write_cut_parquet, "the end of a Parquet file is missing"),
    "damaged Parquet": ("bad.parquet", write_damaged_parquet, "bad.parquet is a damaged Parquet file"),
    "Parquet called CSV": ("rows2.csv", lambda path: frame().to_parquet(path), "is a Parquet file"),
    "CSV called Parquet": (
        "rows.parquet",
        lambda path: frame().to_csv(path),
        "is not the Parquet file that its name promises",
    ),
    "packed": ("rows.csv.gz", lambda path: path.write_bytes(gzip.compress(b"a,b\n1,2\n")), "gzip"),
    "an image": ("rows.csv2", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0"), "is not text"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("command", ["prepare", "train", "replay"])
def test_a_file_that_is_none_is_named(command: str, case: str, folder: Path, complaint: Complaint) -> None:
    name, write, expected = FILES[case]
    write(folder / name)
    settings(folder, SETTINGS.replace("rows.csv", name))
    shown = complaint(command)
    assert expected in shown
    assert str(folder / name) in shown


def test_a_slip_in_the_name_is_seen(folder: Path, complaint: Complaint) -> None:
    settings(folder, SETTINGS.replace("rows.csv", "row.csv"))
    assert "the nearest beside it is 'rows.csv'" in complaint("prepare")


# --- the columns ---


def test_columns_that_are_missing_are_told_together(folder: Path, complaint: Complaint) -> None:
    text = SETTINGS.replace('"late"', '"lat"').replace('"when"', '["when", "hour"]') + 'drop = ["wnd"]\n'
    settings(folder, text)
    shown = complaint("prepare")
    assert "no target column 'lat'; did you mean 'late'?" in shown or "'lat'" in shown
    assert "no time column 'hour'" in shown
    assert "no drop column 'wnd'" in shown
    assert "'late'" in shown


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda rows: rows.assign(late=1), "target 'late' is 1 in every row"),
        (lambda rows: rows.assign(late=None), f"target 'late' is missing in all {ROWS} rows"),
        (lambda rows: rows.assign(when="soon"), "time 'when'"),
        (lambda rows: rows.assign(when=rows["when"].astype(str).where(rows.index != 7)), "row 8"),
        (lambda rows: rows.assign(when=rows["when"].astype(str).where(rows.index != 7, "soon")), "row 8"),
        (lambda rows: rows.assign(when=range(ROWS)), "time column 'when' holds numbers from 0 to 59"),
        (lambda rows: rows[["when", "late"]], "no column left to learn from"),
        (lambda rows: rows.set_axis(["when", "late", "late"], axis=1), "two columns called 'late'"),
    ],
    ids=["one class", "no target", "no time", "a hole", "a word", "numbers", "nothing to learn", "twice"],
)
@pytest.mark.parametrize("command", ["prepare", "replay"])
def test_columns_that_cannot_be_used_are_named(
    command: str,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    expected: str,
    folder: Path,
    complaint: Complaint,
) -> None:
    spoil(frame()).to_csv(folder / "rows.csv", index=False)
    assert expected in complaint(command)


def test_a_day_that_may_be_a_month_has_to_be_explained(folder: Path, complaint: Complaint) -> None:
    rows = frame().assign(when=[f"{1 + place % 9:02}/{1 + place % 7:02}/2021" for place in range(ROWS)])
    rows.to_csv(folder / "rows.csv", index=False)
    assert "data.time_format" in complaint("prepare")


def test_a_format_that_does_not_fit_is_told_with_the_row(folder: Path, complaint: Complaint) -> None:
    settings(folder, SETTINGS + 'time_format = "%d.%m.%Y"\n')
    shown = complaint("prepare")
    assert "'%d.%m.%Y'" in shown
    assert "row 1" in shown


def test_rows_without_a_time_cannot_be_judged_in_windows(folder: Path, complaint: Complaint) -> None:
    settings(folder, SETTINGS.replace('time = "when"\n', 'drop = ["when"]\n'))
    for command in ("prepare", "train", "replay"):
        assert "[data] names no time" in complaint(command)


def test_a_replay_must_leave_rows_on_both_sides_of_its_cut(folder: Path, complaint: Complaint) -> None:
    settings(folder, SETTINGS + "[replay]\ntrain_until = 2022-01-01\n")
    assert "[replay] no row lies from 2022-01-01" in complaint("replay")
    settings(folder, SETTINGS + "[replay]\ntrain_until = 2021-01-02\nuntil = 2021-01-01\n")
    assert "until must be later than train_until" in complaint("replay")


# --- init ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "gone.csv", "--target", "late", "--time", "when"], "gone.csv does not exist"),
        (["--data", "rows.csv", "--target", "lte", "--time", "when"], "'lte'"),
        (["--data", "rows.csv", "--target", "late", "--time", "whn"], "'whn'"),
        (["--data", "rows.csv", "--target", "late"], "when did the rows happen?"),
        (["--data", "rows.csv", "--target", "late", "--start", "soon", "--step", "1 h"], "--start 'soon'"),
        (
            ["--data", "rows.csv", "--target", "late", "--start", "2021-01-01", "--step", "0 h"],
            "--step '0 h'",
        ),
        (["--data", "rows.csv", "--target", "late", "--time", "when", "--drop", "wnd"], "'wnd'"),
        (["--data", "rows.csv", "--target", "when", "--time", "when"], "target 'when' is also named"),
    ],
)
def test_a_project_is_not_begun_with_a_mistake(
    arguments: list[str],
    expected: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    before = tree(folder)
    assert main(["init", "mine", *arguments]) == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert tree(folder) == before


# --- the project file ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[data\n", "is not TOML"),
        (SETTINGS.replace("target", "taget"), "taget"),
        (SETTINGS + "[monitor]\nwindow = 'fortnight'\n", "fortnight"),
        (SETTINGS + "[moniter]\nwindow = 'day'\n", "unknown section"),
        (SETTINGS + "[serve]\nport = 123456\n", "123456"),
        (SETTINGS + "[network]\nhidden = 'many'\n", "many"),
        (SETTINGS + "[network]\nloss = 'mean_square_error'\n", "the nearest is 'mean_squared_error'"),
        (SETTINGS + "[replay]\ntrain_share = 1.5\n", "1.5"),
        (SETTINGS + "[schedule]\nmonitor = 'hourly'\n", "hourly"),
        (SETTINGS + "[alerts]\nwebhook = 'https://example.org'\n", "webhook"),
    ],
)
def test_a_fault_of_the_project_file_is_told_with_its_key(
    text: str, expected: str, folder: Path, complaint: Complaint
) -> None:
    settings(folder, text)
    shown = complaint("prepare")
    assert expected in shown
    assert str(folder / "losswatch.toml") in shown


def test_all_faults_of_the_project_file_are_told_at_once(folder: Path, complaint: Complaint) -> None:
    settings(folder, '[data]\npath = 7\ntarget = ""\ntme = "when"\n[serve]\nport = "x"\n')
    shown = complaint("train")
    assert "faults:" in shown
    assert all(key in shown for key in ("path", "target", "tme", "port"))


def test_code_that_is_not_there_is_named(folder: Path, complaint: Complaint) -> None:
    (folder / "mine.py").write_text("def rows():\n    return 7\n")
    text = SETTINGS.replace('path = "rows.csv"', 'load = "mine:{}"')
    for name, expected in (
        ("row", "'row'"),
        ("rows", "returned int, expected a pandas DataFrame"),
    ):
        settings(folder, text.format(name))
        assert expected in complaint("prepare")
        for cache in folder.glob("__pycache__/*"):
            cache.unlink()
    settings(folder, text.replace("mine:", "mein:").format("rows"))
    assert "there is no mein.py" in complaint("prepare")


def test_what_cannot_be_evaluated_is_told(folder: Path, complaint: Complaint) -> None:
    assert "has no version yet. Train one with losswatch train" in complaint("evaluate")
    for option in ("--bias-variance", "--learning-curve"):
        assert main(["evaluate", option, "1", "--project", str(folder)]) == 2


# --- what runs already, and what others wrote ---


def test_a_port_in_use_is_told(folder: Path, complaint: Complaint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings(folder, SETTINGS + f"[serve]\nport = {port}\n")
        shown = complaint("serve")
        assert f"port = {port}" in shown
        assert "Set another port" in shown


def test_an_open_address_without_a_token_is_refused(
    folder: Path, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOSSWATCH_TOKEN", raising=False)
    settings(folder, SETTINGS + '[serve]\nhost = "0.0.0.0"\n')
    assert "0.0.0.0" in complaint("serve")


@pytest.mark.parametrize("command", ["status", "monitor", "retrain", "rollback", "train"])
def test_a_log_of_another_version_is_left_alone(command: str, folder: Path, complaint: Complaint) -> None:
    log = folder / ".losswatch" / "log"
    log.mkdir(parents=True)
    (log / "version").write_text("99\n")
    shown = complaint(command)
    assert "a log of version '99'" in shown
    assert str(log) in shown


@pytest.mark.parametrize("command", ["monitor", "retrain", "rollback"])
def test_nothing_serves_yet_is_told(command: str, folder: Path, complaint: Complaint) -> None:
    assert "losswatch promote --first" in complaint(command)


@pytest.mark.slow
def test_an_mlflow_store_of_another_version_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = folder / ".losswatch"
    state.mkdir()
    _make_database(state / "mlflow.db")
    store = sqlite3.connect(state / "mlflow.db")
    store.execute("update alembic_version set version_num = '0123456789ab'")
    store.commit()
    store.close()
    before = (state / "mlflow.db").read_bytes()
    assert main(["status", "--project", str(folder)]) == 2
    shown = capsys.readouterr().err
    assert "was written by another version of MLflow" in shown
    assert "mlflow db upgrade" in shown
    assert (state / "mlflow.db").read_bytes() == before


@pytest.mark.slow
def test_a_store_that_is_no_database_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = folder / ".losswatch"
    state.mkdir()
    (state / "mlflow.db").write_text("not a database, only a note of mine")
    assert main(["status", "--project", str(folder)]) == 2
    assert "mlflow.db cannot be opened as an MLflow store" in capsys.readouterr().err
    assert (state / "mlflow.db").read_text().startswith("not a database")
