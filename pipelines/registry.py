"""Runs, curves, versions and aliases, in MLflow; no other module knows that it is MLflow.

A run is known by its key: whoever enters the key of a run that was killed goes on with that very run. So a
training that dies at any point and is started again leaves one run and one version.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.request import urlopen

from pipelines.addresses import absolute_uri, local_path, sqlite_file, without_password
from pipelines.bundle import BrokenBundle, digest
from pipelines.errors import UserError
from pipelines.file_lock import Locked, file_lock

if TYPE_CHECKING:
    import pandas as pd

    from models.history import EpochLoss

logger = logging.getLogger(__name__)

Kind = Literal["fit", "update", "refit"]

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

# Tags of ours, on runs and on versions.
_KEY = "losswatch.key"
_KIND = "losswatch.kind"
_FAILURE = "losswatch.failure"
_REPORT = "losswatch.report"
_SHA256 = "sha256"
_PARENT = "parent"
_TRAINED_UNTIL = "trained_until"

_FLUSH_SECONDS = 2.0  # a curve that is looked at while it grows; 25 epochs then cost one commit, not 25
_LATER_SECONDS = 30.0  # between two looks for a server that does not answer
_ANSWER_SECONDS = 2.0  # in which a server that is well answers
_PATIENCE_SECONDS = 600.0  # a server that is restarted or moved is back by then
_BATCH = 1000  # MLflow's own limit for the metrics of one call
_FOLDER = "bundle"  # the name under which a bundle lies among a version's artifacts
_CODE = "pyfunc_model.py"

# What a version needs where it is loaded, at the releases that it was made with. Written out, for MLflow's
# own search for them takes more than a minute.
_REQUIREMENTS = ("losswatch", "mlflow", "numpy", "onnxruntime", "pandas")


class ChampionMoved(Exception):
    """Somebody else promoted or rolled back meanwhile; nothing was changed."""


class RunInProgress(Exception):
    """The run of this key is being worked on by another process right now."""


@dataclass(frozen=True)
class ModelVersion:
    """A version in the registry: numbers, names and times, no files and no network.

    kind: how it was trained; parent: the version that it was updated from; trained_until: the time of its
    latest training row. It may serve only if its files still have the digest that was noted at the start.
    """

    name: str
    version: int
    run_id: str
    kind: Kind
    parent: int | None
    trained_until: datetime | None
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str | None:
        """The digest of its bundle; None for a version that was not made here and must not serve."""
        return self.tags.get(_SHA256)

    @property
    def servable(self) -> bool:
        return self.sha256 is not None


@dataclass(frozen=True)
class RunRecord:
    """A training as the store remembers it, whatever became of it.

    status: MLflow's word, e.g. "FINISHED", "FAILED" or "KILLED". failure: why it failed; "" where it did not.
    """

    run_id: str
    kind: Kind
    status: str
    begun: datetime
    failure: str = ""


class Registry:
    """Runs and versions of one project, under its name, in one tracking store.

    tracking_uri: `sqlite:///...`, `postgresql://...` or `http://...` of a server; artifacts: where the files
    of runs go (a server decides that itself); cache: a folder for locks and for copies of files that lie
    elsewhere, by default the folder of the SQLite file. Nothing is created before the first use.
    """

    def __init__(
        self, tracking_uri: str, artifacts: Path | str, name: str, *, cache: Path | None = None
    ) -> None:
        if not name or set(name) & set("/:.%\"'"):
            raise ValueError(f'name = {name!r}: write a name without / : . % and quotes, e.g. "flights"')
        self.tracking_uri = absolute_uri(tracking_uri, Path.cwd())
        self.artifacts = os.path.abspath(artifacts) if "://" not in str(artifacts) else str(artifacts)
        self.name = name
        self._database = sqlite_file(self.tracking_uri)
        if cache is None and self._database is None:
            raise ValueError(f"cache: needed with {without_password(self.tracking_uri)}. Name a folder")
        self._cache = cache if cache is not None else cast(Path, self._database).parent

    # Runs

    @contextmanager
    def run(
        self, key: str, *, kind: str, parameters: Mapping[str, object], tags: Mapping[str, object]
    ) -> Iterator[TrackedRun]:
        """The run of this key: a new one, or the unfinished one that an earlier process left.

        An exception inside marks it as failed, with its text; the next run of the key is then a new one. A
        run that was finished and has its version comes back with `resumed` and `version` set, unchanged.
        """
        if not key or "'" in key:
            raise ValueError(f"key = {key!r}: write a key without quotes")
        with self._lock_of_run(key):
            tracked = self._enter(key, kind, parameters, tags)
            try:
                yield tracked
            except Exception as error:
                tracked._leave("FAILED", reason=f"{type(error).__name__}: {error}")
                raise
            except BaseException:  # Ctrl-C or the end of the process: the next start goes on here
                tracked._leave("KILLED")
                raise
            tracked._leave("FINISHED")

    def curve(self, run_id: str) -> tuple[EpochLoss, ...]:
        """The losses of every epoch of a run, in order; () where it has none."""
        from models.history import EpochLoss

        points = {name: self._points(run_id, name) for name in _EPOCH_METRICS}
        epochs = sorted({epoch for steps in points.values() for epoch in steps})
        return tuple(
            EpochLoss(
                epoch,
                points["loss"].get(epoch, math.nan),
                points["validation_loss"].get(epoch, math.nan),
                points["learning_rate"].get(epoch, math.nan),
                points["seconds"].get(epoch, math.nan),
            )
            for epoch in epochs
        )

    def figures(self, run_id: str) -> dict[str, float]:
        """The latest value of every metric of a run, by name."""
        with _quiet():
            return dict(self._client.get_run(run_id).data.metrics)

    def add(self, version: ModelVersion, figures: Mapping[str, float], files: Sequence[Path] = ()) -> None:
        """Adds to the run of a version what was found out later; a file of the same name is replaced."""
        TrackedRun(self, version.run_id, version.kind, resumed=True).figures(figures)
        self.attach(version.run_id, files)

    def attach(self, run_id: str, files: Sequence[Path], *, under: str | None = None) -> None:
        """Keeps files with a run; one of the same name is replaced. under: a folder of the run."""
        with _quiet():
            for path in files:
                self._client.log_artifact(run_id, str(path), under)

    def keep_report(self, files: Sequence[Path]) -> None:
        """Keeps the pages of the report with a run of their own, no training; one of the same name is replaced."""
        with _quiet():
            found = self._client.search_runs([self._experiment], f"tags.`{_REPORT}` = 'yes'", max_results=1)
            run = (
                found[0]
                if found
                else self._client.create_run(self._experiment, tags={_REPORT: "yes"}, run_name="report")
            )
            for path in files:
                self._client.log_artifact(run.info.run_id, str(path))
            self._client.set_terminated(run.info.run_id)

    def runs(self, most: int = 100) -> list[RunRecord]:
        """The trainings, the newest first, also those that failed."""
        with _quiet():
            found = self._client.search_runs(
                [self._experiment], order_by=["attributes.start_time DESC"], max_results=most
            )
        return [_run_record(run) for run in found if _KEY in run.data.tags]

    def read(self, run_id: str, name: str) -> bytes | None:
        """A file that lies with a run, by its name; None where there is none."""
        folder = name.rpartition("/")[0]
        with _quiet(), tempfile.TemporaryDirectory() as here:
            if all(file.path != name for file in self._client.list_artifacts(run_id, folder or None)):
                return None
            return Path(self._client.download_artifacts(run_id, name, here)).read_bytes()

    # Versions

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first."""
        return [_version(found) for found in self._search("")]

    def version(self, number: int) -> ModelVersion:
        """One version; a mistaken number is answered with the numbers that exist."""
        with _quiet():
            try:
                return _version(self._client.get_model_version(self.name, str(number)))
            except _mlflow().MlflowException as error:
                if not _is_missing(error):
                    raise
        known = ", ".join(str(version.version) for version in self.versions()) or "none"
        raise UserError(f"{self.name} has no version {number}; there are: {known}")

    def alias(self, name: str) -> ModelVersion | None:
        """The version that an alias points at, if any."""
        with _quiet():
            try:
                return _version(self._client.get_model_version_by_alias(self.name, name))
            except _mlflow().MlflowException as error:
                if _is_missing(error):
                    return None
                raise

    def point(self, alias: str, version: int | None) -> None:
        """Lets an alias point at a version, or at none."""
        with _quiet():
            if version is None:
                self._client.delete_registered_model_alias(self.name, alias)
            else:
                self._client.set_registered_model_alias(self.name, alias, str(self.version(version).version))

    def bundle(self, version: int) -> Path:
        """The folder of a version's files on this machine, its digest verified; nothing is ever deleted."""
        found = self.version(version)
        if found.sha256 is None:
            raise BrokenBundle(
                f"{self.name} version {version} has no sha256 tag: it was not made by losswatch"
            )
        with _quiet():
            source = self._client.get_model_version_download_uri(self.name, str(version))
        here = local_path(source)
        folder = here / "artifacts" / _FOLDER if here else self._download(source, found)
        if not folder.is_dir():
            raise BrokenBundle(f"{self.name} version {version}: its files are gone from {folder}")
        if digest(folder) != found.sha256:
            raise BrokenBundle(f"{self.name} version {version}: the files in {folder} were changed")
        return folder

    # Letting in and undoing

    def promote(self, version: int, *, expected: int | None, author: str, reason: str) -> ModelVersion:
        """Makes a version the champion if that is still `expected`; the alias `champion` moves last."""
        self.bundle(version)
        with file_lock(self._cache / "locks" / "aliases.lock"):
            champion = self.alias(CHAMPION)
            actual = champion.version if champion else None
            if actual not in (expected, version):
                raise ChampionMoved(
                    f"{self.name}: the champion is version {actual}, not {expected} as it was when version "
                    f"{version} was judged. Judge it against the champion of now"
                )
            if actual != version:
                self._explain(version, "promoted", author, reason)
                self.point(PREVIOUS, actual)
                self.point(CHAMPION, version)
        return self.version(version)

    def rollback(self, *, author: str, reason: str) -> ModelVersion:
        """Makes the previous champion the champion again; there is then no previous one."""
        with file_lock(self._cache / "locks" / "aliases.lock"):
            champion, previous = self.alias(CHAMPION), self.alias(PREVIOUS)
            if previous is None or champion is None or previous.version == champion.version:
                raise UserError(f"{self.name}: there is no previous champion to go back to")
            self.bundle(previous.version)
            self._explain(champion.version, "rolled_back", author, reason)
            self.point(CHAMPION, previous.version)
            self.point(PREVIOUS, None)
        return self.version(previous.version)

    # Inside

    def _explain(self, version: int, what: str, author: str, reason: str) -> None:
        with _quiet():
            self._client.set_model_version_tag(self.name, str(version), f"{what}.author", author)
            self._client.set_model_version_tag(self.name, str(version), f"{what}.reason", reason[:5000])

    @contextmanager
    def _lock_of_run(self, key: str) -> Iterator[None]:
        name = hashlib.sha256(f"{self.name}\n{key}".encode()).hexdigest()[:16]
        try:
            with file_lock(self._cache / "locks" / f"run-{name}.lock", wait=0):
                yield
        except Locked:
            raise RunInProgress(
                f"{self.name}: the run {key!r} is being worked on by another process"
            ) from None

    def _enter(
        self, key: str, kind: str, parameters: Mapping[str, object], tags: Mapping[str, object]
    ) -> TrackedRun:
        with _quiet():
            found = self._client.search_runs([self._experiment], f"tags.`{_KEY}` = '{key}'")
            open_runs = [run for run in found if run.info.status != "FAILED"]
            ours = {_KEY: key, _KIND: kind} | {name: str(value) for name, value in tags.items()}
            resumed = bool(open_runs)
            run = (
                open_runs[-1]
                if resumed
                else self._client.create_run(self._experiment, tags=ours, run_name=key)
            )
            tracked = TrackedRun(self, run.info.run_id, kind, resumed=resumed)
            if run.info.status != "FINISHED" or tracked.version is None:
                self._start(run, parameters)
            return tracked

    def _start(self, run: Any, parameters: Mapping[str, object]) -> None:
        entities = _mlflow().entities
        texts = {name: str(value)[:6000] for name, value in parameters.items()}  # MLflow's own limit
        changed = {name for name, text in texts.items() if run.data.params.get(name, text) != text}
        if changed:
            raise ValueError(
                f"run {run.info.run_id}: {', '.join(sorted(changed))} differ from its first start"
            )
        new = [entities.Param(name, text) for name, text in texts.items() if name not in run.data.params]
        self._client.log_batch(run.info.run_id, params=new)
        if run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, status="RUNNING")

    def _points(self, run_id: str, metric: str) -> dict[int, float]:
        """A metric's value at each step."""
        with _quiet():
            return {point.step: point.value for point in self._client.get_metric_history(run_id, metric)}

    def _search(self, condition: str) -> list[Any]:
        """Version records of MLflow, the oldest first; `condition` starts with " and "."""
        with _quiet():
            found, token = [], None
            while token != "":
                page = self._client.search_model_versions(
                    f"name = '{self.name}'{condition}", page_token=token
                )
                found += list(page)
                token = page.token or ""
        return sorted(found, key=lambda version: int(version.version))

    def _download(self, source: str, version: ModelVersion) -> Path:
        target = self._cache / "bundles" / f"{self.name}-{version.version}-{version.tags[_SHA256][:16]}"
        with file_lock(self._cache / "locks" / f"bundle-{version.version}.lock", wait=600):
            if not target.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=target.parent) as half, _quiet():
                    _mlflow().artifacts.download_artifacts(
                        artifact_uri=f"{source}/artifacts/{_FOLDER}",
                        dst_path=half,
                        tracking_uri=self.tracking_uri,
                    )
                    os.replace(Path(half) / _FOLDER, target)
        return target

    @cached_property
    def _connection(self) -> tuple[Any, str]:
        """The client and the id of the experiment; creates what is not there, one process at a time."""
        if self.tracking_uri.startswith("http"):
            _check_alive(self.tracking_uri)
        mlflow = _mlflow()
        import sqlalchemy.exc

        with file_lock(self._cache / "locks" / "store.lock", wait=300), _quiet():
            try:
                if self._database is not None:
                    _make_database(self._database)
                client = mlflow.MlflowClient(self.tracking_uri, self.tracking_uri)
                experiment = client.get_experiment_by_name(self.name)
                if experiment is None:
                    return client, self._create(client)
            except (mlflow.MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
                raise UserError(_unusable(self.tracking_uri, error)) from error
        self._check(experiment)
        return client, experiment.experiment_id

    def _create(self, client: Any) -> str:
        if not client.search_registered_models(f"name = '{self.name}'"):
            client.create_registered_model(self.name)
        location = None if self.tracking_uri.startswith("http") else self.artifacts
        return str(client.create_experiment(self.name, artifact_location=location))

    def _check(self, experiment: Any) -> None:
        if experiment.lifecycle_stage != "active":
            raise UserError(
                f"{self.name}: its experiment is deleted in MLflow. Restore it: mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}"
            )
        noted, given = local_path(experiment.artifact_location), local_path(self.artifacts)
        if self._database and noted and given and noted.resolve() != given.resolve():
            raise UserError(
                f"{self.name}: {self._database} keeps its files under {noted}, not {given}. MLflow notes "
                "full paths: move the folder back, or start in an empty one"
            )

    def _answers(self) -> bool:
        """Whether a store behind a server can be reached now; one in a file always can."""
        if not self.tracking_uri.startswith("http"):
            return True
        try:
            _check_alive(self.tracking_uri, timeout=_ANSWER_SECONDS)
        except UserError:
            return False
        return True

    def _wait_for_answer(self) -> None:
        """Waits for a server that is away; `UserError` after ten minutes."""
        deadline, told = time.monotonic() + _PATIENCE_SECONDS, False
        while not self._answers():
            if time.monotonic() > deadline:
                _check_alive(self.tracking_uri)
            if not told:
                logger.warning("waiting for the tracking server at %s", without_password(self.tracking_uri))
                told = True
            time.sleep(_ANSWER_SECONDS)

    @property
    def _client(self) -> Any:
        return self._connection[0]

    @property
    def _experiment(self) -> str:
        return self._connection[1]


class TrackedRun:
    """A run being worked on: takes losses, figures and files, and at the end the version.

    resumed: an earlier process began it; version: what it registered before, if it did, so that a caller who
    finds one may skip the work.
    """

    def __init__(self, registry: Registry, run_id: str, kind: str, *, resumed: bool) -> None:
        self.run_id = run_id
        self.resumed = resumed
        self.kind = kind
        self._registry = registry
        self._client = registry._client
        self.version = self._registered()
        self._buffer: list[Any] = []
        self._flush_at = time.monotonic() + _FLUSH_SECONDS
        self._lock = threading.Lock()
        self._steps: dict[str, dict[int, float]] = {}  # what was noted so far, by metric and step

    def epoch(self, loss: EpochLoss) -> None:
        """Notes the losses of an epoch, once: an epoch that was noted before a kill is not noted again."""
        values = {name: getattr(loss, name) for name in _EPOCH_METRICS} | dict(loss.metrics)
        for name, value in values.items():
            if not math.isnan(value) and loss.epoch not in self._noted(name):
                self._note(name, value, loss.epoch)
        if time.monotonic() > self._flush_at or len(self._buffer) > _BATCH // 2:
            self._flush_if_answered()

    def points(self, name: str, values: Mapping[int, float]) -> None:
        """Notes values of a metric at steps, each once; nan is left out."""
        noted = self._noted(name)
        for step, value in values.items():
            if not math.isnan(value) and step not in noted:
                self._note(name, value, step)

    def figures(self, figures: Mapping[str, float]) -> None:
        """Notes figures of the run as a whole, e.g. the loss on the test rows; the latest value counts."""
        for name, value in figures.items():
            noted = self._noted(name)
            last = max(noted, default=-1)
            if last == -1 or not _same(noted[last], value):
                self._note(name, value, last + 1)
        self._flush()

    def _noted(self, name: str) -> dict[int, float]:
        if name not in self._steps:
            self._steps[name] = self._registry._points(self.run_id, name) if self.resumed else {}
        return self._steps[name]

    def _note(self, name: str, value: float, step: int) -> None:
        self._steps[name][step] = value
        metric = _mlflow().entities.Metric(name, float(value), int(time.time() * 1000), step)
        with self._lock:
            self._buffer.append(metric)

    def artifact(self, path: Path) -> None:
        """Keeps a file, or a folder under its name, with the run."""
        with _quiet():
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), path.name)
            else:
                self._client.log_artifact(self.run_id, str(path))

    def register(
        self,
        bundle: Path,
        *,
        signature_frame: pd.DataFrame,
        tags: Mapping[str, object],
        parent: int | None = None,
        trained_until: datetime | None = None,
    ) -> ModelVersion:
        """Makes the bundle a version, with a loader around it that answers a raw frame; once for a run.

        signature_frame: a few raw rows of the columns that the network reads, without the target.
        """
        self._flush()
        if self.version is None:
            texts = {name: str(value) for name, value in tags.items()}
            texts |= {_KIND: self.kind, _SHA256: digest(bundle)}
            texts |= {_PARENT: str(parent)} if parent is not None else {}
            texts |= {_TRAINED_UNTIL: trained_until.isoformat()} if trained_until is not None else {}
            with _quiet():
                model = self._upload(bundle, signature_frame)
                self._create_version(model, texts)
            self.version = self._registered()
        assert self.version is not None
        return self.version

    def _upload(self, bundle: Path, frame: pd.DataFrame) -> Any:
        """Stores the files; the place that a kill left half filled is filled again."""
        client, experiment = self._client, self._registry._experiment
        found = client.search_logged_models([experiment], f"source_run_id = '{self.run_id}'")
        model = (
            found[0]
            if found
            else client.create_logged_model(
                experiment, name=self._registry.name, source_run_id=self.run_id, model_type=self.kind
            )
        )
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(bundle, Path(folder) / _FOLDER)
            _save_pyfunc(Path(folder) / "model", Path(folder) / _FOLDER, frame, model.model_id, self.run_id)
            client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
        client.finalize_logged_model(model.model_id, "READY")
        if not client.get_run(self.run_id).outputs.model_outputs:
            client.log_outputs(self.run_id, [_mlflow().entities.LoggedModelOutput(model.model_id, step=0)])
        return model

    def _create_version(self, model: Any, tags: Mapping[str, str]) -> None:
        """One call, so that a version never lacks its tags."""
        # Through a server the model is named; a store that is opened directly would look that name up in the
        # process's global tracking store, so it is given the place of the files.
        http = self._registry.tracking_uri.startswith("http")
        source = f"models:/{model.model_id}" if http else model.artifact_location
        created = self._client.create_model_version(
            self._registry.name, source, self.run_id, tags=dict(tags), model_id=model.model_id
        )
        link = json.dumps([{"name": created.name, "version": created.version}])
        self._client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": link})

    def _registered(self) -> ModelVersion | None:
        found = [_version(found) for found in self._registry._search(f" and run_id = '{self.run_id}'")]
        servable = [version for version in found if version.servable]
        return servable[0] if servable else None

    def _flush_if_answered(self) -> None:
        """In the middle of a training: where the server does not answer, what waits is sent later."""
        if not self._registry._answers():
            logger.warning(
                "the tracking server does not answer: the training goes on, its figures are sent later"
            )
            self._flush_at = time.monotonic() + _LATER_SECONDS
            return
        self._flush()

    def _flush(self) -> None:
        """Writes all that waits; what could not be written goes on waiting."""
        self._registry._wait_for_answer()
        with self._lock:
            self._flush_at = time.monotonic() + _FLUSH_SECONDS
            while self._buffer:
                with _quiet():
                    self._client.log_batch(self.run_id, metrics=self._buffer[:_BATCH])
                del self._buffer[:_BATCH]

    def _leave(self, status: str, reason: str | None = None) -> None:
        """Writes what waits and the end; what goes wrong here must not hide the reason for a failure."""
        try:
            self._flush()
            with _quiet():
                if reason is not None:
                    self._client.set_tag(self.run_id, _FAILURE, reason[:5000])
                if self._client.get_run(self.run_id).info.status != status:
                    self._client.set_terminated(self.run_id, status)
        except Exception:
            if status == "FINISHED":
                raise
            logger.warning("run %s: its end could not be noted", self.run_id)
            logger.info("what came up: run %s", self.run_id, exc_info=True)


