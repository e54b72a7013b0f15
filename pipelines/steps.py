"""The steps of the loop: plain functions of a project and a moment, run by hand, by a flow or by a replay."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.loss_scale import LossScale
from monitoring.decision import RetrainDecision, decide
from pipelines import heartbeat
from pipelines.alert_list import alert_lines
from pipelines.anchor import floor_to
from pipelines.curves import draw_failed, draw_run, is_drawn
from pipelines.diagnosis import TrainingDiagnosis
from pipelines.errors import Failed, UserError
from pipelines.estimating import ESTIMATE, PendingEstimate
from pipelines.file_rows import FileRows, prepare_files
from pipelines.forgetting import tidy
from pipelines.judged_evidence import kept_evidence
from pipelines.prepared import Prepared, fit_schema, prepare_rows
from pipelines.reading import in_batches
from pipelines.retraining import Retraining, retrain_version
from pipelines.service import (
    PROMOTION,
    RETRAINING,
    VERDICT,
    Service,
    begin_service,
    bundle_of,
    current_service,
    needed_service,
    past_retrainings,
)
from pipelines.standing import Standing, read_standing, spark_of, version_count
from pipelines.stores import Stores, open_stores
from pipelines.telling import tell
from pipelines.training import Trained, train_version
from pipelines.watch import WindowJudgement, pending, watch

if TYPE_CHECKING:
    from models.history import EpochLoss
    from monitoring.window import WindowLength
    from pipelines.log import Event
    from pipelines.project import Project

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

RETRAINS = ("update", "refit")  # the actions that are a retraining


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare` found in the data."""

    identity: str
    rows: int
    first: str
    last: str
    columns: int
    inputs: int
    task: str
    window: str
    fresh: bool
    notices: tuple[str, ...]

    def lines(self) -> list[str]:
        state = "prepared" if self.fresh else "already prepared"
        return [
            *self.notices,
            f"{state}: {self.rows:,} rows from {self.first} to {self.last}, {self.columns} columns, "
            f"{self.inputs} inputs, {self.task}, windows of a {self.window} ({self.identity})",
            "next: losswatch train",
        ]


def learnable(project: Project, progress: Say | None = None) -> Prepared | FileRows:
    """The rows of a project's data: in memory, or in files where they are read in batches."""
    found = in_batches(project.config.data, project.folder)
    return prepare_rows(project) if found is None else prepare_files(project, found, progress=progress)


def prepare(project: Project, *, progress: Say | None = None) -> PrepareResult:
    """Reads and checks the data, fits the schema, and keeps the rows by what they contain."""
    prepared = learnable(project, progress)
    if isinstance(prepared, FileRows):
        return _files_result(prepared)
    table = prepared.table
    schema = fit_schema(project, table)
    return PrepareResult(
        prepared.identity,
        len(table.times),
        str(table.times[0].astype("datetime64[s]")),
        str(table.times[-1].astype("datetime64[s]")),
        len(schema.columns),
        schema.width,
        schema.target.task,
        str(prepared.window),
        prepared.fresh,
        table.notices,
    )


def _files_result(prepared: FileRows) -> PrepareResult:
    return PrepareResult(
        prepared.identity,
        prepared.rows,
        str(prepared.times[0].astype("datetime64[s]")),
        str(prepared.times[-1].astype("datetime64[s]")),
        len(prepared.schema.columns),
        prepared.schema.width,
        prepared.schema.target.task,
        str(prepared.window),
        prepared.fresh,
        prepared.notes,
    )


@dataclass(frozen=True)
class TrainResult:
    """A trained version beside the figures that a network has to beat."""

    version: int
    run_id: str
    rows: int
    epochs: int
    best_epoch: int | None
    loss_name: str
    loss: float
    loss_constant: float
    loss_simple: float
    resumed: bool
    skipped: bool
    serves: bool
    diagnosis: TrainingDiagnosis | None = None
    notes: tuple[str, ...] = ()
    page: str | None = None  # of the curve
    chart: tuple[str, ...] = field(default=(), metadata={"json": False})

    @property
    def scale(self) -> LossScale:
        """The loss against the scale of the problem."""
        return LossScale(self.loss_name, self.loss, self.loss_constant, self.loss_simple)

    def lines(self) -> list[str]:
        told = [
            f"version {self.version}: {self.loss_name} {self.loss:.4g} on the newest rows, best constant "
            f"{self.loss_constant:.4g}, simple model {self.loss_simple:.4g}",
            self.scale.sentence(),
            *self.notes,
        ]
        if self.skipped:
            told.insert(0, "nothing to train: this version is of the same data, network and seed")
        elif self.resumed:
            told.insert(0, "went on with the training that had been stopped")
        if self.loss > self.loss_simple:
            told.append("the network does not beat the simple model: see docs/your-own-network.md")
        told += self.chart
        told += self.diagnosis.lines if self.diagnosis else ()
        told += [f"its curve: {self.page}"] if self.page else []
        told.append("it serves" if self.serves else f"next: losswatch promote {self.version} --first")
        return told


