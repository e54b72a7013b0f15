"""A retraining: rows from the data and the log, the bake-off, the gate, and what serves from then on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.decision import RetrainDecision
from monitoring.gate import Comparison, Promotion, compare_losses, judge_challenger
from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength, cut
from pipelines.bundle import Bundle
from pipelines.held_out import held_out
from pipelines.learning import Candidate, Examples, Learned, bake_off, first_fit, make_lesson
from pipelines.objective import Objective, objective
from pipelines.packaging import pack
from pipelines.prepared import Prepared, fit_schema, read_prepared
from pipelines.reference import make_loss_reference, make_reference
from pipelines.service import PROMOTION, RETRAINING, Service, begin_service, bundle_of
from pipelines.sources import Table
from pipelines.training import recipe_of, settings_of
from pipelines.watch import WindowJudgement, targets_of

if TYPE_CHECKING:
    from models.schema import Schema
    from pipelines.registry import ModelVersion
    from pipelines.stores import Stores

Array = npt.NDArray[Any]

AUTHOR = "losswatch"
RECENT = 8  # windows that count as recent: where a decline is slow, the change has no one beginning
VALIDATION = 0.15  # of the new rows that may train: they stop an update and choose among the candidates
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

    logged: mask of the rows that came from the log. held_out: mask of those that never train.
    """

    columns: Mapping[str, Array]
    targets: Array  # float64, prepared
    times: Array
    logged: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]

    def examples(self, schema: Schema) -> Examples:
        return Examples(schema.inputs(self.columns), self.targets.astype(np.float32), self.times)


def retrain_version(
    stores: Stores, service: Service, judgement: WindowJudgement, decision: RetrainDecision, now: datetime
) -> Retraining:
    """Trains a challenger, lets the gate judge it, and begins a new service: of the winner, on a new reference."""
    champion = bundle_of(stores, service.version)
    goal = objective(stores.project, champion.schema.target.task)
    known = known_rows(stores, service, champion, now)
    change = _numpy(judgement.harm_since or judgement.window.start)
    key = f"{decision.action}-{service.version}-{judgement.number}"
    parameters = {"cause": judgement.verdict.kind, "champion": service.version, "window": judgement.number}
    tags = {"losswatch.reason": "; ".join(decision.reasons)[:4000]}
    with stores.registry.run(key, kind=decision.action, parameters=parameters, tags=tags) as run:
        if run.version is not None:  # an earlier process was stopped between the version and the gate
            version, learned = run.version, None
        else:
            learned = _learn(stores, champion, known, change, judgement, decision)
            for epoch in learned.history.epochs:
                if epoch.epoch >= 0:
                    run.epoch(epoch)
            version = _register(stores, run, champion, learned, known, change, goal, service, now)
        promotion = _gate(
            stores, champion, bundle_of(stores, version.version), known, change, goal, judgement
        )
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
    _conclude(stores, service, retraining, known, change, goal, now)
    return retraining


def known_rows(stores: Stores, service: Service, champion: Bundle, now: datetime) -> KnownRows:
    """Every row with a label that is known now: the rows of the first training, and those of the log."""
    schema, target = champion.schema, champion.schema.target.name
    table = _first_rows(stores, champion).table
    begins = _numpy(service.anchor)
    first = table.rows((table.times < begins) & table.frame[target].notna().to_numpy())
    rows = stores.log.predictions(service.anchor, now, known_until=now)
    rows = rows.take(np.flatnonzero(rows.labelled))
    times = np.concatenate([first.times.astype("datetime64[us]"), rows.times])
    ids = np.concatenate([first.ids, rows.ids])
    logged = np.arange(len(times)) >= len(first.times)
    config = stores.project.config
    apart = held_out(
        times,
        ids,
        by=champion.settings["held_out"],
        length=service.window,
        share=config.gate.held_out,
        seed=config.project.seed,
    )
    targets = np.concatenate([schema.targets(first.frame).astype(np.float64), targets_of(rows, schema)])
    columns = {
        name: np.concatenate([first.frame[name].to_numpy(), rows.columns[name]])
        for name in schema.column_names
    }
    return KnownRows(columns, targets, times, logged, apart & logged)


def _first_rows(stores: Stores, champion: Bundle) -> Prepared:
    identity = champion.settings["data"]
    key = ("prepared", identity)
    if key not in stores.memo:
        stores.memo[key] = read_prepared(stores.project, identity)
    found: Prepared = stores.memo[key]
    return found


def _learn(
    stores: Stores,
    champion: Bundle,
    known: KnownRows,
    change: np.datetime64,
    judgement: WindowJudgement,
    decision: RetrainDecision,
) -> Learned:
    project = stores.project
    seed = project.config.project.seed + judgement.number
    config = project.config.network.fit_config(seed=seed)
    if decision.action == "refit":
        return _refit(stores, champion, known, change)
    length = judgement.window.end - judgement.window.start
    lesson = make_lesson(
        _training_rows(known, champion.schema),
        change=change,
        recent=_numpy(judgement.window.end - RECENT * length),
        validate=_validating(stores, champion, known)[~known.held_out],
    )
    return bake_off(
        champion.keras,
        lesson,
        project.config.retrain,
        config,
        rng=np.random.default_rng((seed, judgement.number)),
    )


def _training_rows(known: KnownRows, schema: Schema) -> Examples:
    return known.examples(schema).take(np.flatnonzero(~known.held_out))