_EPOCH_METRICS = ("loss", "validation_loss", "learning_rate", "seconds")  # in the order of EpochLoss's fields


def _save_pyfunc(folder: Path, bundle: Path, frame: pd.DataFrame, model_id: str, run_id: str) -> None:
    """An MLflow model logged from code: no pickle, and the bundle as its only artifact."""
    pyfunc, models = _mlflow().pyfunc, _mlflow().models
    requirements = [f"{name}=={installed_version(name)}" for name in _REQUIREMENTS]
    pyfunc.save_model(
        str(folder),
        python_model=str(Path(__file__).with_name(_CODE)),
        artifacts={_FOLDER: str(bundle)},
        signature=_signature(frame, bundle),
        mlflow_model=models.Model(run_id=run_id, model_id=model_id),
        metadata={"columns": {str(name): str(kind) for name, kind in frame.dtypes.items()}},
        pip_requirements=requirements,
    )


def _signature(frame: pd.DataFrame, bundle: Path) -> Any:
    """The columns by name; their kinds stand in the model's metadata.

    MLflow refuses whole numbers of 64 bits where a signature says double, missing ones where it says long,
    and pandas's categories where it says string. The schema reads all of these, so any value is let through
    to it; and so is a frame that lacks a column, for the schema names all faults at once.
    """
    types, schema = _mlflow().types, _mlflow().types.schema
    settings = json.loads((bundle / "version.json").read_text("utf-8"))
    inputs = [types.ColSpec(schema.AnyType(), str(name), required=False) for name in frame.columns]
    if settings.get("task") == "multiclass":
        import numpy as np

        outputs = types.Schema([types.TensorSpec(np.dtype("float32"), (-1, -1))])
    else:
        outputs = types.Schema([types.ColSpec("float")])
    return _mlflow().models.ModelSignature(types.Schema(inputs), outputs)


