"""Backfilled or day by day, labels in any order: at equal knowledge the judgements are the same to the last byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.course import plan
from pipelines.log import LabelledRows, Log
from pipelines.prepared import prepare_rows
from pipelines.service import needed_service
from pipelines.sources import read
from pipelines.steps import promote_first
from pipelines.stores import Stores
from pipelines.training import train_version
from pipelines.watch import watch

DAYS, ROWS, CHANGE = 13, 100, 8
CUT = datetime(2021, 1, 6, tzinfo=UTC)
SETTINGS = '[monitor]\nwindow = "day"\n[replay]\ntrain_until = 2021-01-06\n'


@dataclasses.dataclass(frozen=True)
class Delivery:
    """Labels that come together. day: on which they are known."""

    ids: Any
    labels: Any
    moments: Any
    day: int


@pytest.fixture(scope="module")
def stores(make_stores: Callable[..., Any]) -> Stores:
    """A first version that serves since `CUT`; its log holds nothing else."""
    frame = streams.stream(DAYS, ROWS, change_on=CHANGE)
    made: Stores = make_stores(frame, SETTINGS)
    course = plan(made.project, read(made.project.config.data, made.project.folder))
    trained = train_version(made, prepare_rows(made.project, course.past))
    promote_first(made, trained.version.version, now=CUT, anchor=CUT, window=course.window, author="test")
    return made


@pytest.fixture(scope="module")
def rows(stores: Stores) -> dict[str, Any]:
    """What was scored since, with its truth, by the version itself."""
    from pipelines.scoring import Scorer
    from pipelines.service import bundle_of

    frame = streams.stream(DAYS, ROWS, change_on=CHANGE)
    frame = frame[frame["when"] >= CUT.replace(tzinfo=None)]
    bundle = bundle_of(stores, 1)
    columns = {name: frame[name].to_numpy() for name in bundle.schema.column_names}
    return {
        "ids": np.array([f"row-{place}" for place in range(len(frame))], dtype=object),
        "times": frame["when"].to_numpy().astype("datetime64[us]"),
        "columns": columns,
        "predictions": Scorer.load(bundle.folder).predict(columns),
        "labels": frame["y"].to_numpy().astype(float),
    }


def deliveries(rows: dict[str, Any], rng: np.random.Generator) -> list[Delivery]:
    """Each label on some day from that of its row on, a few corrected later, a few sent again."""
    day = ((rows["times"] - np.datetime64(CUT.replace(tzinfo=None), "us")) // np.timedelta64(1, "D")).astype(
        int
    )
    came = day + 1 + rng.choice([0, 0, 0, 1, 3], len(day))
    moments = rows["times"] + np.timedelta64(1, "h")
    found = []
    for known in np.unique(came):
        chosen = np.flatnonzero(came == known)
        found.append(Delivery(rows["ids"][chosen], rows["labels"][chosen], moments[chosen], int(known)))
        some = chosen[::17]
        found.append(Delivery(rows["ids"][some], rows["labels"][some], moments[some], int(known) + 1))
        wrong, later = chosen[5::23], moments[chosen[5::23]] + np.timedelta64(1, "h")
        found.append(Delivery(rows["ids"][wrong], 1 - rows["labels"][wrong], later, int(known) + 2))
    return found


def split(parts: list[Delivery], rng: np.random.Generator) -> Iterator[Delivery]:
    """The same labels in other pieces and another order of arrival."""
    pieces = [
        Delivery(part.ids[chosen], part.labels[chosen], part.moments[chosen], part.day)
        for part in parts
        for chosen in np.array_split(rng.permutation(len(part.ids)), int(rng.integers(1, 4)))
        if len(chosen)
    ]
    return (pieces[k] for k in rng.permutation(len(pieces)))


def with_log(stores: Stores, folder: Path, rows: dict[str, Any], rng: np.random.Generator) -> Stores:
    """The same version with a log of its own, to which rows come in pieces."""
    log = Log(folder)
    begun = stores.log.events(kind="service")[0]
    log.append_event(begun.kind, begun.payload, known_at=begun.known_at, author=begun.author)
    for chosen in np.array_split(rng.permutation(len(rows["ids"])), 5):
        columns = {name: values[chosen] for name, values in rows["columns"].items()}
        log.append_predictions(
            rows["ids"][chosen],
            rows["times"][chosen],
            columns,
            rows["predictions"][chosen],
            version=1,
            known_at=CUT,
        )
    return dataclasses.replace(stores, log=log, memo={})


def deliver(stores: Stores, parts: Iterator[Delivery]) -> None:
    for part in parts:
        known = CUT + timedelta(days=part.day)
        stores.log.append_labels(part.ids, part.labels, known_at=known, moments=part.moments)


def judged(stores: Stores, days: int, after: int = -1) -> list[str]:
    now = CUT + timedelta(days=days)
    return [repr(one) for one in watch(stores, needed_service(stores, now), now, after=after)]


@pytest.mark.slow
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_labels_and_the_day_of_the_monitor_change_no_byte(
    stores: Stores, rows: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts, days = deliveries(rows, rng), DAYS - 5
    backfilled = with_log(stores, tmp_path_factory.mktemp("log"), rows, rng)
    deliver(backfilled, split(parts, rng))
    at_once = judged(backfilled, days)
    daily = with_log(stores, tmp_path_factory.mktemp("log"), rows, rng)
    one_by_one = []
    for day in range(1, days + 1):
        deliver(daily, split([part for part in parts if part.day == day], rng))
        fresh = dataclasses.replace(daily, memo={})  # each day another process
        one_by_one += judged(fresh, day, after=day - 2)
    assert len(at_once) == days
    assert one_by_one == at_once
    assert any("concept change" in one for one in at_once)


def test_rows_are_read_in_one_order_whatever_order_they_came_in(
    stores: Stores, rows: dict[str, Any], tmp_path: Path
) -> None:
    found: list[LabelledRows] = []
    for seed in range(2):
        made = with_log(stores, tmp_path / str(seed), rows, np.random.default_rng(seed))
        found.append(made.log.predictions(CUT, CUT + timedelta(days=30)))
    assert found[0].ids.tolist() == found[1].ids.tolist()
