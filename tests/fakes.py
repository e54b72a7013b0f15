"""Fakes that pass the contract tests of the real things, for tests that are about something else."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from models.history import EpochLoss
from pipelines.bundle import BrokenBundle, digest
from pipelines.errors import UserError
from pipelines.registry import CHAMPION, PREVIOUS, ChampionMoved, Kind, ModelVersion, RunInProgress, RunRecord

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class FakeRun:
    """A run in memory."""

    run_id: str
    key: str
    kind: str
    registry: FakeRegistry
    resumed: bool = False
    status: str = "RUNNING"
    failure: str | None = None
    version: ModelVersion | None = None
    epochs: dict[int, EpochLoss] = field(default_factory=dict)
    noted: dict[str, float] = field(default_factory=dict)
    pointed: dict[str, dict[int, float]] = field(default_factory=dict)
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    def epoch(self, loss: EpochLoss) -> None:
        self.epochs.setdefault(loss.epoch, loss)

    def points(self, name: str, values: Mapping[int, float]) -> None:
        for step, value in values.items():
            self.pointed.setdefault(name, {}).setdefault(step, value)

    def figures(self, figures: Mapping[str, float]) -> None:
        self.noted |= figures

    def artifact(self, path: Path) -> None:
        target = self.registry.folder / "runs" / self.run_id / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)

    def register(
        self,
        bundle: Path,
        *,
        signature_frame: pd.DataFrame,
        tags: Mapping[str, object],
        parent: int | None = None,
        trained_until: datetime | None = None,
    ) -> ModelVersion:
        if self.version is None:
            self.version = self.registry._add(self, bundle, tags, parent, trained_until)
        return self.version


class FakeRegistry:
    """A dict with the methods of `pipelines.registry.Registry`."""

    def __init__(self, folder: Path, name: str = "fake") -> None:
        self.folder = folder
        self.name = name
        self.runs_begun: list[FakeRun] = []
        self._versions: dict[int, ModelVersion] = {}
        self._aliases: dict[str, int] = {}
        self._busy: set[str] = set()

    @contextmanager
    def run(
        self, key: str, *, kind: str, parameters: Mapping[str, object], tags: Mapping[str, object]
    ) -> Iterator[FakeRun]:
        if not key or "'" in key:
            raise ValueError(f"key = {key!r}: write a key without quotes")
        if key in self._busy:
            raise RunInProgress(f"{self.name}: the run {key!r} is being worked on by another process")
        self._busy.add(key)
        run = self._enter(key, kind)
        try:
            yield run
        except Exception as error:
            run.status, run.failure = "FAILED", f"{type(error).__name__}: {error}"
            raise
        except BaseException:
            run.status = "KILLED"
            raise
        else:
            run.status = "FINISHED"
        finally:
            self._busy.remove(key)

    def curve(self, run_id: str) -> tuple[EpochLoss, ...]:
        epochs = self._run(run_id).epochs
        return tuple(epochs[number] for number in sorted(epochs))

    def figures(self, run_id: str) -> dict[str, float]:
        run = self._run(run_id)
        last = self.curve(run_id)[-1:]
        found = {"loss": last[0].loss, "validation_loss": last[0].validation_loss} if last else {}
        return {name: value for name, value in found.items() if not math.isnan(value)} | run.noted

    def add(self, version: ModelVersion, figures: Mapping[str, float], files: Sequence[Path] = ()) -> None:
        self._run(version.run_id).figures(figures)
        self.attach(version.run_id, files)

    def attach(self, run_id: str, files: Sequence[Path], *, under: str | None = None) -> None:
        folder = self.folder / "runs" / run_id / (under or "")
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copy(path, folder / path.name)

    def keep_report(self, files: Sequence[Path]) -> None:
        folder = self.folder / "report"
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copy(path, folder / path.name)

    def runs(self, most: int = 100) -> list[RunRecord]:
        newest = list(reversed(self.runs_begun))[:most]
        return [
            RunRecord(run.run_id, cast(Kind, run.kind), run.status, run.begun, run.failure or "")
            for run in newest
        ]

    def read(self, run_id: str, name: str) -> bytes | None:
        path = self.folder / "runs" / run_id / name
        return path.read_bytes() if path.is_file() else None

    def versions(self) -> list[ModelVersion]:
        return list(self._versions.values())

    def version(self, number: int) -> ModelVersion:
        if number in self._versions:
            return self._versions[number]
        known = ", ".join(map(str, self._versions)) or "none"
        raise UserError(f"{self.name} has no version {number}; there are: {known}")

    def alias(self, name: str) -> ModelVersion | None:
        return self._versions[self._aliases[name]] if name in self._aliases else None

    def point(self, alias: str, version: int | None) -> None:
        if version is None:
            self._aliases.pop(alias, None)
        else:
            self._aliases[alias] = self.version(version).version

    def bundle(self, version: int) -> Path:
        folder = self.folder / "versions" / str(self.version(version).version)
        if digest(folder) != self.version(version).sha256:
            raise BrokenBundle(f"{self.name} version {version}: the files in {folder} were changed")
        return folder

    def promote(self, version: int, *, expected: int | None, author: str, reason: str) -> ModelVersion:
        self.bundle(version)
        actual = self._aliases.get(CHAMPION)
        if actual not in (expected, version):
            raise ChampionMoved(f"{self.name}: the champion is version {actual}, not {expected}")
        if actual != version:
            self._explain(version, "promoted", author, reason)
            self.point(PREVIOUS, actual)
            self.point(CHAMPION, version)
        return self.version(version)

    def rollback(self, *, author: str, reason: str) -> ModelVersion:
        champion, previous = self.alias(CHAMPION), self.alias(PREVIOUS)
        if previous is None or champion is None or previous.version == champion.version:
            raise UserError(f"{self.name}: there is no previous champion to go back to")
        self.bundle(previous.version)
        self._explain(champion.version, "rolled_back", author, reason)
        self.point(CHAMPION, previous.version)
        self.point(PREVIOUS, None)
        return self.version(previous.version)

    def _enter(self, key: str, kind: str) -> FakeRun:
        for run in self.runs_begun:
            if run.key == key and run.status != "FAILED":
                run.resumed = True
                return run
        self.runs_begun.append(FakeRun(f"run{len(self.runs_begun)}", key, kind, self))
        return self.runs_begun[-1]

    def _run(self, run_id: str) -> FakeRun:
        return next(run for run in self.runs_begun if run.run_id == run_id)

    def _add(
        self,
        run: FakeRun,
        bundle: Path,
        tags: Mapping[str, object],
        parent: int | None,
        trained_until: datetime | None,
    ) -> ModelVersion:
        number = len(self._versions) + 1
        shutil.copytree(bundle, self.folder / "versions" / str(number))
        texts = {name: str(value) for name, value in tags.items()} | {"sha256": digest(bundle)}
        kind: Any = run.kind
        self._versions[number] = ModelVersion(
            self.name, number, run.run_id, kind, parent, trained_until, datetime.now(UTC), texts
        )
        return self._versions[number]

    def _explain(self, version: int, what: str, author: str, reason: str) -> None:
        found = self._versions[version]
        self._versions[version] = ModelVersion(
            **(vars(found) | {"tags": {**found.tags, f"{what}.author": author, f"{what}.reason": reason}})
        )