def _run_record(run: Any) -> RunRecord:
    tags, begun = run.data.tags, datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    kind = cast(Kind, tags.get(_KIND, "fit"))
    return RunRecord(run.info.run_id, kind, run.info.status, begun, tags.get(_FAILURE, ""))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _version(found: Any) -> ModelVersion:
    tags = dict(found.tags)
    parent, until = tags.get(_PARENT), tags.get(_TRAINED_UNTIL)
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        run_id=found.run_id or "",
        kind=cast(Kind, tags.get(_KIND, "fit")),
        parent=int(parent) if parent is not None else None,
        trained_until=datetime.fromisoformat(until) if until is not None else None,
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        tags=tags,
    )


def _mlflow() -> ModuleType:
    """MLflow, imported at the first use (3 to 5 s) and told to be quiet and to send nothing home."""
    if "mlflow" not in sys.modules:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with _quiet():
        import mlflow
        import mlflow.artifacts
        import mlflow.entities
        import mlflow.models
        import mlflow.pyfunc
        import mlflow.types.schema
    return mlflow


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow warns of its own type hints, of missing examples and of pip; no user can mend any of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_missing(error: Any) -> bool:
    """Whether a version or an alias is not there (an unknown alias is a bad parameter to MLflow)."""
    return error.error_code == "RESOURCE_DOES_NOT_EXIST" or (
        error.error_code == "INVALID_PARAMETER_VALUE" and "alias" in str(error)
    )


def _make_database(path: Path) -> None:
    """A new SQLite store, made beside its place by some fifty migrations; a kill leaves none half made."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f"{path.name}.part*"):
        stale.unlink()
    half = path.with_name(f"{path.name}.part{time.monotonic_ns()}")  # MLflow remembers every store it opened
    try:
        _mlflow().MlflowClient(f"sqlite:///{half}")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _unusable(uri: str, error: Exception) -> str:
    text = str(error)
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return (
            f"{without_password(uri)} was written by another version of MLflow than the installed "
            f"{installed_version('mlflow')}. Back it up, then: mlflow db upgrade {without_password(uri)}"
        )
    return f"{without_password(uri)} cannot be opened as an MLflow store: {text.splitlines()[0]}"


def _check_alive(uri: str, timeout: float = 10.0) -> None:
    """MLflow itself would try a dead server for minutes."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=timeout):
            return
    except (OSError, ValueError) as error:
        raise UserError(f"no MLflow server answers at {without_password(uri)} ({error}): start it") from None
