"""Which of several labels holds: a function of the set of labels, checked against a reckoning with dictionaries."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipelines.arrival import ArrivingLabel
from pipelines.label_rows import arrived_labels, events_of, label_rows, truth
from pipelines.log import Log
from pipelines.moments import microseconds
from pipelines.plain_columns import objects_of

START = datetime(2013, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = microseconds(START)


@dataclass(frozen=True)
class Told:
    """One label as somebody sent it. about: an id, or a key where `keyed`; times in days."""

    about: str
    value: Any
    known_at: int
    moment: int | None = None
    keyed: bool = False


def reckoned(row: tuple[str, str | None], told: Sequence[Told], until: int) -> Any:
    """The label of a row by the rule in words, with dictionaries; None where there is none."""
    known = [one for one in told if one.known_at <= until and one.about == (row[1] if one.keyed else row[0])]
    first: dict[Any, int] = {}
    for one in known:
        if one.moment is None:
            name = (one.keyed, _sorted(one.value))
            first[name] = min(first.get(name, one.known_at), one.known_at)
    best = None
    for one in known:
        moment = first[one.keyed, _sorted(one.value)] if one.moment is None else one.moment
        rank = (moment, _sorted(one.value))
        if best is None or rank > best[0]:
            best = (rank, one.value)
    return None if best is None else best[1]


def _sorted(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def label(told: Told) -> ArrivingLabel:
    moment = None if told.moment is None else microseconds(START + told.moment * DAY)
    return ArrivingLabel(
        told.about, told.value, microseconds(START + told.known_at * DAY), moment, told.keyed
    )


def held(rows: Sequence[tuple[str, str | None]], told: Sequence[Told]) -> list[Any]:
    schema = type("Empty", (), {"names": [], "__iter__": lambda self: iter(())})()
    table = arrived_labels([label(one) for one in told]).table(schema)
    ids, keys = (objects_of([row[place] for row in rows]) for place in (0, 1))
    labels = truth(ids, keys, events_of(table)).labels.tolist()
    return [None if value != value else value for value in labels]


ROWS = [("a", "x"), ("b", "x"), ("c", None), ("d", "y")]
NUMBERS = st.sampled_from([0, 1, 2, 0.5])
MIXED = st.sampled_from([0, 1, 0.5, "1", "late", ""])


def tellings(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Told]]:
    one = st.builds(
        Told,
        about=st.sampled_from(["a", "b", "c", "d", "x", "y", "z"]),
        value=values,
        known_at=st.integers(0, 4),
        moment=st.none() | st.integers(0, 4),
        keyed=st.booleans(),
    )
    return st.lists(one, max_size=12)


@given(told=tellings(NUMBERS) | tellings(MIXED), seed=st.integers(0, 99))
def test_what_holds_is_what_a_reckoning_by_dictionaries_says_in_any_order(
    told: list[Told], seed: int
) -> None:
    expected = [reckoned(row, told, 9) for row in ROWS]
    again = [*told, *told, *told]
    random.Random(seed).shuffle(again)
    assert held(ROWS, told) == expected
    assert held(ROWS, again) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([Told("a", 1, 1), Told("a", 2, 2)], 2),  # a correction
        ([Told("a", 1, 1), Told("a", 2, 2), Told("a", 1, 3)], 2),  # the first one delivered again
        ([Told("a", 1, 1), Told("a", 2, 2), Told("a", 1, 3, moment=3)], 1),  # taken back, with a moment
        ([Told("a", 1, 2, moment=0), Told("a", 2, 1, moment=1)], 2),  # the older one came later
        ([Told("a", 1, 1, moment=0), Told("a", 2, 1, moment=0)], 2),  # a conflict: the larger
        ([Told("a", 9, 1, moment=0), Told("a", "1", 1, moment=0)], "1"),  # a text before a number
        ([Told("x", 3, 1, keyed=True)], 3),  # by the user's key
        ([Told("x", 3, 1, keyed=True), Told("a", 4, 2)], 4),
        ([Told("x", 3, 2, keyed=True), Told("a", 4, 1)], 3),
        ([Told("x", 3, 1)], None),  # a key is no id
        ([Told("a", 3, 1, keyed=True)], None),
    ],
)
def test_of_several_labels_the_one_with_the_latest_moment_holds(told: list[Told], expected: Any) -> None:
    assert held([("a", "x")], told) == [expected]


def test_a_row_without_a_key_has_no_label_by_key() -> None:
    assert held([("c", None)], [Told("None", 1, 1, keyed=True), Told("", 1, 1, keyed=True)]) == [None]


def test_when_a_first_label_was_known_is_told() -> None:
    told = [Told("x", 3, 4, keyed=True), Told("a", 4, 2), Told("a", 4, 3, moment=0)]
    schema = type("Empty", (), {"names": [], "__iter__": lambda self: iter(())})()
    table = arrived_labels([label(one) for one in told]).table(schema)
    found = truth(objects_of(["a", "b"]), objects_of(["x", None]), events_of(table))
    assert found.first_known[0] == np.datetime64("2013-03-03", "us")
    assert np.isnat(found.first_known[1])


def test_labels_of_another_length_are_refused() -> None:
    known = np.full(2, np.datetime64(NOW, "us"))
    with pytest.raises(ValueError, match="2 ids, 1 labels and 2 moments"):
        label_rows(["a", "b"], [1.0], known, moments=known, keyed=False, caller="")


# --- in the log --------------------------------------------------------------------------------------


def test_labels_by_key_are_joined_wherever_rows_and_labels_are(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.append_predictions(
        ["a", "b"], [START] * 2, {}, [[1], [2]], version=1, known_at=START, keys=["x", None]
    )
    log.append_labels(["x", "unknown"], [7, 8], known_at=START, keyed=True)
    log.take_labels([ArrivingLabel("b", 9, NOW, caller="shop")])
    rows = log.predictions(START, START + DAY)
    assert rows.labels.tolist() == [7, 9]
    assert rows.keys.tolist() == ["x", None]
    log.flush()
    assert log.predictions(START, START + DAY).labels.tolist() == [7, 9]
    log.close()


def test_a_label_by_key_holds_for_every_prediction_about_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for number in range(3):
        at = START + number * DAY
        log.append_predictions([f"p{number}"], [at], {}, [[1]], version=1, known_at=at, keys=["order-7"])
    log.append_labels(["order-7"], [5.0], known_at=START + DAY, keyed=True)
    assert log.predictions(START, START + 9 * DAY).labels.tolist() == [5.0] * 3
    assert np.isnan(log.predictions(START, START + 9 * DAY, known_until=START).labels).all()


def test_a_log_of_before_the_keys_is_read_and_written_on(tmp_path: Path) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    from pipelines.log_folder import prepare

    folder = tmp_path / "log"
    prepare(folder)
    stamp = pa.timestamp("us", "UTC")
    kind = {"losswatch.name": "label", "losswatch.kind": "number"}
    labels = pa.schema(
        [("id", pa.string()), ("known_at", stamp), pa.field("label", pa.float64(), metadata=kind)]
    )
    write_deltalake(folder / "labels", pa.table([["a"], [START], [3.0]], schema=labels))
    rows = pa.schema(
        [
            ("id", pa.string()),
            ("time", stamp),
            ("known_at", stamp),
            ("version", pa.int64()),
            ("prediction", pa.list_(pa.float64())),
            ("caller", pa.string()),
        ]
    )
    write_deltalake(
        folder / "predictions", pa.table([["a"], [START], [START], [1], [[1.0]], [""]], schema=rows)
    )
    log = Log(folder)
    assert log.predictions(START, START + DAY).labels.tolist() == [3.0]
    log.append_predictions(["b"], [START], {}, [[1]], version=1, known_at=START, keys=["x"])
    log.append_labels(["x"], [4.0], known_at=START, keyed=True)
    log.append_labels(["a"], [5.0], known_at=START, moments=np.array(["2013-03-02"], "datetime64[us]"))
    assert log.predictions(START, START + DAY).labels.tolist() == [5.0, 4.0]


class Truthful(RuleBasedStateMachine):
    """Rows and labels in any order, by requests and in bulk, moved or not, against dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.log = Log(Path(self.folder.name))
        self.rows: dict[str, str | None] = {}
        self.told: list[Told] = []
        self.day = 0

    def teardown(self) -> None:
        self.log.close()
        self.folder.cleanup()

    @rule(id=st.sampled_from("abcd"), key=st.sampled_from(["x", "y", None]))
    def predict(self, id: str, key: str | None) -> None:
        if id not in self.rows:
            self.rows[id] = key
            self.log.append_predictions([id], [START], {}, [[0]], version=1, known_at=START, keys=[key])

    @rule(
        about=st.sampled_from("abcdxyz"),
        value=NUMBERS,
        moment=st.none() | st.integers(0, 3),
        keyed=st.booleans(),
        bulk=st.booleans(),
    )
    def tell(self, about: str, value: Any, moment: int | None, keyed: bool, bulk: bool) -> None:
        one = Told(about, value, self.day, moment, keyed)
        self.told.append(one)
        if not bulk:
            self.log.take_labels([label(one)])
            return
        said = None if moment is None else microseconds(START + moment * DAY)
        moments = np.array(["NaT" if said is None else said], dtype="datetime64[us]")
        known_at = START + self.day * DAY
        self.log.append_labels([about], [value], known_at=known_at, moments=moments, keyed=keyed)

    @rule()
    def move(self) -> None:
        self.log.flush()

    @rule()
    def wait(self) -> None:
        self.day += 1

    @invariant()
    def the_log_says_what_the_reckoning_says_of_every_day(self) -> None:
        for until in {0, self.day // 2, self.day}:
            found = self.log.predictions(START, START + DAY, known_until=START + until * DAY)
            labels = [None if value != value else value for value in found.labels.tolist()]
            pairs = zip(found.ids.tolist(), labels, strict=True)
            assert dict(pairs) == {id: reckoned((id, key), self.told, until) for id, key in self.rows.items()}


TestTruthful = Truthful.TestCase
TestTruthful.settings = settings(max_examples=8, stateful_step_count=12)