def train(
    project: Project,
    *,
    on_epoch: Callable[[EpochLoss], None] | None = None,
    progress: Say | None = None,
) -> TrainResult:
    """Trains the first network on all rows of the project's data, and registers it.

    progress: told what is done before the training, where that takes its time.
    """
    stores = open_stores(project)
    rows = learnable(project, progress)
    if progress is not None:
        progress("loading TensorFlow")
    try:
        trained = train_version(stores, rows, on_epoch=on_epoch, trees=True)
    except Failed as failed:
        page = draw_failed(stores, failed)
        if page is None:
            raise
        raise Failed(f"{failed}\n  its curve: {page}") from failed
    result = _train_result(stores, trained)
    if trained.skipped and is_drawn(stores, result.run_id):
        return result
    drawn = draw_run(stores, result.run_id)
    notes = (*result.notes, *([drawn.warning] if drawn.warning else []))
    return replace(result, notes=notes, page=drawn.page, chart=drawn.chart)


def _train_result(stores: Stores, trained: Trained) -> TrainResult:
    champion = stores.registry.alias("champion")
    return TrainResult(
        version=trained.version.version,
        run_id=trained.version.run_id,
        rows=trained.rows,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        loss_name=trained.loss_name,
        loss=trained.loss,
        loss_constant=trained.loss_constant,
        loss_simple=trained.loss_simple,
        resumed=trained.resumed,
        skipped=trained.skipped,
        serves=champion is not None and champion.version == trained.version.version,
        diagnosis=trained.diagnosis,
        notes=trained.notes,
    )


@dataclass(frozen=True)
class PromoteResult:
    """Which version serves now."""

    version: int
    previous: int | None

    def lines(self) -> list[str]:
        before = f", before it version {self.previous}" if self.previous else ""
        return [
            f"version {self.version} serves{before}",
            "next: losswatch serve, or losswatch up for everything",
        ]


def promote(
    project: Project, version: int | None, *, first: bool = False, author: str = "operator"
) -> PromoteResult:
    """Lets a version in by hand: the very first one, or one that the gate has passed."""
    stores, now = open_stores(project), project.now()
    champion = stores.registry.alias("champion")
    number = version if version is not None else _newest(stores)
    if first:
        if champion is not None:
            raise UserError(
                f"{project.name}: version {champion.version} serves already. Without --first a version must "
                "have passed the gate"
            )
        window = _window_of(stores, number)
        promote_first(stores, number, now=now, anchor=floor_to(now, window), window=window, author=author)
        return PromoteResult(number, None)
    return _promote_passed(stores, number, champion.version if champion else None, now, author)


def _promote_passed(
    stores: Stores, number: int, champion: int | None, now: datetime, author: str
) -> PromoteResult:
    if champion is None:
        raise UserError(f"{stores.project.name}: no version serves yet. Name the first with --first")
    if champion == number:
        return PromoteResult(number, None)
    passed = {event.payload["to"] for event in stores.log.events(kind=PROMOTION)}
    if number not in passed:
        raise UserError(
            f"{stores.project.name}: version {number} has not passed the gate, so it cannot serve. "
            "losswatch retrain trains a challenger and lets the gate judge it"
        )
    service = needed_service(stores, now)
    stores.registry.promote(number, expected=champion, author=author, reason="by hand")
    serve_again(stores, service, number, now=now, author=author, reason="by hand")
    return PromoteResult(number, champion)


def promote_first(
    stores: Stores, version: int, *, now: datetime, anchor: datetime, window: WindowLength, author: str
) -> None:
    """The first version of a project begins to serve, at the start of its first window."""
    from pipelines.reference import read_reference

    stores.registry.promote(version, expected=None, author=author, reason="the first version")
    payload = {"from": None, "to": version, "reason": "the first version"}
    stores.log.append_event(PROMOTION, payload, known_at=now, author=author, key=f"promotion {version}")
    begin_service(
        stores,
        version,
        now=now,
        anchor=anchor,
        window=window,
        reference=read_reference(bundle_of(stores, version).reference).loss,
        author=author,
        reason="the first version",
    )


