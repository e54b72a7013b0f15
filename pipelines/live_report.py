"""The report of a project: its page, made from the log and the registry, with Evidently's reports beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.losses import default_loss
from pipelines.bundle import BrokenBundle
from pipelines.document import write_whole
from pipelines.errors import UserError
from pipelines.outbox import open_alerts, past_alerts
from pipelines.replay_page import version_curves
from pipelines.report_columns import MOST_WINDOWS, column_table
from pipelines.report_labels import read_coverage
from pipelines.report_page import ReportPage, render_report
from pipelines.report_windows import ReportWindow, read_life
from pipelines.service import bundle_of, reference_of
from pipelines.standing import Standing, circumstances, spark_of, standing, version_count
from pipelines.stores import Stores, open_stores
from pipelines.window_counts import CountedWindow, WindowCells, window_counts

if TYPE_CHECKING:
    from pipelines.project import Project
    from pipelines.reference import Reference

logger = logging.getLogger(__name__)

PAGE = "report.html"
Say = Callable[[str], None]


@dataclass(frozen=True)
class ReportResult:
    """What was written. page: the report; inputs: Evidently's reports beside it that were made now.

    standing: what happened and what to do next; windows: all that were judged, the oldest first; replay: page of a
    replay, where nothing is in service and there is one.
    """

    name: str
    page: str
    inputs: tuple[str, ...]
    versions: int
    standing: Standing
    windows: tuple[ReportWindow, ...]
    replay: str | None = None
    warnings: tuple[str, ...] = ()
    spark: str | None = field(default=None, metadata={"json": False})

    def lines(self) -> list[str]:
        told = [f"{self.name}: {self.standing.headline}"]
        told += [self.spark] if self.spark else []
        told += [f"  {finding.text}" for finding in self.standing.findings]
        told.append(f"next: {self.standing.command or self.standing.advice}")
        told += [f"warning: {warning}" for warning in self.warnings]
        told += [f"page of the replay: {self.replay}"] if self.replay else []
        told.append(f"page: {self.page}")
        return [*told, *(f"Evidently: {page}" for page in self.inputs)]


def report(
    project: Project,
    path: Path | None = None,
    *,
    windows: Sequence[int] = (),
    replayed: bool = False,
    say: Say | None = None,
) -> ReportResult:
    """Writes the page of what became of a project.

    path: of the page; report.html in the project's state by default. windows: numbers of windows of which Evidently's
    report is made, too. replayed: of the last replay instead of what is in service. say: told what is being done.
    """
    opened = project.for_replay() if replayed else project
    if replayed and not (opened.state / "mlflow.db").is_file():
        raise UserError(f"{project.name} has not been replayed. losswatch replay does it")
    stores, tell = open_stores(opened), say or (lambda text: None)
    page = path if path is not None else opened.state / PAGE
    return _Report(stores, page, replayed, tell).write(windows)


def after_monitor(project: Project, judged: Sequence[int]) -> ReportResult:
    """The report anew after these windows were judged, with Evidently's reports of those that [report] wants."""
    stores, wanted = open_stores(project), project.config.report.evidently
    made = _Report(stores, project.state / PAGE, False, lambda text: None)
    marked = {
        window.number for window in made.life.windows if wanted == "judged" or window.verdict != "quiet"
    }
    return made.write([number for number in judged if number in marked and wanted in ("marked", "judged")])


