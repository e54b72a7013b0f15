import dataclasses
import json
import typing
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import (
    SECTIONS,
    ConfigError,
    ProjectConfig,
    check_tables,
    config_identity,
    describe,
    known_keys,
    load_project,
)
from pipelines.errors import UserError

SMALLEST: dict[str, Any] = {"data": {"target": "cnt", "path": "bikes.csv"}}
HERE = Path("bikes/losswatch.toml")


def checked(**sections: Any) -> ProjectConfig:
    """The smallest project with more sections, or more keys in its [data]."""
    data = {**SMALLEST["data"], **sections.pop("data", {})}
    return check_tables({"data": data, **sections}, HERE)


def faults(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        checked(**sections)
    return [str(fault) for fault in error.value.faults]


def write(folder: Path, text: str) -> Path:
    (folder / "losswatch.toml").write_text(text, encoding="utf-8")
    return folder


# --- what is read ---


def test_the_smallest_project_names_a_target_and_a_file(tmp_path: Path) -> None:
    config = load_project(write(tmp_path, '[data]\ntarget = "cnt"\npath = "bikes.csv"\n'))
    assert (config.data.target, config.data.path, config.data.label_delay) == (
        "cnt",
        "bikes.csv",
        timedelta(0),
    )


def test_a_file_saved_by_windows_notepad_is_read(tmp_path: Path) -> None:
    text = '﻿[data]\r\ntarget = "cnt"\r\npath = "bikes.csv"\r\n'
    (tmp_path / "losswatch.toml").write_bytes(text.encode())
    assert load_project(tmp_path).data.target == "cnt"


def test_the_name_is_that_of_the_folder_unless_written() -> None:
    assert checked().project.name == "bikes"
    assert checked(project={"name": "rides"}).project.name == "rides"


def test_a_folder_whose_name_is_no_name_gives_one_all_the_same() -> None:
    assert check_tables(SMALLEST, Path("/my data!/losswatch.toml")).project.name == "my-data"
    assert check_tables(SMALLEST, Path("/losswatch.toml")).project.name == "project"


def test_one_time_column_may_stand_without_brackets() -> None:
    assert checked(data={"time": "day"}).data.time == ("day",)
    assert checked(data={"time": ["day", "hr"]}).data.time == ("day", "hr")


def test_dates_are_read_in_utc_from_toml_and_from_text() -> None:
    expected = datetime(2013, 3, 1, tzinfo=UTC)
    for written in (date(2013, 3, 1), datetime(2013, 3, 1), "2013-03-01", "2013-03-01T02:00:00+02:00"):
        assert checked(replay={"train_until": written}).replay.train_until == expected


def test_durations_are_read() -> None:
    data = checked(data={"start": "2013-01-01", "step": "30 min", "label_delay": "1d"}).data
    assert (data.step, data.label_delay) == (timedelta(minutes=30), timedelta(days=1))


def test_the_network_takes_lists_and_a_function_to_build_it() -> None:
    config = checked(network={"hidden": [32, 8], "build": "mine:network", "loss": "mine:loss", "dropout": 0})
    assert (config.network.hidden, config.code.build, config.network.loss) == (
        (32, 8),
        "mine:network",
        "mine:loss",
    )
    assert config.network.dropout == 0.0


# --- what is refused ---


def test_all_faults_are_told_together_with_the_file() -> None:
    with pytest.raises(ConfigError) as error:
        check_tables({"data": {"taget": "x", "path": 3}, "serve": {"port": 70000}}, HERE)
    assert str(error.value).splitlines() == [
        "bikes/losswatch.toml has 4 faults:",
        "  [data] taget: unknown key; the nearest is 'target'",
        '  [data] target: missing. Write e.g. target = "cnt"',
        '  [data] path = 3: expected a text in quotes, e.g. "cnt", came a whole number',
        "  [serve] port = 70000: out of range. Write a value from 1 to 65535",
    ]


def test_an_unknown_section_is_told_with_the_nearest() -> None:
    assert faults(srve={"port": 1}) == ["[srve]: unknown section; the nearest is 'serve'"]


def test_a_key_in_another_section_is_sent_home() -> None:
    assert faults(data={"port": 1}) == ["[data] port: unknown key; [serve] has one of this name"]
    assert faults(port=1) == ["[port]: stands outside of its section. Write it below [serve]"]


def test_a_section_that_is_a_value_is_told_once() -> None:
    assert faults(network=3) == ["[network]: is a section, not a value. Write [network] on a line of its own"]


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("network", "epochs", True, "expected a whole number, e.g. 64, came true or false"),
        ("network", "epochs", 4.5, "expected a whole number, e.g. 64, came a number"),
        ("network", "epochs", -1, "out of range"),
        ("network", "dropout", "0.1", "expected a number, e.g. 0.5, came a text"),
        ("network", "dropout", float("nan"), "not a finite number"),
        ("network", "dropout", 10**400, "not a finite number"),
        ("network", "hidden", [64, 0], "out of range"),
        ("network", "hidden", [0.5], "expected a whole number"),
        ("network", "optimizer", "adm", 'the nearest is "adam"'),
        ("network", "build", "mine", 'Write "module:function"'),
        ("evaluate", "slices", ["carrier *"], "not a slice. Write columns as in"),
        ("evaluate", "slices", ["a * a"], "names a column twice"),
        ("evaluate", "baselines", ["treees"], 'the nearest is "trees"'),
        ("evaluate", "metrics", "profit", 'Write "module:function"'),
        ("evaluate", "at_most", 0, "out of range"),
        ("data", "test_share", 0.6, "out of range"),
        ("data", "target", "", "empty"),
        ("data", "time", [1], "expected a text"),
        ("data", "label_delay", "-1d", "not a duration"),
        ("data", "label_delay", 7, 'expected a duration in quotes, e.g. "7d", came a whole number'),
        ("monitor", "window", "7x", 'Write "hour", "day", "week", "month"'),
        ("monitor", "window", "0d", 'Write "hour", "day", "week", "month"'),
        ("schedule", "monitor", "61 * * * *", "not a cron line"),
        ("schedule", "monitor", "* * * *", "not a cron line"),
        ("schedule", "monitor", "*/0 * * * *", "not a cron line"),
        ("project", "name", "a/b", "not a name"),
        ("project", "seed", -1, "out of range"),
        ("replay", "train_until", 2013, "expected a date, e.g. 2013-03-01, came a whole number"),
        ("replay", "train_share", 1, "out of range"),
        ("alarm", "tolerance", "much", "expected a number"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(
    section: str, key: str, value: Any, expected: str
) -> None:
    (fault,) = faults(**{section: {key: value}})
    assert fault.startswith(f"[{section}] {key} = ")
    assert expected in fault


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 6-20 * * 1-5", "5,35 * 1 1,7 0"])
def test_cron_lines_are_known(cron: str) -> None:
    assert checked(schedule={"monitor": cron}).schedule.monitor == cron


def test_a_slice_has_its_own_limit_or_that_of_all() -> None:
    found = checked(
        evaluate={"slices": ["kind", "age: 3 bins, at_most 2"], "at_most": 1.2}
    ).evaluate.slice_wishes()
    assert [(wish.name, wish.at_most) for wish in found] == [("kind", 1.2), ("age: 3 bins", 2.0)]


def test_path_and_load_exclude_each_other_and_one_is_needed() -> None:
    assert faults(data={"load": "mine:load"}) == [
        "[data] load: path and load are both written. Keep one of them"
    ]
    with pytest.raises(ConfigError, match='Write path = "FILE" or load = "module:function"'):
        check_tables({"data": {"target": "cnt"}}, HERE)


def test_time_and_start_exclude_each_other() -> None:
    (fault,) = faults(data={"time": "day", "start": "2013-01-01", "step": "1h"})
    assert "time and start are both written" in fault


def test_start_and_step_need_each_other() -> None:
    assert "missing beside start" in faults(data={"start": "2013-01-01"})[0]
    assert "missing beside step" in faults(data={"step": "1h"})[0]


def test_a_time_format_needs_a_time() -> None:
    assert "which is missing" in faults(data={"time_format": "%Y"})[0]


def test_a_group_and_its_split_need_each_other() -> None:
    assert faults(data={"split": "group"}) == [
        '[data] group: missing beside split = "group". Name the column whose rows stay together'
    ]
    assert faults(data={"group": "customer"}) == [
        '[data] group: goes with split = "group". Write it, or leave group out'
    ]
    assert checked(data={"group": "customer", "split": "group"}).data.group == "customer"
    assert "target 'cnt' is also named in group" in faults(data={"group": "cnt", "split": "group"})[0]


def test_train_until_and_train_share_exclude_each_other() -> None:
    (fault,) = faults(replay={"train_until": "2013-03-01", "train_share": 0.3})
    assert fault == "[replay] train_share: train_until and train_share are both written. Keep one of them"


def test_a_replay_must_end_after_its_training() -> None:
    (fault,) = faults(replay={"train_until": "2013-03-01", "until": "2013-02-01"})
    assert fault.startswith("[replay]: until must be later than train_until")


def test_the_target_is_neither_time_nor_dropped() -> None:
    assert "is also named in time, drop or key" in faults(data={"drop": ["cnt"]})[0]
    assert "names a column twice" in faults(data={"time": ["day", "day"]})[0]


# --- secrets ---


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("alerts", "webhook", "https://example.org/hooks/s3cret"),
        ("alerts", "webhok", "s3cret"),
        ("store", "tracking", "postgresql://me:s3cret@db/mlflow"),
        ("store", "tracking", ["s3cret"]),
    ],
)
def test_a_secret_is_refused_and_never_shown(section: str, key: str, value: Any) -> None:
    (fault,) = faults(**{section: {key: value}})
    assert "s3cret" not in fault


