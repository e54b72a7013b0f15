"""A million labels, sent three times in another order each: every row has the label that an independent reckoning says.

python -m benchmarks.labels [--quick] [--json FILE]

5 % of the labels come twice, 5 % are in conflict with another one or correct it, 5 % come after their window is due,
2 % before their row, 1 % fit no row; some name a prediction, some the user's own key, which two predictions share; one
in twenty has no moment of its own. They go through the server's file and in bulk. The reckoning is a loop over the
deliveries with dictionaries and knows nothing of the log. The whole is done again in another order.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import options
from benchmarks.options import say
from benchmarks.result import Result, at_most, figure

EVENTS, QUICK = 1_000_000, 20_000
COPIES, ORDERS = 3, 2
TWICE, CONFLICTING, LATE, EARLY, UNKNOWN = 0.05, 0.05, 0.05, 0.02, 0.01
SILENT = 0.05  # share without a moment of their own
KEYED = 0.3  # share of the labels that name a key
DAYS = 30  # on which rows are scored; labels come over twice as many
DUE = 45  # the day until which labels are not late
UNTIL = (20, DUE, 3 * DAYS)  # days as of which the labels are compared
BULK, REQUEST = 20_000, 500
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400 * 1_000_000  # microseconds

Name = tuple[bool, str]  # whether it is a key, and the text


@dataclass(frozen=True)
class Row:
    """A prediction. day: on which it was scored."""

    id: str
    key: str
    day: int


@dataclass(frozen=True)
class Label:
    """A label as its sender has it. day: of its first delivery; moment: in days."""

    name: Name
    value: float
    day: int
    moment: int | None


@dataclass(frozen=True)
class Delivery:
    """A label as it came. day: on which."""

    label: Label
    day: int


@dataclass(frozen=True)
class Compared:
    """What came of one order. differences: rows with another label than the reckoning's, over all days of `UNTIL`;
    labels: those of the last day by row, to be compared with another order.
    """

    deliveries: int
    rows: int
    compared: int
    differences: int
    labels: dict[str, float | None]
    seconds: float


def measure(quick: bool) -> list[Result]:
    """Every figure of this benchmark."""
    count = QUICK if quick else EVENTS
    rng = np.random.default_rng(0)
    rows = made_rows(count, rng)
    labels = made_labels(rows, count, rng)
    found = []
    for order in range(ORDERS):
        with tempfile.TemporaryDirectory(prefix="losswatch-") as folder:
            found.append(compared(Path(folder) / "log", rows, labels, seed=order))
            say(f"order {order + 1}: {found[-1].differences} differences, {found[-1].seconds:.0f} s")
    moved = between_orders(rows, labels, [one.labels for one in found])
    return [
        figure("labels", len(labels), ""),
        figure("deliveries in each order", found[0].deliveries, ""),
        figure("rows", len(rows), ""),
        figure("labels compared, over orders and days", sum(one.compared for one in found), ""),
        at_most(0, "differences from the reckoning", sum(one.differences for one in found), ""),
        at_most(0, "differences between orders", moved, ""),
        figure("seconds for an order", max(one.seconds for one in found), "s"),
    ]


# --- what is sent ---


def made_rows(labels: int, rng: np.random.Generator) -> list[Row]:
    """Predictions, of which every two are about the same thing on different days."""
    count = int(labels * (1 - TWICE - CONFLICTING - UNKNOWN))
    days = np.sort(rng.integers(0, DAYS, count)).tolist()
    things = rng.permutation(count) // 2
    return [Row(f"row-{k:07d}", f"thing-{things[k]:07d}", days[k]) for k in range(count)]


def made_labels(rows: Sequence[Row], count: int, rng: np.random.Generator) -> list[Label]:
    """Labels in the shares that are named above."""
    first = [_label(row, rng) for row in rows]
    twice = [first[k] for k in rng.choice(len(first), int(TWICE * count), replace=False)]
    others = [_other(first[k], rng) for k in rng.choice(len(first), int(CONFLICTING * count), replace=False)]
    lost = [
        Label((bool(k % 2), f"nothing-{k}"), 1.0, int(rng.integers(DUE)), 1)
        for k in range(count - len(first) - len(twice) - len(others))
    ]
    return [*first, *twice, *others, *lost]


def _label(row: Row, rng: np.random.Generator) -> Label:
    keyed, chance = rng.random() < KEYED, rng.random()
    late, early = chance < LATE, LATE <= chance < LATE + EARLY
    after = int(rng.integers(DUE, 2 * DAYS)) if late else int(rng.integers(row.day + 1, DUE + 1))
    day = -1 if early else after
    moment = None if rng.random() < SILENT else int(rng.integers(-1, max(day, 0) + 1))
    return Label((keyed, row.key if keyed else row.id), float(rng.integers(0, 20)) / 2, day, moment)


def _other(label: Label, rng: np.random.Generator) -> Label:
    """Another value: half of them of the same moment, which is a conflict, and half of a later one, a correction."""
    moment = label.moment
    if moment is not None and rng.random() < 0.5:
        moment += 1
    return Label(label.name, label.value + float(rng.integers(1, 9)) / 2, max(label.day, 0), moment)


def delivered(labels: Sequence[Label], rng: np.random.Generator) -> list[Delivery]:
    """Every label three times, the first on its day and the others later, in any order within a day."""
    days = np.array([label.day for label in labels])
    parts = [days, *(rng.integers(np.maximum(days, 0), 2 * DAYS + 1) for _ in range(COPIES - 1))]
    when, which = np.concatenate(parts), np.tile(np.arange(len(labels)), COPIES)
    order = np.lexsort((rng.random(len(when)), when))
    return [Delivery(labels[which[k]], int(when[k])) for k in order]


# --- the log ---


def compared(folder: Path, rows: Sequence[Row], labels: Sequence[Label], *, seed: int) -> Compared:
    """Sends everything in one order and compares what the log says with the reckoning."""
    from pipelines.log import Log

    begin = time.monotonic()
    sent = delivered(labels, np.random.default_rng(seed))
    log = Log(folder)
    _send(log, rows, sent)
    differences, last = 0, {}
    for until in UNTIL:
        last = _read(log, until)
        expected = reckoned(rows, sent, until)
        differences += len(expected.keys() ^ last.keys())
        differences += sum(last.get(id) != label for id, label in expected.items())
    log.close()
    seconds = time.monotonic() - begin
    return Compared(len(sent), len(rows), len(UNTIL) * len(rows), differences, last, seconds)


def _send(log: Any, rows: Sequence[Row], sent: Sequence[Delivery]) -> None:
    """Day by day: the labels of the day, then its rows; by turns in bulk and as the server takes them."""
    by_day = _grouped(sent)
    of_rows: dict[int, list[Row]] = {}
    for row in rows:
        of_rows.setdefault(row.day, []).append(row)
    for day in range(-1, 2 * DAYS + 1):
        for number, part in enumerate(_cut(by_day.get(day, []), BULK)):
            if (day + number) % 3:
                _in_bulk(log, part, day)
            else:
                _as_requests(log, part, day)
        _score(log, of_rows.get(day, []), day)
        if day % 10 == 9:
            say(f"day {day + 1} of {2 * DAYS}")
    log.flush()


def _grouped(sent: Sequence[Delivery]) -> dict[int, list[Label]]:
    by_day: dict[int, list[Label]] = {}
    for delivery in sent:
        by_day.setdefault(delivery.day, []).append(delivery.label)
    return by_day


def _cut(values: Sequence[Any], length: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + length] for start in range(0, len(values), length))


def _score(log: Any, rows: Sequence[Row], day: int) -> None:
    if rows:
        at = START + timedelta(days=day)
        log.append_predictions(
            [row.id for row in rows],
            np.full(len(rows), np.datetime64(at.replace(tzinfo=None), "us")),
            {},
            np.zeros(len(rows)),
            version=1,
            known_at=at,
            keys=[row.key for row in rows],
        )


def _in_bulk(log: Any, labels: Sequence[Label], day: int) -> None:
    for keyed in (False, True):
        part = [label for label in labels if label.name[0] is keyed]
        moments = ["NaT" if label.moment is None else _microseconds(label.moment) for label in part]
        log.append_labels(
            [label.name[1] for label in part],
            np.array([label.value for label in part]),
            known_at=START + timedelta(days=day),
            moments=np.array(moments, dtype="datetime64[us]"),
            keyed=keyed,
        )


def _as_requests(log: Any, labels: Sequence[Label], day: int) -> None:
    from pipelines.arrival import ArrivingLabel

    for part in _cut(labels, REQUEST):
        log.take_labels(
            [
                ArrivingLabel(
                    label.name[1],
                    label.value,
                    _microseconds(day),
                    None if label.moment is None else _microseconds(label.moment),
                    label.name[0],
                )
                for label in part
            ]
        )
    log.flush()


def _microseconds(day: int) -> int:
    return int(START.timestamp()) * 1_000_000 + day * DAY


def _read(log: Any, until: int) -> dict[str, float | None]:
    """The labels of the log, window by window as the monitor reads them."""
    found: dict[str, float | None] = {}
    known = START + timedelta(days=until)
    for day in range(DAYS):
        start = START + timedelta(days=day)
        rows = log.predictions(start, start + timedelta(days=1), known_until=known, columns=())
        labels = (None if label != label else float(label) for label in rows.labels.tolist())
        found |= dict(zip(rows.ids.tolist(), labels, strict=True))
    return found


# --- the reckoning ---


def reckoned(rows: Sequence[Row], sent: Sequence[Delivery], until: int) -> dict[str, float | None]:
    """What is true of every row that was scored by a day, by the rule in words."""
    silent: dict[tuple[Name, float], int] = {}  # when a value without a moment was first heard
    for delivery in sent:
        label = delivery.label
        if delivery.day <= until and label.moment is None:
            said = (label.name, label.value)
            silent[said] = min(silent.get(said, delivery.day), delivery.day)
    best: dict[Name, tuple[int, float]] = {}  # moment and value; the later moment, then the larger value
    for delivery in sent:
        label = delivery.label
        if delivery.day <= until:
            moment = silent[label.name, label.value] if label.moment is None else label.moment
            best[label.name] = max(best.get(label.name, (moment, label.value)), (moment, label.value))
    return {
        row.id: max(
            (best[name] for name in ((False, row.id), (True, row.key)) if name in best), default=(0, None)
        )[1]
        for row in rows
        if row.day <= until
    }


def between_orders(
    rows: Sequence[Row], labels: Sequence[Label], found: Sequence[dict[str, float | None]]
) -> int:
    """Rows whose label depends on the order, of those whose labels all carry a moment."""
    silent = {label.name for label in labels if label.moment is None}
    fixed = [row.id for row in rows if not silent & {(False, row.id), (True, row.key)}]
    return sum(len({one.get(id) for one in found}) > 1 for id in fixed)


# --- faults that are made, so that it is seen that they would be found ---


def the_last_holds() -> Callable[[], None]:
    """Makes the label that came last hold, whatever its moment; returns what takes it back."""
    return _planted("effective_moments", lambda codes, ranks, known_at, moments: known_at)


def again_is_news() -> Callable[[], None]:
    """Makes a label without a moment count from every time that it is delivered."""
    return _planted(
        "effective_moments",
        lambda codes, ranks, known_at, moments: np.where(np.isnat(moments), known_at, moments),
    )


def ties_by_chance() -> Callable[[], None]:
    """Makes of two labels of one moment the one hold that is read last."""
    return _planted("_ranks", lambda values: np.arange(len(values)))


def _planted(name: str, fault: Any) -> Callable[[], None]:
    from pipelines import label_rows

    right = getattr(label_rows, name)
    setattr(label_rows, name, fault)
    return lambda: setattr(label_rows, name, right)


if __name__ == "__main__":
    sys.exit(options.run("labels", measure))
