"""A retraining: rows from the data and the log, the bake-off, the gate, and what serves from then on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.column_values import moments_of
from monitoring.decision import RetrainDecision
from monitoring.gate import Comparison, Promotion, compare_losses, judge_challenger
from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength, cut
from pipelines.bundle import Bundle
from pipelines.held_out import PIECES, held_out, piece_length
from pipelines.kept_curve import TrainingRecord, keep_curve
from pipelines.labelled import targets_of, usable
from pipelines.learning import (
    Candidate,
    Examples,
    Learned,
    bake_off,
    first_fit,
    joined_weights,
    make_lesson,
)
from pipelines.log_checks import refuse_to_retrain
from pipelines.making import made_of
from pipelines.moments import numpy_moment
from pipelines.network import fit_config_of, recipe_of, user_objects
from pipelines.objective import Objective, objective
from pipelines.packaging import pack
from pipelines.parts import VALIDATION, parts_again
from pipelines.prepared import Prepared, fit_schema, read_prepared
from pipelines.reference import (
    make_loss_reference,
    read_reference,
)
from pipelines.service import PROMOTION, RETRAINING, Service, begin_service, bundle_of, known_levels
from pipelines.sources import Table
from pipelines.training import settings_of
from pipelines.version_reference import AnsweredRows, version_reference
from pipelines.watch import WindowJudgement
from pipelines.watched_columns import watched_columns

if TYPE_CHECKING:
    from models.schema import Column, Schema
    from pipelines.registry import ModelVersion
    from pipelines.stores import Stores

Array = npt.NDArray[Any]

AUTHOR = "losswatch"
RECENT = 8  # windows that count as recent: where a decline is slow, the change has no one beginning
MOST_ANCHOR_ROWS = 10_000


@dataclass(frozen=True)
class Retraining:
    """A retraining that ended. window: number of the window that caused it."""

    window: int
    cause: str
    action: str
    champion: int
    challenger: int
    tried: tuple[Candidate, ...]
    chosen: str
    promotion: Promotion

    @property
    def promoted(self) -> bool:
        return self.promotion.promoted


@dataclass(frozen=True)
class KnownRows:
    """All rows with a known label, oldest first: of the first training, then of the log.

    held_out: mask of the logged rows that never train any version. change: since when things are different. judge:
    from here on rows are newer than all that ever trained, and judge the challenger. weights: what rows count in
    training; those of the log count 1.
    """

    columns: Mapping[str, Array]
    targets: Array  # float64, prepared
    times: Array
    held_out: npt.NDArray[np.bool_]
    change: np.datetime64
    judge: np.datetime64
    weights: npt.NDArray[np.float32] | None = None

    def examples(self, schema: Schema) -> Examples:
        def prepare(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
            return schema.inputs({name: values[rows] for name, values in self.columns.items()})

        every = np.arange(len(self.times))
        return Examples(every, self.targets.astype(np.float32), self.times, prepare, self.weights)

    def since(self, begin: np.datetime64) -> KnownRows:
        """Without the rows of a concept that is over."""
        rows = np.flatnonzero(self.times >= min(begin, self.change))
        columns = {name: values[rows] for name, values in self.columns.items()}
        weights = None if self.weights is None else self.weights[rows]
        return KnownRows(
            columns,
            self.targets[rows],
            self.times[rows],
            self.held_out[rows],
            self.change,
            self.judge,
            weights,
        )

    @property
    def newest(self) -> npt.NDArray[np.intp]:
        """Rows that judge a challenger."""
        return np.flatnonzero(self.times >= self.judge)

    @property
    def anchor(self) -> npt.NDArray[np.intp]:
        """Rows from before the change that never trained."""
        return np.flatnonzero(self.held_out & (self.times < self.change))[-MOST_ANCHOR_ROWS:]


def retrain_version(
    stores: Stores, service: Service, judgement: WindowJudgement, decision: RetrainDecision, now: datetime
) -> Retraining:
    """Trains a challenger, lets the gate judge it, and begins a new service: of the winner, on a new reference."""
    champion = bundle_of(stores, service.version)
    goal = objective(stores.project, champion.schema.target.task)
    change = numpy_moment(judgement.harm_since or judgement.window.start)
    known = known_rows(stores, service, champion, change, now)
    key = f"{decision.action}-{service.version}-{judgement.number}"
    parameters = {"cause": judgement.verdict.kind, "champion": service.version, "window": judgement.number}
    tags = {"losswatch.reason": "; ".join(decision.reasons)[:4000], **made_of(stores.project).tags()}
    with stores.registry.run(key, kind=decision.action, parameters=parameters, tags=tags) as run:
        if run.version is not None:  # an earlier process was stopped between the version and the gate
            version, learned = run.version, None
        else:
            schema = _schema(stores, champion, known, decision)
            learned = _learn(stores, champion, schema, known, judgement, decision, goal)
            for epoch in learned.history.epochs:
                if epoch.epoch >= 0:
                    run.epoch(epoch)
            history, rows = learned.history, learned.best.rows
            keep_curve(run, TrainingRecord(goal.name, history.epochs, history.best_epoch, rows=rows))
            version = _register(stores, run, schema, champion, learned, known, goal, service)
        challengers = max(len(learned.tried) if learned else 1, 1)
        challenger = bundle_of(stores, version.version)
        promotion = _gate(stores, champion, challenger, known, goal, judgement, challengers)
        run.figures(_figures(promotion))
    tried = learned.tried if learned else ()
    chosen = learned.best.name if learned else "trained before"
    retraining = Retraining(
        judgement.number,
        judgement.verdict.kind,
        decision.action,
        service.version,
        version.version,
        tried,
        chosen,
        promotion,
    )
    _conclude(stores, service, retraining, known, goal, now)
    return retraining


def learn_again(
    stores: Stores, service: Service, judgement: WindowJudgement, decision: RetrainDecision, now: datetime
) -> Learned:
    """What a retraining learns from what is known at `now`; nothing is written."""
    champion = bundle_of(stores, service.version)
    change = numpy_moment(judgement.harm_since or judgement.window.start)
    known = known_rows(stores, service, champion, change, now)
    goal = objective(stores.project, champion.schema.target.task)
    schema = _schema(stores, champion, known, decision)
    return _learn(stores, champion, schema, known, judgement, decision, goal)


def known_rows(
    stores: Stores, service: Service, champion: Bundle, change: np.datetime64, now: datetime
) -> KnownRows:
    """Every row with a label that is known now: the rows of the first training, and those of the log."""
    schema, target = champion.schema, champion.schema.target.name
    refuse_to_retrain(stores.project.config.log, schema)
    table = _first_rows(stores, champion).table
    begins = numpy_moment(service.anchor)
    first = table.rows((table.times < begins) & table.frame[target].notna().to_numpy())
    levels = known_levels(stores, service.version)
    rows = stores.log.predictions(
        service.anchor, now, known_until=now, columns=schema.column_names, levels=levels
    )
    rows = rows.take(usable(rows, schema))
    times = np.concatenate([first.times.astype("datetime64[us]"), rows.times])
    logged = np.arange(len(times)) >= len(first.times)
    config = stores.project.config
    apart = held_out(
        times,
        np.concatenate([first.ids, rows.ids]),
        by=champion.settings["held_out"],
        length=service.window,
        share=config.gate.held_out,
        seed=config.project.seed,
    )
    columns = {
        column.name: together(column, first.frame[column.name].to_numpy(), rows.columns[column.name])
        for column in schema.columns
    }
    targets = np.concatenate([schema.targets(first.frame).astype(np.float64), targets_of(rows, schema)])
    judge = judge_from(times, change, service.window, config.gate.share)
    weights = joined_weights((first.weights, len(first.times)), (None, len(rows)))
    known = KnownRows(columns, targets, times, apart & logged, change, judge, weights)
    since = champion.settings.get("true_since")
    return known.since(np.datetime64(since)) if since else known


def together(column: Column, first: Array, later: Array) -> Array:
    """The values of one column from the data and from the log, where a date may be a time or its text."""
    if column.takes == "date":
        return np.concatenate([moments_of(first), moments_of(later)])
    return np.concatenate([first, later])


def judge_from(times: Array, change: np.datetime64, window: WindowLength, share: float) -> np.datetime64:
    """Where the newest rows begin: `share` of the rows since the change, but at most of two windows."""
    since = times[times >= change]
    if not len(since):
        return change
    newest = since[min(int((1.0 - share) * len(since)), len(since) - 1)]
    two = 2 * PIECES * piece_length(window)
    return np.datetime64(max(newest, times[-1] - two), "us")


def _first_rows(stores: Stores, champion: Bundle) -> Prepared:
    """The rows of the first training, without those that were held out from all."""
    identity = champion.settings["data"]
    key = ("prepared", identity)
    if key not in stores.memo:
        whole = read_prepared(stores.project, identity)
        remembered = champion.settings.get("parts", {})
        parts = parts_again(stores.project.config.data, remembered, whole.table, validation=VALIDATION)
        stores.memo[key] = replace(whole, table=parts.table)
    found: Prepared = stores.memo[key]
    return found


def _schema(stores: Stores, champion: Bundle, known: KnownRows, decision: RetrainDecision) -> Schema:
    """The champion's preparation, widened to what the new rows hold; or a new one, which can see what changed."""
    if decision.action == "refit":
        return refitted_schema(stores, champion, known)
    learn = known.times < known.judge
    return champion.schema.widened({name: values[learn] for name, values in known.columns.items()})


