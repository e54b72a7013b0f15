"""The rows of a first training in files: prepared once, batch by batch, and trained from there in bounded memory."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import psutil  # type: ignore[import-untyped]  # it publishes no types

from models.row_files import RowWriter, open_rows
from models.rows import Rows
from models.schema import Schema
from monitoring.bins import reference_bins
from monitoring.feed import (
    BEFORE,
    FeedReference,
    FeedSample,
    feed_reference,
    feed_sample,
    merge_samples,
)
from monitoring.input_alarm import InputWindow, input_reference
from monitoring.joint import pair_bins, pair_sums
from monitoring.loss_slices import SliceReference
from monitoring.profile import Profile, merge, profile
from monitoring.shift import ShiftThresholds, calibrate
from monitoring.window import Window, WindowLength, cut, locate
from pipelines.batches import (
    STOP,
    TEST,
    TRAIN,
    Batch,
    Scan,
    Source,
    draw,
    names_of,
    scan,
    sentence,
    table_of,
    told_rows,
)
from pipelines.errors import Failed
from pipelines.estimating import make_estimator
from pipelines.first_rows import SIGNED, check_signs
from pipelines.learning import Examples
from pipelines.memory import in_words
from pipelines.moments import moment_of
from pipelines.objective import Objective
from pipelines.packaging import CHECKED_ROWS
from pipelines.prepared import fit_schema, folder_of, keep_rows, kept_table, window_length
from pipelines.reading import InBatches
from pipelines.reference import (
    LEAST_BLOCK,
    MOST_BLOCKS,
    Reference,
    make_correction,
    make_loss_reference,
    make_slices,
)
from pipelines.row_times import Times
from pipelines.sources import Table
from pipelines.version_reference import answers_of
from pipelines.watched_columns import watched_columns
from pipelines.watched_inputs import (
    Answers,
    InputCounts,
    last_layer_of,
    merge_counts,
    read_inputs,
    with_answered,
    write_inputs,
)

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from pipelines.project import Project

Say = Callable[[str], None]

LAST = MOST_BLOCKS + BEFORE  # windows, of which copies and pauses are looked for
MOST_WINDOWS = 200  # of the reference are counted apart, spread over all; 20 already give sharp thresholds
COUNTED_BATCHES = 4  # wait to be counted by window, together

# unseen rows from which a correction is learned; it has as many weights as a linear model
MOST_CORRECTION = 50_000
PREDICTED_AT_ONCE = 65_536
_FORM = 4  # of these files; another one is prepared again
_META, _SCHEMA, _PROFILES = "rows.json", "schema.json", "profiles.json"
_NAMES = {TRAIN: "train", STOP: "validation"}


@dataclass(frozen=True, eq=False)
class FileRows:
    """Rows that were prepared into a folder. What stays in memory is a target and 8 bytes or so for each row.

    rows: of the data. sample: how many of them the schema was learned from and are kept as they came. fresh: whether
    they were prepared just now.
    """

    folder: Path
    identity: str
    window: WindowLength
    schema: Schema
    notes: tuple[str, ...]
    rows: int
    sample: int
    fresh: bool
    unseen_since: np.datetime64 | None
    key: str | None
    source: Source

    @cached_property
    def times(self) -> Times:
        """Of the rows that teach and stop the training, with a target or without, ascending."""
        found: Times = np.load(self.folder / "times.npy", mmap_mode="r")
        return found

    @cached_property
    def train(self) -> Examples:
        return self._examples("train")

    @cached_property
    def validation(self) -> Examples:
        return self._examples("validation")

    @property
    def oldest(self) -> pd.DataFrame:
        return self._frame("oldest")

    @property
    def newest(self) -> pd.DataFrame:
        return self._frame("newest")

    def ids(self, places: Sequence[int]) -> dict[int, str]:
        """The names of rows, by their places in `train`; those that a key names are read again."""
        numbers = np.load(self.folder / "train.npy", mmap_mode="r")
        rows = {int(numbers[place]): place for place in places}
        if self.key is None:
            return {place: str(row) for row, place in rows.items()}
        found = {}
        for batch in self.source.batches([self.key]):
            names = names_of(batch, self.key)
            for row in rows.keys() & set(range(batch.rows.start, batch.rows.stop)):
                found[rows[row]] = names[row - batch.begin]
        return found

    def reference(self, model: keras.Model, goal: Objective) -> Reference:
        """Profiles that were counted over all rows, with the losses of this model."""
        parts = (self.train, self.validation)
        losses = np.concatenate([_losses(model, part, goal) for part in parts])
        check_signs(goal, losses)
        times = np.concatenate([part.times for part in parts])
        unseen = np.arange(len(losses)) >= len(self.train)
        if self.unseen_since is not None:
            unseen |= times >= self.unseen_since
        windows = cut(self.times[[0, -1]], moment_of(self.times[0]), self.window)
        loss = make_loss_reference(losses, unseen, times, windows)
        new = self._some(np.flatnonzero(unseen))
        stored = json.loads((self.folder / _PROFILES).read_text("utf-8"))
        whole = Profile.from_json(json.dumps(stored["profile"]))
        inputs = read_inputs(stored["inputs"], whole)
        sample = self._sampled(model)
        answers = sample.answers_of(model)
        last_layer = last_layer_of(answers)
        return Reference(
            loss,
            whole,
            ShiftThresholds.from_json(json.dumps(stored["thresholds"])),
            tuple(Profile.from_json(json.dumps(block)) for block in stored["blocks"]),
            slices=self._slices(sample, goal, windows, loss.ceiling),
            feed=FeedReference.from_plain(stored["feed"]) if stored["feed"] else None,
            inputs=with_answered(inputs, answers, last_layer),
            last_layer=last_layer,
            **self._learned(model, goal, new, windows),
        )

    def _sampled(self, model: keras.Model) -> _Sampled:
        """The rows that are kept as they came, with their targets, and what a model answers to them."""
        from models.fit import predict

        table = kept_table(self.folder.parent)
        assert table.parts is not None  # which `_prepare` wrote
        known = table.frame[self.schema.target.name].notna().to_numpy() & (table.parts != TEST)
        table = table.rows(np.flatnonzero(known))
        assert table.parts is not None
        unseen = table.parts == STOP
        if self.unseen_since is not None:
            unseen |= table.times >= self.unseen_since
        inputs = self.schema.inputs(table.frame)
        return _Sampled(
            self._watched(table),
            inputs,
            predict(model, inputs).astype(np.float64),
            self.schema.targets(table.frame).astype(np.float64),
            table.times,
            unseen,
        )

    def _watched(self, table: Table) -> dict[str, npt.NDArray[Any]]:
        """The columns of the sample, as they were counted over all rows."""
        return watched_columns(
            self.schema, table.frame, table.times if self.source.config.has_times else None
        )

    def _slices(
        self, sample: _Sampled, goal: Objective, windows: Sequence[Window], ceiling: float
    ) -> SliceReference | None:
        return make_slices(
            sample.columns,
            sample.answers,
            goal.row_losses(sample.targets, sample.answers),
            sample.times,
            windows,
            unseen=sample.unseen,
            ceiling=ceiling,
            targets=sample.targets,
        )

    def _learned(
        self, model: keras.Model, goal: Objective, rows: Examples | None, windows: Sequence[Window]
    ) -> dict[str, Any]:
        """What is learned of rows that the version was not trained on: its correction, its estimator."""
        from models.fit import predict

        if rows is None:
            return {}
        inputs, targets = rows.inputs, rows.targets.astype(np.float64)
        answers = predict(model, inputs).astype(np.float64)
        estimator = make_estimator(
            inputs, answers, targets, rows.times, windows, target=self.schema.target, goal=goal
        )
        return {"correction": make_correction(inputs, answers, targets, goal), "estimator": estimator}

    def _some(self, unseen: npt.NDArray[np.intp]) -> Examples | None:
        """Some of the rows that were not trained on, in order of time; None without any."""
        if len(unseen) > MOST_CORRECTION:
            rng = np.random.default_rng(MOST_CORRECTION)
            unseen = unseen[np.sort(rng.choice(len(unseen), MOST_CORRECTION, replace=False, shuffle=False))]
        taught = len(self.train)
        chosen = [(self.train, unseen[unseen < taught]), (self.validation, unseen[unseen >= taught] - taught)]
        pieces = [part.take(rows) for part, rows in chosen if len(rows)]
        if not pieces:
            return None
        inputs, targets, times = (
            np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("inputs", "targets", "times")
        )
        order = np.argsort(times, kind="stable")
        return Examples.of(inputs[order], targets[order], times[order])

    def _examples(self, part: str) -> Examples:
        rows = open_rows(self.folder / part)
        times = np.load(self.folder / f"{part}_times.npy")
        return Examples(np.arange(len(rows)), rows.targets, times, picker(rows.inputs), rows.weights)

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.folder / f"{name}.parquet")[list(self.schema.column_names)]


@dataclass(frozen=True, eq=False)
class _Sampled:
    """Rows in time order, n of each. unseen: those that the version was not trained on."""

    columns: Mapping[str, npt.NDArray[Any]]
    inputs: npt.NDArray[np.float32]
    answers: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    times: Times
    unseen: npt.NDArray[np.bool_]

    def answers_of(self, model: keras.Model) -> Answers:
        """What a network makes of the rows that it was not trained on."""
        new = self.unseen
        return answers_of(model, self.inputs[new], self.answers[new], self.times[new])


def picker(inputs: npt.NDArray[np.float32]) -> Callable[[npt.NDArray[np.intp]], npt.NDArray[np.float32]]:
    """Gives inputs by the numbers of their rows; all of them in their order are the file itself, and no copy."""

    def pick(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        if len(numbers) == len(inputs) and bool((numbers == np.arange(len(inputs))).all()):
            return inputs
        return np.asarray(inputs[numbers])

    return pick


def _losses(model: keras.Model, rows: Examples, goal: Objective) -> npt.NDArray[np.float64]:
    """Of every row, piece by piece."""
    from models.fit import predict

    inputs, found = rows.inputs, []
    for begin in range(0, len(rows), PREDICTED_AT_ONCE):
        piece = slice(begin, begin + PREDICTED_AT_ONCE)
        answers = predict(model, np.array(inputs[piece])).astype(np.float64)
        found.append(goal.row_losses(rows.targets[piece].astype(np.float64), answers))
    return np.concatenate([np.zeros(0), *found])


# --- preparing ---


def prepare_files(
    project: Project,
    found: InBatches,
    *,
    batch: int | None = None,
    sample: int | None = None,
    progress: Say | None = None,
) -> FileRows:
    """Prepares the rows of a project into its state folder, or finds them there; a kill leaves nothing half.

    Three passes over the data: times and targets of all rows, a sample of them, and the preparation. In memory are a
    batch, the sample and some 40 bytes for each row. batch, sample: rows at most; by themselves what their
    columns allow.
    """
    say = progress or (lambda text: None)
    source = Source(project.config.data, found, batch=batch)
    most = source.sample if sample is None else sample
    say("reading the data: what they contain")
    identity = source.identity(most, project.config.project.seed, say)
    folder = folder_of(project, identity) / f"files-{_said(project)}"
    fresh = not (folder / _META).is_file()
    if fresh:
        _remove_left_over(folder.parent.parent)
        _prepare(project, source, folder, identity, most, say)
    _remove_others(folder)
    return open_files(folder, source, fresh=fresh)


def open_files(folder: Path, source: Source, *, fresh: bool = False) -> FileRows:
    """Rows that were prepared whole."""
    meta = json.loads((folder / _META).read_text("utf-8"))
    since = meta["unseen_since"]
    return FileRows(
        folder=folder,
        identity=meta["identity"],
        window=WindowLength.parse(meta["window"].replace(" ", "")),
        schema=Schema.from_json((folder / _SCHEMA).read_text("utf-8")),
        notes=(sentence(source, meta["sample"], "what a row is learned from, and is kept"), *meta["notices"]),
        rows=meta["rows"],
        sample=meta["sample"],
        fresh=fresh,
        unseen_since=None if since is None else np.datetime64(since, "ns"),
        key=source.config.key,
        source=source,
    )


def _said(project: Project) -> str:
    """8 hexadecimal digits of what says how rows become inputs, and in which windows they are judged."""
    said = [_FORM, dataclasses.asdict(project.config.prepare), project.config.monitor.window, MOST_WINDOWS]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _prepare(project: Project, source: Source, folder: Path, identity: str, sample: int, say: Say) -> None:
    """Everything or nothing: the folder appears whole, under its name."""
    seed = project.config.project.seed
    say(f"reading the times of {source.rows:,} rows")
    scanned = scan(source, seed)
    window = window_length(project, scanned.times)
    say("learning what a row is")
    table, ends = _sample(source, scanned, sample, seed)
    schema = fit_schema(project, table.rows(np.flatnonzero(table.parts == TRAIN)))
    new = folder.parent.parent / f".{folder.name}-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        for name, frame in ends.items():
            frame.to_parquet(new / f"{name}.parquet", index=False)
        counted = _write_files(new, source, scanned, schema, table, window, say)
        (new / _PROFILES).write_text(json.dumps(counted), "utf-8")
        (new / _SCHEMA).write_text(schema.to_json(), "utf-8")
        meta = {
            "identity": identity,
            "rows": source.rows,
            "sample": len(table.times),
            "window": str(window),
            "unseen_since": _unseen_since(project, scanned),
            "notices": _notices(source, scanned),
        }
        (new / _META).write_text(json.dumps(meta), "utf-8")
        some = len(table.times) < source.rows
        keep_rows(project, identity, table, window, of=source.rows if some else None)
        _land(new, folder)
    except OSError as problem:
        size = 4 * schema.width * int(scanned.known.sum())
        raise Failed(
            f"{folder.parent.parent}: the prepared rows cannot be written: {problem.strerror}; they take "
            f"{in_words(size)}"
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _land(new: Path, folder: Path) -> None:
    """Under its name, where another process that prepares the same rows has not been quicker."""
    try:
        os.replace(new, folder)
    except OSError:
        if not (folder / _META).is_file():
            raise


def _sample(source: Source, scanned: Scan, most: int, seed: int) -> tuple[Table, Mapping[str, pd.DataFrame]]:
    """The sample, and the oldest and the newest rows as they came."""
    kept = scanned.order[scanned.kept[scanned.order]]
    ends = {"oldest": kept[:SIGNED], "newest": kept[-CHECKED_ROWS:]}
    wanted = draw(scanned.part, most, seed)
    both = wanted.copy()
    for rows in ends.values():
        both[rows] = True
    frame, numbers = source.sampled(both, scanned.part)
    whole = table_of(source, scanned, frame, numbers)
    by_time = numbers[np.argsort(scanned.times[numbers], kind="stable")]
    apart = np.isin(by_time, np.concatenate(list(ends.values()))) & ~wanted[by_time]
    found = {name: whole.frame[np.isin(by_time, rows)] for name, rows in ends.items()}
    return whole.rows(~apart), found


def _unseen_since(project: Project, scanned: Scan) -> int | None:
    """By time all rows from the first validation row on are unseen, also those that share its moment."""
    if project.config.data.split != "time":
        return None
    first = scanned.order[np.argmax(scanned.part[scanned.order] == STOP)]
    return int(scanned.times[first].astype("datetime64[ns]").astype(np.int64))


def _notices(source: Source, scanned: Scan) -> list[str]:
    found = []
    earlier = np.diff(scanned.times) < np.timedelta64(0)
    if earlier.any():
        row = int(np.argmax(earlier)) + 2
        found.append(
            f"the rows are not in time order (row {row} is the first that is earlier); they were sorted"
        )
    if unknown := int((~scanned.known).sum()):
        found.append(f"the target {source.config.target!r} is missing in {unknown:,} of {source.rows:,} rows")
    return found


def _write_files(
    folder: Path, source: Source, scanned: Scan, schema: Schema, table: Table, window: WindowLength, say: Say
) -> dict[str, Any]:
    """One pass: inputs into the files, and the profiles of all rows."""
    place = np.full(source.rows, -1, np.int64)
    writers = {}
    dtype = np.int32 if schema.target.task == "multiclass" else np.float32
    for part, name in _NAMES.items():
        numbers = scanned.numbers(part)
        place[numbers] = np.arange(len(numbers))
        np.save(folder / f"{name}_times.npy", scanned.times[numbers])
        np.save(folder / f"{name}.npy", numbers)
        weighed = scanned.weights is not None
        writers[part] = RowWriter(folder / name, len(numbers), schema.width, dtype, weighed=weighed)
    kept_times = scanned.times[scanned.order][scanned.kept[scanned.order]]
    np.save(folder / "times.npy", kept_times)
    known = table.rows(np.flatnonzero(table.parts != TEST))

    def watch(frame: pd.DataFrame, times: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        return watched_columns(schema, frame, times if source.config.has_times else None)

    counts = _Counts(kept_times, window, watch, known, most=COUNTED_BATCHES * source.batch)
    for batch in source.batches():
        frame = source.inputs(batch)
        say(f"preparing row {batch.rows.stop:,} of {source.rows:,}")
        kept = scanned.kept[batch.rows]
        counts.add(frame[kept], scanned.times[batch.rows][kept])
        for part, writer in writers.items():
            chosen = (place[batch.rows] >= 0) & (scanned.part[batch.rows] == part)
            if chosen.any():
                with told_rows(batch):
                    writer.put(
                        place[batch.rows][chosen], _rows(frame[chosen], schema, scanned, batch, chosen)
                    )
    for writer in writers.values():
        writer.close()
    return counts.found()


def _rows(
    frame: pd.DataFrame, schema: Schema, scanned: Scan, batch: Batch, chosen: npt.NDArray[np.bool_]
) -> Rows:
    weights = None if scanned.weights is None else scanned.weights[batch.rows][chosen]
    return Rows(schema.inputs(frame), schema.targets(frame), weights)


Watch = Callable[["pd.DataFrame", Times], dict[str, npt.NDArray[Any]]]


class _Counts:
    """The profiles of all rows and of some windows, added up from batch to batch.

    The cells are learned from a sample; the counts are of all rows. watch: gives the columns that are watched, of a
    frame and the times of its rows; most: rows that wait to be counted by window.
    """

    def __init__(self, times: Times, window: WindowLength, watch: Watch, sample: Table, most: int) -> None:
        self._watch = watch
        learned = watch(sample.frame, sample.times)
        self._names = tuple(learned)
        self._bins = reference_bins(learned)
        self._pairs = pair_bins(learned, profile(learned, self._bins))
        windows = cut(times[[0, -1]], moment_of(times[0]), window)
        self._sizes = _sizes(windows, times)
        self._windows = _some(windows, self._sizes)
        self._whole: Profile | None = None
        self._most = most
        self._parts: dict[int, InputCounts] = {}
        self._samples: dict[int, FeedSample] = {}
        self._waiting: list[tuple[dict[str, npt.NDArray[Any]], Times, npt.NDArray[np.intp]]] = []

    def add(self, frame: pd.DataFrame, times: Times) -> None:
        if not len(frame):
            return
        columns = self._watch(frame, times)
        whole = profile(columns, self._bins)
        self._whole = whole if self._whole is None else merge(self._whole, whole)
        number = locate(times, self._windows)
        inside = np.flatnonzero(number >= 0)
        if len(inside):
            chosen = {name: values[inside] for name, values in columns.items()}
            self._waiting.append((chosen, times[inside], number[inside]))
        if sum(len(windows) for *_, windows in self._waiting) >= self._most:
            self._count()

    def _count(self) -> None:
        """Counts the rows that wait: in files that are not in the order of time each batch has rows of all windows."""
        if not self._waiting:
            return
        columns = {name: np.concatenate([one[name] for one, *_ in self._waiting]) for name in self._names}
        times, number = (np.concatenate([one[place] for one in self._waiting]) for place in (1, 2))
        self._waiting = []
        for window, rows in _by_window(number):
            chosen = {name: values[rows] for name, values in columns.items()}
            part = InputCounts(profile(chosen, self._bins), pair_sums(chosen, self._pairs))
            known = self._parts.get(window)
            self._parts[window] = part if known is None else merge_counts([known, part])
            if window >= len(self._windows) - LAST:
                sample = feed_sample(chosen, times[rows], self._bins)
                before = self._samples.get(window)
                self._samples[window] = sample if before is None else merge_samples([before, sample])

    def found(self) -> dict[str, Any]:
        self._count()
        counted = [
            InputWindow(self._windows[number], self._parts[number].profile, self._parts[number].pairs)
            for number in sorted(self._parts)
        ]
        blocks = [one.profile for one in counted]
        whole = profile({}, self._bins) if self._whole is None else self._whole
        return {
            "profile": json.loads(whole.to_json()),
            "thresholds": json.loads(calibrate(blocks or [whole]).to_json()),
            "blocks": [json.loads(block.to_json()) for block in blocks[-MOST_BLOCKS:]],
            "inputs": write_inputs(input_reference(whole, counted, self._pairs), whole),
            "feed": self._feed(whole),
        }

    def _feed(self, whole: Profile) -> dict[str, Any] | None:
        ranges = [(one.minimum, one.maximum) for one in whole.columns]
        samples = [self._samples[number] for number in sorted(self._samples)]
        found = feed_reference(samples, self._sizes[1:-1], self._bins, ranges)
        return found.to_plain() if found is not None else None


def _by_window(number: npt.NDArray[np.intp]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """The rows of each window that has some. number: of the window of each row."""
    order = np.argsort(number, kind="stable")
    found, first = np.unique(number[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, first[1:]), strict=True)


def _sizes(windows: Sequence[Window], times: Times) -> list[int]:
    """How many of the rows each window has. times: ascending."""
    begins = np.array([np.datetime64(one.start.replace(tzinfo=None), "ns") for one in windows])
    ends = np.array([np.datetime64(one.end.replace(tzinfo=None), "ns") for one in windows])
    found: list[int] = (np.searchsorted(times, ends) - np.searchsorted(times, begins)).tolist()
    return found


def _some(windows: Sequence[Window], sizes: Sequence[int]) -> list[Window]:
    """The whole windows, as `reference.whole_blocks` has them; of many some, spread over all, and the last ones."""
    if not any(sizes):
        return []
    usual = float(np.median([size for size in sizes if size]))
    whole = np.flatnonzero(np.array(sizes) >= LEAST_BLOCK * usual)
    if len(whole) > MOST_WINDOWS:
        before, last = whole[:-LAST], whole[-LAST:]
        spread = np.linspace(0, len(before) - 1, MOST_WINDOWS - LAST).astype(np.int64)
        whole = np.concatenate([before[spread], last])
    return [windows[number] for number in whole.tolist()]


# --- what is not needed any more ---


def _remove_left_over(prepared: Path) -> None:
    """What a killed preparation left half."""
    for folder in prepared.glob(".files-*-*"):
        with contextlib.suppress(ValueError):
            if not psutil.pid_exists(int(folder.name.rpartition("-")[2])):
                shutil.rmtree(folder, ignore_errors=True)


def _remove_others(folder: Path) -> None:
    """The files of other data or other preparations: they are large, and can be prepared again."""
    for other in folder.parent.parent.glob("*/files-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