def serve_again(
    stores: Stores, service: Service, version: int, *, now: datetime, author: str, reason: str
) -> None:
    """An older version serves again, against its own reference."""
    from pipelines.reference import read_reference

    begin_service(
        stores,
        version,
        now=now,
        anchor=service.anchor,
        window=service.window,
        reference=read_reference(bundle_of(stores, version).reference).loss,
        author=author,
        reason=reason,
    )


def rollback(project: Project, *, author: str = "operator") -> PromoteResult:
    """Undoes the last promotion: the previous champion serves again, with its own reference."""
    stores, now = open_stores(project), project.now()
    service = needed_service(stores, now)
    version = stores.registry.rollback(author=author, reason="rolled back by hand")
    serve_again(stores, service, version.version, now=now, author=author, reason="rolled back by hand")
    payload = {"from": service.version, "to": version.version, "reason": "rolled back by hand"}
    stores.log.append_event("rollback", payload, known_at=now, author=author)
    return PromoteResult(version.version, service.version)


def _newest(stores: Stores) -> int:
    versions = stores.registry.versions()
    if not versions:
        raise UserError(f"{stores.project.name} has no version yet. Train one with losswatch train")
    return versions[-1].version


def _window_of(stores: Stores, version: int) -> WindowLength:
    from monitoring.window import WindowLength

    return WindowLength.parse(str(bundle_of(stores, version).settings["window"]).replace(" ", ""))


@dataclass(frozen=True)
class JudgedWindow:
    """A window's verdict and what was decided, as the log keeps it."""

    number: int
    start: str
    end: str
    rows: int
    labelled: int
    loss: float
    version: int
    verdict: str
    action: str
    reasons: tuple[str, ...]

    def line(self) -> str:
        loss = "no labels" if self.loss != self.loss else f"loss {self.loss:.4g}"
        why = f": {self.reasons[0]}" if self.reasons else ""
        waiting = f", {self.labelled / self.rows:.0%} labelled" if self.labelled < self.rows else ""
        rows = f"{self.rows:,} rows{waiting}"
        return f"{self.start[:16]}  {rows}  {loss}  v{self.version}  {self.verdict} → {self.action}{why}"


@dataclass(frozen=True)
class MonitorResult:
    """The windows that were due, oldest first, and what is to be done now.

    action, reasons: of the newest verdict, also of one from an earlier run while its retraining has not happened.
    """

    windows: tuple[JudgedWindow, ...]
    action: str
    reasons: tuple[str, ...]
    labels_stopped: str | None = None  # since when, in words, where no label comes that was due
    pending: tuple[PendingEstimate, ...] = ()  # of windows whose labels are not due yet
    alerts: tuple[str, ...] = ()  # that began or got worse

    @property
    def harmful(self) -> bool:
        """Whether a retraining is asked for that has not happened yet."""
        return self.action in RETRAINS

    def lines(self) -> list[str]:
        told = [window.line() for window in self.windows]
        if not told:
            told.append("no window is due: each is judged when its labels are complete")
            told += [f"still to be done: {self.action}"] if self.harmful else []
        told += [estimate.line() for estimate in self.pending]
        if self.labels_stopped is not None:
            told.append(f"labels have stopped: {self.labels_stopped}")
        told += [f"alert {alert}" for alert in self.alerts]
        if self.harmful:
            told.append("next: losswatch retrain")
        return told


def monitor(project: Project, now: datetime) -> MonitorResult:
    """Judges every window that is due and not yet judged, decides, and tells once of harm and of silence."""
    stores, folder = open_stores(project), project.log_folder()
    try:
        found = monitor_stores(stores, now)
    except UserError:
        raise
    except Exception as error:
        _tell_of_failure(stores, folder, type(error).__name__, now)
        raise
    heartbeat.ran(folder, project.now())
    told = tell(stores, now)
    tidy(stores, now)
    labels = None if told.labels is None else str(told.labels)
    alerts = tuple(alert.line() for alert in told.new)
    return replace(found, labels_stopped=labels, alerts=alerts, pending=_estimated(stores, now))