def test_a_secret_may_be_named() -> None:
    config = checked(alerts={"webhook": "env:HOOK"}, store={"tracking": "file:uri.txt", "log": "s3://b/log"})
    assert (config.alerts.webhook, config.store.tracking) == ("env:HOOK", "file:uri.txt")


# --- the file itself ---


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"losswatch\.toml does not exist.*--project.*losswatch init"):
        load_project(tmp_path)


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not TOML: .*line 2"):
        load_project(write(tmp_path, '[data]\ntarget = "cnt\n'))


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not TOML"):
        load_project(write(tmp_path, "a = " + "[" * 100_000))


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "losswatch.toml").write_bytes(b"[data]\xff")
    with pytest.raises(UserError, match=r"not UTF-8 text \(byte 6\)"):
        load_project(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="larger than 1,000,000 bytes"):
        load_project(write(tmp_path, "#" * 1_000_001))


# --- the whole form ---

ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
KEYS = {section: st.sampled_from((*keys, "odd")) for section, keys in known_keys().items()}
TABLES = st.fixed_dictionaries(
    {},
    optional={
        section: st.dictionaries(keys, ANY_VALUE, max_size=4) | ANY_VALUE for section, keys in KEYS.items()
    },
)


@settings(max_examples=300)
@given(TABLES)
def test_any_table_is_read_or_refused_never_a_crash(tables: dict[str, Any]) -> None:
    with suppress(ConfigError):
        assert check_tables(tables, HERE).data.target


def test_every_key_is_described() -> None:
    docs = {doc.key: doc for doc in describe()}
    assert set(docs) == {f"{section}.{key}" for section, keys in known_keys().items() for key in keys}
    assert all(doc.doc and doc.type and doc.example for doc in docs.values())
    assert (docs["data.target"].default, docs["serve.port"].default) == (None, "8000")


def test_every_record_has_its_place_in_the_project() -> None:
    hints = typing.get_type_hints(ProjectConfig)
    assert {name: record for name, (_, record) in SECTIONS.items()} == hints


def test_every_key_belongs_to_one_record() -> None:
    assert all(len(set(keys)) == len(keys) for keys in known_keys().values())


# --- identity ---


def test_the_identity_is_that_of_what_is_computed() -> None:
    first = config_identity(checked())
    assert first == config_identity(checked(serve={"port": 81}, store={"log": "elsewhere"}))
    assert first != config_identity(checked(network={"epochs": 3}))
    assert first != config_identity(checked(data={"label_delay": "1h"}))
    assert len(first) == 16
    int(first, 16)


def test_a_config_goes_to_json() -> None:
    assert json.dumps(dataclasses.asdict(checked()), default=str)