def _validating(stores: Stores, champion: Bundle, known: KnownRows) -> npt.NDArray[np.bool_]:
    """Rows of the log that stop an update: another draw than those of the gate."""
    return known.logged & held_out(
        known.times,
        np.arange(len(known.times)).astype(str),
        by=champion.settings["held_out"],
        length=_window(champion),
        share=VALIDATION,
        seed=stores.project.config.project.seed + 1_000_003,
    )


def _window(champion: Bundle) -> WindowLength:
    return WindowLength.parse(str(champion.settings["window"]).replace(" ", ""))


def _refit(stores: Stores, champion: Bundle, known: KnownRows, change: np.datetime64) -> Learned:
    """A network from scratch, with a preparation that can see what changed."""
    project = stores.project
    schema = refitted_schema(stores, champion, known, change)
    goal = objective(project, schema.target.task)
    rows = _training_rows(known, schema)
    tail = max(int(0.85 * len(rows)), 1)
    return first_fit(
        recipe_of(project, goal, schema.target.task),
        schema,
        rows.take(np.arange(tail)),
        rows.take(np.arange(tail, len(rows))),
        project.config.network.fit_config(seed=project.config.project.seed),
    )


def refitted_schema(stores: Stores, champion: Bundle, known: KnownRows, change: np.datetime64) -> Schema:
    import pandas as pd

    frame = pd.DataFrame({name: values[~known.held_out] for name, values in known.columns.items()})
    target = champion.schema.target
    values = known.targets[~known.held_out]
    labels = np.array(target.classes, dtype=object)[values.astype(int)] if target.classes else values
    times = known.times[~known.held_out]
    return fit_schema(stores.project, Table(frame.assign(**{target.name: labels}), times, times.astype(str)))


def _register(
    stores: Stores,
    run: Any,
    champion: Bundle,
    learned: Learned,
    known: KnownRows,
    change: np.datetime64,
    goal: Objective,
    service: Service,
    now: datetime,
) -> ModelVersion:
    import pandas as pd

    schema = champion.schema
    if learned.best.name == "from scratch":
        schema = refitted_schema(stores, champion, known, change)
    late = known.times >= change
    late_columns = {name: values[late] for name, values in known.columns.items()}
    windows = cut(known.times[late], service.anchor, service.window)
    losses = _losses_by_keras(learned, schema, late_columns, known.targets[late], goal)
    loss = make_loss_reference(
        losses, known.held_out[late], known.times[late], windows, before=service.reference
    )
    reference = make_reference(late_columns, known.times[late], windows, loss=loss)
    first = _first_rows(stores, champion)
    settings = {**settings_of(goal, schema, first, stores.project), "held_out": champion.settings["held_out"]}
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame(late_columns)
        pack(Path(folder) / "bundle", learned.model, schema, frame, reference=reference, settings=settings)
        version: ModelVersion = run.register(
            Path(folder) / "bundle",
            signature_frame=frame.iloc[:5],
            tags={"losswatch.data": champion.settings["data"], "losswatch.chosen": learned.best.name},
            parent=service.version,
            trained_until=known.times[-1].astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC),
        )
    stores.registry.point("challenger", version.version)
    return version


def _losses_by_keras(
    learned: Learned, schema: Schema, columns: Mapping[str, Array], targets: Array, goal: Objective
) -> Array:
    from models.fit import predict

    return goal.row_losses(targets, predict(learned.model, schema.inputs(columns)).astype(np.float64))


def _gate(
    stores: Stores,
    champion: Bundle,
    challenger: Bundle,
    known: KnownRows,
    change: np.datetime64,
    goal: Objective,
    judgement: WindowJudgement,
) -> Promotion:
    """Both versions, as they would serve, on the held-out rows after the change, and on those before."""
    config = stores.project.config.gate
    new = np.flatnonzero(known.held_out & (known.times >= change))
    anchor = np.flatnonzero(known.held_out & (known.times < change))[-MOST_ANCHOR_ROWS:]
    return judge_challenger(
        _compare(champion, challenger, known, new, goal, config.confidence),
        _compare(champion, challenger, known, anchor, goal, config.confidence),
        config,
        anchor_counts=judgement.verdict.kind != "concept change",
    )


def _compare(
    champion: Bundle, challenger: Bundle, known: KnownRows, rows: Array, goal: Objective, confidence: float
) -> Comparison | None:
    if len(rows) < 2:
        return None
    losses = [_served_losses(bundle, known, rows, goal) for bundle in (champion, challenger)]
    return compare_losses(losses[0], losses[1], confidence=confidence)


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
    change: np.datetime64,
    goal: Objective,
    now: datetime,
) -> None:
    """Moves the alias if the gate let it in, and writes down what serves from now on, and against what."""
    reason = "; ".join(retraining.promotion.reasons)
    reference = _new_reference(stores, service, retraining, known, change, goal)
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
    stores: Stores,
    service: Service,
    retraining: Retraining,
    known: KnownRows,
    change: np.datetime64,
    goal: Objective,
) -> LossReference:
    """The winner's own reference, or the level to which the champion's loss has moved and stays."""
    if retraining.promoted:
        from pipelines.reference import read_reference

        return read_reference(bundle_of(stores, retraining.challenger).reference).loss
    late = np.flatnonzero(known.times >= change)
    losses = _served_losses(bundle_of(stores, retraining.champion), known, late, goal)
    windows = cut(known.times[late], service.anchor, service.window)
    return make_loss_reference(
        losses, known.held_out[late], known.times[late], windows, before=service.reference
    )


def _numpy(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