def _tell_of_failure(stores: Stores, folder: Path, error: str, now: datetime) -> None:
    """Says that the monitor failed; whatever goes wrong with that does not hide why it failed."""
    heartbeat.ran(folder, stores.project.now(), failed=error)
    try:
        tell(stores, now, failed=error)
    except Exception as problem:
        logger.warning("that the monitor failed could not be told: %s", type(problem).__name__)


def _estimated(stores: Stores, now: datetime) -> tuple[PendingEstimate, ...]:
    """The estimates of windows whose labels are not due yet, written down as they are known first."""
    service = current_service(stores, now)
    if service is None:
        return ()
    found = pending(stores, service, now)
    for one in found:
        key = f"estimate {service.version} {one.start}"
        stores.log.append_event(ESTIMATE, asdict(one), known_at=now, author="losswatch", key=key)
    return found


def _pending(stores: Stores, now: datetime) -> PendingEstimate | None:
    """The newest estimate in the log, while the labels of its window are not due."""
    found = [PendingEstimate(**event.payload) for event in stores.log.events(known_until=now, kind=ESTIMATE)]
    newest = max(found, key=lambda one: one.start, default=None)
    return newest if newest is not None and datetime.fromisoformat(newest.due) > now else None


def serves(project: Project, now: datetime) -> bool:
    """Whether some version serves at a moment."""
    return current_service(open_stores(project), now) is not None


def monitor_stores(stores: Stores, now: datetime) -> MonitorResult:
    service = needed_service(stores, now)
    judged = stores.log.events(known_until=now, kind=VERDICT)
    after = max((event.payload["number"] for event in judged), default=-1)
    windows = []
    for judgement in watch(stores, service, now, after=after):
        decision = _decide(stores, judgement, now)
        windows.append(_remember(stores, judgement, decision, now))
    asked = _asked(stores, service, now)
    last = judged_window(asked) if asked else windows[-1] if windows else None
    return MonitorResult(tuple(windows), last.action if last else "keep", last.reasons if last else ())


def _decide(stores: Stores, judgement: WindowJudgement, now: datetime) -> RetrainDecision:
    return decide(
        judgement.verdict,
        window=judgement.number + 1,
        past=past_retrainings(stores, now),
        blind=judgement.blind,
        policy=stores.project.config.retrain,
    )


def _remember(
    stores: Stores, judgement: WindowJudgement, decision: RetrainDecision, now: datetime
) -> JudgedWindow:
    window = JudgedWindow(
        number=judgement.number,
        start=judgement.window.start.isoformat(),
        end=judgement.window.end.isoformat(),
        rows=judgement.rows,
        labelled=judgement.labelled,
        loss=judgement.loss,
        version=judgement.version,
        verdict=judgement.verdict.kind,
        action=decision.action,
        reasons=decision.reasons,
    )
    key = f"verdict {window.start}"
    payload = {**asdict(window), "evidence": kept_evidence(judgement)}
    stores.log.append_event(VERDICT, payload, known_at=now, author="losswatch", key=key)
    return window


@dataclass(frozen=True)
class RetrainResult:
    """What came of a retraining; none where nothing asked for one."""

    window: int | None
    cause: str
    action: str
    challenger: int | None
    promoted: bool
    reasons: tuple[str, ...]
    tried: tuple[Any, ...] = ()
    page: str | None = None  # of the curve

    def lines(self) -> list[str]:
        if self.challenger is None:
            return [*self.reasons]
        outcome = "promoted: it serves now" if self.promoted else "refused: the champion stays"
        tried = [f"  tried {one.name}: {one.rows:,} rows, loss {one.loss:.4g}" for one in self.tried]
        page = [f"its curve: {self.page}"] if self.page else []
        return [
            f"{self.action} for {self.cause}: version {self.challenger}",
            *tried,
            outcome,
            *self.reasons,
            *page,
        ]


def retrain(project: Project, now: datetime) -> RetrainResult:
    """Retrains if the newest verdict asks for it and nothing has been done about it yet; draws the curve of it."""
    stores = open_stores(project)
    result = retrain_stores(stores, now)
    if result.challenger is None:
        return result
    drawn = draw_run(stores, stores.registry.version(result.challenger).run_id)
    return replace(result, page=drawn.page)


