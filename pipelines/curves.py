"""The curve of any training, looked at again: from what its run keeps, as a page, as pictures, and in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.history import EpochLoss
from pipelines.curve_chart import chart
from pipelines.curve_view import BASELINES, CurveView, Spike
from pipelines.diagnosis import TrainingDiagnosis
from pipelines.errors import UserError
from pipelines.kept_curve import FAILURE, KeptCurve, read_kept
from pipelines.kept_rates import read_rates
from pipelines.stores import open_stores

if TYPE_CHECKING:
    from pipelines.errors import Failed
    from pipelines.project import Project
    from pipelines.registry import ModelVersion, RunRecord
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

FOLDER = "pictures"  # of a run, and of a project's state
PAGE = "training.html"
LOOKED_THROUGH = 1000  # runs, for one that is named


@dataclass(frozen=True)
class Drawn:
    """What was drawn of a training. page: None where that went wrong, and warning says why."""

    page: str | None
    chart: tuple[str, ...] = ()
    warning: str = ""


@dataclass(frozen=True)
class CurveResult:
    """One training: its epochs, what it is compared with, what its curve shows, and the files that were drawn.

    version: what it became; None where nothing was registered, and failure says why. best_epoch: whose weights are
    kept. baselines: losses of what was learned without a network. steps: how many are known.
    """

    name: str
    title: str
    version: int | None
    run_id: str
    kind: str
    loss_name: str
    summary: str
    failure: str
    best_epoch: int | None
    epochs: tuple[EpochLoss, ...]
    baselines: Mapping[str, float]
    diagnosis: TrainingDiagnosis | None
    steps: int
    spikes: tuple[Spike, ...]
    page: str
    pictures: tuple[str, ...]
    shown: tuple[str, ...] = field(default=(), metadata={"json": False})

    def lines(self) -> list[str]:
        found = self.diagnosis.lines if self.diagnosis else ()
        told = [self.title, self.summary, *self.shown]
        beside = [f"{BASELINES.get(name, name)} {loss:.4g}" for name, loss in self.baselines.items()]
        told += [f"beside it: {', '.join(beside)}"] if beside else []
        told += self.failure.splitlines() if self.failure else found
        told.append(f"page: {self.page}")
        return [*told, f"pictures: {', '.join(Path(path).name for path in self.pictures)}, beside it"]


def curve(
    project: Project, *, version: int | None = None, run: str | None = None, folder: Path | None = None
) -> CurveResult:
    """Draws a training from what its run keeps, without training anything.

    version, run: which; by default the newest training, also one that failed or is still going on. run: an id or its
    first letters. folder: where to; by default a folder of its own in the project's state.
    """
    stores = open_stores(project)
    record, became = _chosen(stores, version, run)
    kept = read_kept(stores.registry, project.name, record, became)
    place = folder if folder is not None else place_of(project, kept)
    files = draw(project, kept, place)
    view = CurveView(kept)
    return CurveResult(
        name=project.name,
        title=kept.title,
        version=kept.version,
        run_id=kept.run_id,
        kind=kept.kind,
        loss_name=kept.record.loss_name,
        summary=view.summary,
        failure=kept.failure,
        best_epoch=kept.record.kept,
        epochs=kept.epochs,
        baselines=kept.record.baselines,
        diagnosis=kept.record.diagnosis,
        steps=len(kept.steps),
        spikes=view.spikes,
        page=str(files[0]),
        pictures=tuple(map(str, files[1:])),
        shown=tuple(_shown(kept)),
    )


def draw(project: Project, kept: KeptCurve, folder: Path) -> list[Path]:
    """Writes the page, and then every picture, into a folder. Raises UserError where that cannot be written."""
    from pipelines.curve_page import write_curve_page
    from pipelines.curve_picture import pictures
    from pipelines.rate_picture import draw as draw_rates
    from pipelines.rate_picture import png

    rates = read_rates(project, kept.record.network)
    try:
        shown = draw_rates(rates.found, rates.title) if rates else None
        files = [write_curve_page(kept, folder / PAGE, rates=shown)]
        drawn = pictures(kept) | ({"rates.png": png(rates.found, rates.title)} if rates else {})
        for name, content in drawn.items():
            (folder / name).write_bytes(content)
            files.append(folder / name)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}. Name another folder"
        ) from None
    return files


def draw_run(stores: Stores, run_id: str) -> Drawn:
    """Draws a training that has just ended, and keeps page and pictures with its run; what goes wrong is only told."""
    try:
        record, became = _chosen(stores, None, run_id)
        kept = read_kept(stores.registry, stores.project.name, record, became)
        files = draw(stores.project, kept, place_of(stores.project, kept))
        stores.registry.attach(run_id, files, under=FOLDER)
        return Drawn(str(files[0]), tuple(_shown(kept)))
    except Exception as error:
        logger.info("a training could not be drawn", exc_info=error)
        reason = f"{type(error).__name__}: {error}"
        return Drawn(None, (), f"its pictures could not be drawn ({reason}); losswatch curve tries again")


def is_drawn(stores: Stores, run_id: str) -> bool:
    """Whether the page of a training lies with its run; where the store does not say, it is taken to."""
    try:
        return stores.registry.read(run_id, f"{FOLDER}/{PAGE}") is not None
    except Exception as error:
        logger.info("the files of run %s cannot be looked at", run_id, exc_info=error)
        return True


def draw_failed(stores: Stores, failed: Failed) -> str | None:
    """Draws the training that ended so, and gives its page; None where no training did, or where that goes wrong."""
    try:
        newest = stores.registry.runs(1)
    except Exception as error:
        logger.info("the run of a training that failed cannot be found", exc_info=error)
        return None
    ended = [
        run for run in newest if run.failure and f"{FAILURE}{failed}".startswith(run.failure)
    ]  # it may be cut
    return draw_run(stores, ended[0].run_id).page if ended else None


def place_of(project: Project, kept: KeptCurve) -> Path:
    """Where the pictures of a training lie on this machine."""
    name = f"version-{kept.version}" if kept.version is not None else f"run-{kept.run_id[:8]}"
    return project.state / FOLDER / name


def _shown(kept: KeptCurve) -> list[str]:
    return chart(kept.epochs, kept.record.kept)


def _chosen(stores: Stores, version: int | None, run: str | None) -> tuple[RunRecord, ModelVersion | None]:
    """A training by its version, by the beginning of its run's id, or the newest; and what it became."""
    project, registry = stores.project, stores.registry
    if project.config.store.tracking is None and not project.state.exists():  # looking would make a store
        raise UserError(f"{project.name} has no training yet. Begin one with losswatch train")
    begins = registry.version(version).run_id if version is not None else run or ""
    runs = registry.runs(LOOKED_THROUGH if begins else 1)
    found = [one for one in runs if one.run_id.startswith(begins)]
    if not runs:
        raise UserError(f"{project.name} has no training yet. Begin one with losswatch train")
    if not found or (run and len(found) > 1):
        known = ", ".join(one.run_id[:8] for one in runs[:5])
        what = "several runs begin" if found else "no run begins"
        raise UserError(f"{project.name}: {what} with {begins!r}. The newest are: {known}")
    versions = [one for one in registry.versions() if one.run_id == found[0].run_id]
    return found[0], versions[0] if versions else None