def _learn(
    stores: Stores,
    champion: Bundle,
    schema: Schema,
    known: KnownRows,
    judgement: WindowJudgement,
    decision: RetrainDecision,
    goal: Objective,
) -> Learned:
    project = stores.project
    seed = project.config.project.seed + judgement.number
    config = fit_config_of(project, schema, seed=seed)
    length = judgement.window.end - judgement.window.start
    lesson = make_lesson(
        known.examples(schema),
        known.held_out,
        change=known.change,
        recent=numpy_moment(judgement.window.end - RECENT * length),
        judge=known.judge,
    )
    if decision.action == "refit":
        recipe = recipe_of(project, goal, schema.target.task)
        rows = lesson.old.joined(lesson.since)
        restarts = project.config.network.restarts
        return first_fit(recipe, schema, rows, lesson.validation, config, restarts=restarts)
    rng = np.random.default_rng((seed, judgement.number))
    return bake_off(
        champion.keras,
        lesson,
        project.config.retrain,
        config,
        goal.row_losses,
        rng=rng,
        risen=judgement.risen,
        objects=user_objects(project),
    )


def refitted_schema(stores: Stores, champion: Bundle, known: KnownRows) -> Schema:
    """A preparation learned from all rows but the newest."""
    import pandas as pd

    learn = known.times < known.judge
    frame = pd.DataFrame({name: values[learn] for name, values in known.columns.items()})
    target = champion.schema.target
    values = known.targets[learn]
    labels = np.array(target.classes, dtype=object)[values.astype(int)] if target.classes else values
    times = known.times[learn]
    return fit_schema(stores.project, Table(frame.assign(**{target.name: labels}), times, times.astype(str)))