class _Report:
    """One report in the making: what is read once and used by several parts."""

    def __init__(self, stores: Stores, path: Path, replayed: bool, say: Say) -> None:
        self.stores, self.path, self.replayed, self.say = stores, path, replayed, say
        self.events = stores.log.events()
        self.life = read_life(self.events)
        self.versions = version_count(stores)
        self.now = self.events[-1].known_at if replayed and self.events else stores.project.now()

    def write(self, wanted: Sequence[int]) -> ReportResult:
        chosen = [*self._chosen(wanted), *self._newest(wanted)]
        self.say("counting what the windows hold")
        counts, references = self._counted(chosen)
        made = [self._inputs(window, counts, references) for window in chosen]
        self.say("writing the page")
        coverage = read_coverage(self.stores.log, self.now)
        found = standing(circumstances(self.stores, self.life, self.now, silence=coverage.silence))
        table = column_table(self.life.windows, counts, references) if counts else None
        page = ReportPage(
            name=self.stores.project.name,
            written=self.now,
            standing=found,
            loss_name=self._loss_name(),
            life=self.life,
            curves=version_curves(self.stores) if self.versions else (),
            columns=table,
            days=coverage.days,
            pages=self._pages(),
            replayed=self.replayed,
            alerts=(*open_alerts(self.events), *past_alerts(self.events)),
        )
        write_whole(render_report(page), self.path)
        inputs = tuple(str(one) for one in made if one is not None)
        return self._result(found, inputs, self._published([self.path, *map(Path, inputs)]))

    def _result(self, found: Standing, inputs: tuple[str, ...], warnings: tuple[str, ...]) -> ReportResult:
        replay = self.stores.project.state / "replay" / "replay.html"
        return ReportResult(
            name=self.stores.project.name,
            page=str(self.path),
            inputs=inputs,
            versions=self.versions,
            standing=found,
            windows=self.life.windows,
            replay=str(replay) if replay.is_file() and not self.life.windows else None,
            warnings=warnings,
            spark=spark_of(self.life.windows),
        )

    def _chosen(self, wanted: Sequence[int]) -> list[ReportWindow]:
        by_number = {window.number: window for window in self.life.windows}
        unknown = [number for number in wanted if number not in by_number]
        if unknown:
            known = f"{min(by_number)} to {max(by_number)}" if by_number else "none was judged yet"
            raise UserError(f"--window {unknown[0]}: no window of this number was judged; there are: {known}")
        return [by_number[number] for number in dict.fromkeys(wanted)]

    def _newest(self, wanted: Sequence[int]) -> list[ReportWindow]:
        """The newest window, where [report] wants it and it has no report yet: 6 s and 4 MB are spent once."""
        newest = self.life.windows[-1:]
        if self.stores.project.config.report.evidently == "never" or any(
            one.number in wanted for one in newest
        ):
            return []
        return [one for one in newest if not (self.path.parent / inputs_name(one.start)).is_file()]

    # --- columns ---

    def _counted(
        self, chosen: Sequence[ReportWindow] = ()
    ) -> tuple[dict[int, WindowCells], dict[int, Reference]]:
        """Of the windows that the page shows, and of those of which Evidently's report is to be made."""
        if not self.life.windows:
            return {}, {}
        delay = self.stores.project.config.data.label_delay
        windows = [
            CountedWindow(
                one.number, one.start, one.end, one.version, self.life.since_of(one), one.end + delay
            )
            for one in self.life.windows
            if one in chosen or one.number >= self.life.windows[-MOST_WINDOWS:][0].number
        ]
        counts = window_counts(self.stores, windows)
        versions = {window.version for window in self.life.windows if window.number in counts}
        return counts, {version: reference_of(self.stores, version) for version in sorted(versions)}

    def _inputs(
        self, window: ReportWindow, counts: Mapping[int, WindowCells], references: Mapping[int, Reference]
    ) -> Path | None:
        """Evidently's report of a window, of the very rows that the verdict is about; None where there are none."""
        if window.number not in counts or not counts[window.number].rows:
            return None
        return write_inputs(
            self.stores.project.name,
            window,
            counts[window.number],
            references[window.version],
            self.path.parent,
            self.say,
        )

    def _pages(self) -> dict[int, str]:
        """Evidently's reports that lie beside the page."""
        folder = self.path.parent
        names = {window.number: inputs_name(window.start) for window in self.life.windows}
        there = {path.name for path in folder.glob("window-*.html")} if folder.is_dir() else set()
        return {number: name for number, name in names.items() if name in there}

    # --- the rest ---

    def _loss_name(self) -> str:
        """As the version that serves, or the newest one, was judged by it."""
        config = self.stores.project.config
        known = config.network.loss or default_loss("regression")
        if not self.versions:
            return known
        serving = self.life.services
        newest = serving[-1].version if serving else self.stores.registry.versions()[-1].version
        try:
            return str(bundle_of(self.stores, newest).settings["loss"])
        except (BrokenBundle, KeyError) as error:
            logger.warning("the loss of version %d cannot be read: %s", newest, error)
            return known

    def _published(self, files: Sequence[Path]) -> tuple[str, ...]:
        """Keeps the pages in the tracking store, too; that it cannot is no reason to be without them."""
        if not self.versions:
            return ()
        try:
            self.stores.registry.keep_report(files)
        except Exception as error:
            logger.warning("the report is not kept in the tracking store: %s", error)
            return (f"the page is written, and not kept in the tracking store: {error}",)
        return ()


def write_inputs(
    name: str,
    window: ReportWindow,
    current: WindowCells,
    reference: Reference,
    folder: Path,
    say: Say,
) -> Path:
    """Evidently's report of a window in a folder, under a name that follows from its start."""
    from monitoring.report import evidently_report

    say(f"Evidently's report of window {window.number}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / inputs_name(window.start)
    title = f"{name}: inputs from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
    named = window.shifted if window.names_columns else None
    evidently_report(
        reference.profile, current.profile(), reference.thresholds, path, title=title, shifted=named
    )
    return path


def inputs_name(start: datetime) -> str:
    """The file name of Evidently's report: the date of the window's start, with the time where it is not midnight.

    >>> inputs_name(datetime(2013, 1, 28)), inputs_name(datetime(2013, 1, 28, 6, 30))
    ('window-2013-01-28.html', 'window-2013-01-28-0630.html')
    """
    hour = "" if (start.hour, start.minute) == (0, 0) else f"-{start:%H%M}"
    return f"window-{start:%Y-%m-%d}{hour}.html"
