import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.cli import main
from pipelines.config import SECTIONS, known_keys, load_project
from pipelines.errors import UserError
from pipelines.init import InitResult, Wish, init
from pipelines.section import read_section
from pipelines.sources import read


@pytest.fixture
def rides(tmp_path: Path) -> Path:
    """Three weeks of hours with a count, a word, missing values, and a column that gives the count away."""
    random = np.random.default_rng(0)
    hours = pd.date_range("2013-01-01", periods=24 * 21, freq="h")
    count = random.integers(0, 500, len(hours))
    frame = pd.DataFrame(
        {
            "id": range(len(hours)),
            "day": hours.strftime("%m/%d/%Y"),
            "hr": hours.hour,
            "sky": random.choice(["clear", "cloudy"], len(hours)),
            "temp": np.where(random.random(len(hours)) < 0.25, np.nan, random.normal(size=len(hours))),
            "cnt": count,
        }
    )
    path = tmp_path / "data" / "rides.csv"
    path.parent.mkdir()
    frame.to_csv(path, index=False)
    return path


def wish(path: Path, **more: Any) -> Wish:
    return Wish(**{"data": path, "target": "cnt", "time": ("day", "hr"), "drop": ("id",), **more})


def refusal(folder: Path, asked: Wish) -> str:
    with pytest.raises(UserError) as error:
        init(folder, asked)
    return str(error.value)


@pytest.fixture
def made(tmp_path: Path, rides: Path) -> InitResult:
    return init(tmp_path / "bikes", wish(rides))


# --- the file that is written ---


def test_the_written_project_opens_and_reads_the_same_rows(made: InitResult) -> None:
    config = load_project(made.path.parent)
    assert config.data.time == ("day", "hr")
    assert config.data.drop == ("id",)
    assert len(read(config.data, made.path.parent).ids) == 504


def test_the_path_is_written_as_seen_from_the_project(made: InitResult) -> None:
    assert load_project(made.path.parent).data.path == "../data/rides.csv"