def _register(
    stores: Stores,
    run: Any,
    schema: Schema,
    champion: Bundle,
    learned: Learned,
    known: KnownRows,
    goal: Objective,
    service: Service,
) -> ModelVersion:
    import pandas as pd

    from models.fit import predict

    late = np.flatnonzero(known.times >= known.change)
    columns = {name: values[late] for name, values in known.columns.items()}
    inputs = schema.inputs(columns)
    predictions = predict(learned.model, inputs).astype(np.float64)
    losses = goal.row_losses(known.targets[late], predictions)
    newest = known.times[late] >= known.judge
    windows = cut(known.times[late], service.anchor, service.window)
    loss = _reference_of(losses, late, known, service)
    watched = watched_columns(schema, columns, known.times[late])
    every = np.ones(len(late), dtype=bool)
    rows = AnsweredRows(
        watched, known.times[late], every, inputs, predictions, known.targets[late], losses, newest
    )
    reference = version_reference(learned.model, schema, goal, rows, windows, loss)
    first = _first_rows(stores, champion)
    settings = {
        **settings_of(goal, schema, first, stores.project),
        "held_out": champion.settings["held_out"],
        "parts": champion.settings.get("parts", {}),
        "true_since": _true_since(champion, learned, known),
    }
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame(columns)
        pack(Path(folder) / "bundle", learned.model, schema, frame, reference=reference, settings=settings)
        version: ModelVersion = run.register(
            Path(folder) / "bundle",
            signature_frame=frame.iloc[:5],
            tags={"losswatch.data": champion.settings["data"], "losswatch.chosen": learned.best.name},
            parent=service.version,
            trained_until=known.judge.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC),
        )
    stores.registry.point("challenger", version.version)
    return version