def retrain_stores(stores: Stores, now: datetime) -> RetrainResult:
    service = needed_service(stores, now)
    asked = _asked(stores, service, now)
    if asked is None:
        return RetrainResult(None, "", "keep", None, False, ("no retraining: no new verdict asks for one",))
    retraining = retrain_version(stores, service, *_evidence(stores, service, asked, now), now)
    return _retrain_result(retraining)


def _asked(stores: Stores, service: Service, now: datetime) -> Event | None:
    """The newest verdict of this service where it asks for a retraining that has not happened yet."""
    verdicts = [
        event for event in stores.log.events(known_until=now, kind=VERDICT) if event.known_at >= service.since
    ]
    if not verdicts or verdicts[-1].payload["action"] not in RETRAINS:
        return None
    # a service begins with the end of a retraining; one that was cut off just before is taken up again
    ended = stores.log.events(known_until=service.since, kind=RETRAINING)
    number = verdicts[-1].payload["number"]
    return None if any(event.payload["window"] == number for event in ended) else verdicts[-1]


def _evidence(
    stores: Stores, service: Service, event: Event, now: datetime
) -> tuple[WindowJudgement, RetrainDecision]:
    """The judgement behind a verdict in the log, found again from the same rows."""
    number = event.payload["number"]
    judgements = watch(stores, service, now, after=number - 1)
    decision = RetrainDecision(event.payload["action"], tuple(event.payload["reasons"]))
    return judgements[0], decision


def _retrain_result(retraining: Retraining) -> RetrainResult:
    return RetrainResult(
        window=retraining.window,
        cause=retraining.cause,
        action=retraining.action,
        challenger=retraining.challenger,
        promoted=retraining.promoted,
        reasons=retraining.promotion.reasons,
        tried=retraining.tried,
    )


@dataclass(frozen=True)
class StatusResult:
    """Where a project stands."""

    name: str
    champion: int | None
    since: str | None
    versions: int
    rows_logged: int
    windows_judged: int
    retrainings: int
    promotions: int
    last: JudgedWindow | None
    standing: Standing | None = None
    spark: str | None = field(default=None, metadata={"json": False})
    pending: PendingEstimate | None = None  # of the newest window whose labels are not due yet
    alerts: tuple[str, ...] = ()  # what stands, who does not take it, and when the monitor last ran

    def lines(self) -> list[str]:
        if self.champion is None:
            waiting = f"{self.versions} version(s) trained" if self.versions else "no version trained"
            step = "losswatch promote --first" if self.versions else "losswatch train"
            return [f"{self.name}: {waiting}, none serves", f"next: {step}"]
        told = [
            f"{self.name}: version {self.champion} serves since {str(self.since)[:16]}; "
            f"{self.rows_logged:,} rows logged, {self.windows_judged} windows judged, "
            f"{self.retrainings} retrainings, {self.promotions} promotions"
        ]
        told += [self.spark] if self.spark else []
        where = self.standing.lines() if self.standing else []  # its last line says what to do next
        estimate = []
        if self.pending is not None and not (where and self.pending.trusted):  # else the standing tells it
            estimate = [self.pending.line()]
        return [*told, *where[:-1], *self.alerts, *estimate, *where[-1:]]


def status(project: Project) -> StatusResult:
    """Where a project stands, in step with its report."""
    stores, now = open_stores(project), project.now()
    service = current_service(stores, now) if project.state.exists() else None
    if not project.state.exists():
        return StatusResult(project.name, None, None, 0, 0, 0, 0, 0, None)
    verdicts = stores.log.events(kind=VERDICT)
    retrainings = past_retrainings(stores, now)
    found, life = read_standing(stores, now)
    return StatusResult(
        name=project.name,
        champion=service.version if service else None,
        since=service.since.isoformat() if service else None,
        versions=len(stores.registry.versions()) if service else version_count(stores),
        rows_logged=stores.log.count(),
        windows_judged=len(verdicts),
        retrainings=len(retrainings),
        promotions=sum(retraining.promoted for retraining in retrainings),
        last=judged_window(verdicts[-1]) if verdicts else None,
        standing=found,
        spark=spark_of(life.windows),
        pending=_pending(stores, now),
        alerts=tuple(alert_lines(stores, now)),
    )


def judged_window(event: Event) -> JudgedWindow:
    payload = {one.name: event.payload[one.name] for one in fields(JudgedWindow)}
    loss = payload["loss"]
    payload["loss"] = float("nan") if loss is None else loss
    return JudgedWindow(**{**payload, "reasons": tuple(payload["reasons"])})