def test_a_file_given_by_a_relative_path_is_found_from_the_project(
    tmp_path: Path, rides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init(Path("bikes"), wish(Path("data/rides.csv")))
    assert load_project(tmp_path / "bikes").data.path == "../data/rides.csv"


def test_every_key_is_there_with_its_sentence_and_can_be_uncommented(made: InitResult) -> None:
    text = made.path.read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    tables = tomllib.loads(uncommented)
    assert {section: set(table) for section, table in tables.items()} == {
        section: set(keys) for section, keys in known_keys().items()
    }
    faults = [
        fault
        for section, record in SECTIONS.values()
        for fault in read_section(section, tables[section], record)[1]
    ]
    assert faults == []


def test_only_what_was_asked_is_set(made: InitResult) -> None:
    tables = tomllib.loads(made.path.read_text(encoding="utf-8"))
    assert {section: set(table) for section, table in tables.items() if table} == {
        "data": {"target", "path", "time", "drop"}
    }


def test_a_file_without_a_time_column_gets_a_start_and_a_step(tmp_path: Path, rides: Path) -> None:
    asked = wish(rides, time=(), start="1996-05-07", step="30 min", drop=("id", "day"))
    found = init(tmp_path / "power", asked).found
    data = load_project(tmp_path / "power").data
    assert (data.start, data.time) == (datetime(1996, 5, 7, tzinfo=UTC), ())
    assert found.last == datetime(1996, 5, 17, 11, 30, tzinfo=UTC)


def test_a_time_format_is_written(tmp_path: Path, rides: Path) -> None:
    init(tmp_path / "bikes", wish(rides, time_format="%m/%d/%Y %H"))
    assert load_project(tmp_path / "bikes").data.time_format == "%m/%d/%Y %H"


# --- what is said ---


def test_what_was_found_is_said_aloud(made: InitResult) -> None:
    lines = made.lines()
    assert lines[0] == "504 rows from 2013-01-01 00:00 to 2013-01-21 23:00 UTC"
    assert lines[1] == "target 'cnt': a number (regression)"
    assert lines[2] == "inputs: 1 number (temp), 2 categories (hr, sky)"
    assert re.fullmatch(r"missing values in 1 columns: temp 2\d\.\d%", lines[3])
    assert lines[4].startswith("window: month")
    assert lines[-2:] == [f"wrote {made.path}", f"next: losswatch check --project {made.path.parent}"]


def test_classes_are_found_from_the_target(tmp_path: Path, rides: Path) -> None:
    lines = init(tmp_path / "sky", wish(rides, target="sky", drop=("id", "temp"))).lines()
    assert "target 'sky': 2 classes (clear, cloudy)" in lines
    assert "no missing values" in lines


def test_a_column_that_gives_the_target_away_is_reported(tmp_path: Path, rides: Path) -> None:
    frame = pd.read_csv(rides)
    frame.assign(twice=2 * frame["cnt"]).to_csv(rides, index=False)
    warnings = init(tmp_path / "bikes", wish(rides)).found.warnings
    assert any("twice" in warning for warning in warnings)


# --- what is refused, with nothing left behind ---


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"target": "cnnt"}, "has no target column 'cnnt'; the nearest is 'cnt'"),
        ({"time": ("dya", "hr")}, "has no time column 'dya'; the nearest is 'day'"),
        ({"drop": ("idd",)}, "has no drop column 'idd'; the nearest is 'id'"),
        ({"start": "2013-01-01"}, "--time and --start/--step were both given"),
        ({"time": ()}, "Give --time COLUMN, or --start and --step; 'day' looks like a time"),
        ({"time": (), "start": "2013-01-01"}, "Give --time COLUMN, or --start and --step"),
        ({"time": (), "start": "soon", "step": "1h"}, "--start 'soon': not a date"),
        ({"time": (), "start": "2013-01-01", "step": "7x"}, "--step '7x': not a duration"),
        ({"time": (), "start": "2013-01-01", "step": "0"}, "--step '0': expected more than 0"),
        (
            {"time": (), "start": "2013-01-01", "step": "1h", "time_format": "%Y"},
            "--time-format says how --time is written",
        ),
        ({"drop": ("cnt",)}, "target 'cnt' is also named in time, drop or key"),
        ({"time": ("temp",)}, "time 'temp' is missing in row"),
        ({"data": Path("no-such-file.csv")}, "does not exist"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(
    tmp_path: Path, rides: Path, more: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(tmp_path / "new" / "bikes", wish(rides, **more))
    assert not (tmp_path / "new").exists()


def test_a_column_that_no_network_can_take_is_a_users_mistake(tmp_path: Path, rides: Path) -> None:
    frame = pd.read_csv(rides)
    frame.assign(seen="2013-01-01 10:00:00").to_csv(rides, index=False)
    assert "seen" in refusal(tmp_path / "bikes", wish(rides))


def test_a_project_file_is_never_overwritten(made: InitResult, rides: Path) -> None:
    before = made.path.read_text(encoding="utf-8")
    assert "exists already" in refusal(made.path.parent, wish(rides))
    assert made.path.read_text(encoding="utf-8") == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, rides: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert "cannot be written" in refusal(tmp_path / "file" / "bikes", wish(rides))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]


def test_a_full_disk_leaves_no_folder(tmp_path: Path, rides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    assert "No space left on device" in refusal(tmp_path / "new" / "bikes", wish(rides))
    assert not (tmp_path / "new").exists()


# --- the command ---


def test_the_command_takes_a_folder_columns_and_drops(
    tmp_path: Path, rides: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(rides), "--target", "cnt", "--time", "day", "hr", "--drop", "id, temp"]
    assert main(["init", str(tmp_path / "bikes"), *arguments]) == 0
    assert "wrote" in capsys.readouterr().out
    assert load_project(tmp_path / "bikes").data.drop == ("id", "temp")
    assert main(["init", "--project", str(tmp_path / "other"), *arguments]) == 0
    assert main(["init", *arguments]) == 2
    assert "name the folder of the new project once" in capsys.readouterr().err