def _true_since(champion: Bundle, learned: Learned, known: KnownRows) -> str | None:
    """Rows from before are of a concept that is over: the best candidate was the one that had forgotten them."""
    if learned.best.name == "since the change":
        return str(known.change)
    return champion.settings.get("true_since")


def _reference_of(losses: Array, late: Array, known: KnownRows, service: Service) -> LossReference:
    """The level of these losses on the newest rows; losses: of the rows `late`."""
    times = known.times[late]
    windows = cut(times, service.anchor, service.window)
    return make_loss_reference(losses, times >= known.judge, times, windows, before=service.reference)


def _gate(
    stores: Stores,
    champion: Bundle,
    challenger: Bundle,
    known: KnownRows,
    goal: Objective,
    judgement: WindowJudgement,
    challengers: int,
) -> Promotion:
    """Both versions, as they would serve, on the newest rows, and on those of before."""
    config = stores.project.config.gate

    def compare(rows: Array) -> Comparison | None:
        if len(rows) < 2:
            return None
        losses = [_served_losses(bundle, known, rows, goal) for bundle in (champion, challenger)]
        return compare_losses(*losses, confidence=config.confidence, challengers=challengers)

    counts = judgement.verdict.kind != "concept change"
    return judge_challenger(compare(known.newest), compare(known.anchor), config, anchor_counts=counts)


def _served_losses(bundle: Bundle, known: KnownRows, rows: Array, goal: Objective) -> Array:
    """Losses of rows by a version as the scoring server would answer them."""
    from pipelines.scoring import Scorer

    columns = {name: values[rows] for name, values in known.columns.items()}
    return goal.row_losses(
        known.targets[rows], Scorer.load(bundle.folder).predict(columns).astype(np.float64)
    )


def _figures(promotion: Promotion) -> dict[str, float]:
    figures = {"gate_promoted": float(promotion.promoted)}
    for name, compared in (("new", promotion.new), ("anchor", promotion.anchor)):
        if compared is not None:
            figures[f"gate_{name}_champion"] = compared.champion
            figures[f"gate_{name}_challenger"] = compared.challenger
            figures[f"gate_{name}_rows"] = float(compared.rows)
    return figures


def _conclude(
    stores: Stores,
    service: Service,
    retraining: Retraining,
    known: KnownRows,
    goal: Objective,
    now: datetime,
) -> None:
    """Moves the alias if the gate let it in, and writes down what serves from now on, and against what."""
    reason = "; ".join(retraining.promotion.reasons)
    reference = _new_reference(stores, service, retraining, known, goal)
    if retraining.promoted:
        stores.registry.promote(
            retraining.challenger, expected=retraining.champion, author=AUTHOR, reason=reason
        )
        payload = {"from": retraining.champion, "to": retraining.challenger, "reason": reason}
        stores.log.append_event(
            PROMOTION, payload, known_at=now, author=AUTHOR, key=f"promotion {retraining.challenger}"
        )
    stores.log.append_event(
        RETRAINING,
        {**asdict(retraining), "promoted": retraining.promoted, "reasons": retraining.promotion.reasons},
        known_at=now,
        author=AUTHOR,
        key=f"retraining {retraining.challenger}",
    )
    begin_service(
        stores,
        retraining.challenger if retraining.promoted else retraining.champion,
        now=now,
        anchor=service.anchor,
        window=service.window,
        reference=reference,
        author=AUTHOR,
        reason=reason,
    )


def _new_reference(
    stores: Stores, service: Service, retraining: Retraining, known: KnownRows, goal: Objective
) -> LossReference:
    """The winner's own; the champion's loss of today where nothing betters it; else what it was: it can be had."""
    if retraining.promoted:
        return read_reference(bundle_of(stores, retraining.challenger).reference).loss
    if not retraining.promotion.settled:
        return service.reference
    late = np.flatnonzero(known.times >= known.change)
    losses = _served_losses(bundle_of(stores, retraining.champion), known, late, goal)
    return _reference_of(losses, late, known, service)
