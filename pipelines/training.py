"""The first training of a project: from prepared rows to a version in the registry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.baselines import Baseline, best_constant, fit_simple, fit_trees
from models.checkpoint import remove_checkpoint
from models.devices import device_remarks
from models.diagnosis import Diverged
from models.preparation import PrepareConfig
from pipelines.diagnosis import TAG, TrainingDiagnosis, curve_of, diverged, judge, read_diagnosis
from pipelines.duration import seconds_in_words
from pipelines.first_rows import FirstRows, first_rows
from pipelines.held_out import held_out_by
from pipelines.kept_curve import TrainingRecord, keep_broken, keep_curve
from pipelines.learning import Examples, Learned, RowLosses, first_fit
from pipelines.making import made_of
from pipelines.moments import moment_of
from pipelines.network import fit_config_of, recipe_of
from pipelines.objective import Objective, objective
from pipelines.packaging import pack
from pipelines.parts import remembered_parts
from pipelines.prepared import Prepared
from pipelines.reference import read_reference
from pipelines.service import bundle_of
from pipelines.tracking import Run, Tracking
from pipelines.trial import refuse_unfit
from pipelines.userfile import source_path

if TYPE_CHECKING:
    from models.history import EpochLoss
    from models.schema import Schema
    from pipelines.project import Project
    from pipelines.registry import ModelVersion
    from pipelines.stores import Stores

JUDGED_AT_ONCE = 65_536  # rows: their answers are all that a judgement adds to the memory


@dataclass(frozen=True)
class Trained:
    """A version and its losses: of the network, the best constant and a simple model on the validation rows.

    notes: what else is to be told of the training, a sentence each.
    """

    version: ModelVersion
    rows: int
    epochs: int
    best_epoch: int | None
    loss: float
    loss_constant: float
    loss_simple: float
    loss_name: str
    resumed: bool
    skipped: bool
    diagnosis: TrainingDiagnosis | None = None
    notes: tuple[str, ...] = ()


def training_identity(project: Project, data: str) -> str:
    """16 hex digits of everything that a first training follows from: rows, network, seed and the user's code."""
    config = project.config
    network = dataclasses.asdict(config.network)
    del network["accept_overfit"]  # it changes no weight: what was trained is not trained again
    parts: list[Any] = [data, config.data.target, config.project.seed, network, config.code.build]
    if config.prepare != PrepareConfig():
        parts.append(dataclasses.asdict(config.prepare))
    if config.data.split != "time":
        parts.append([config.data.split, config.data.group])
    if config.data.test_share:
        parts.append({"test_share": config.data.test_share})
    for reference in (config.code.build, config.network.loss):
        if reference and ":" in reference:
            path = source_path(reference, project.folder)
            parts.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def train_version(
    stores: Stores,
    prepared: Prepared | FirstRows,
    *,
    on_epoch: Callable[[EpochLoss], None] | None = None,
    trees: bool = False,
) -> Trained:
    """Fits the network on the older rows, stops it on the newer, and registers it; once for the same input.

    trees: whether boosted trees are grown too: only beside them it shows that a network learns too little.
    Raises UserError where a network or a loss of the user's own cannot be trained, stored or served, before anything
    is trained; Failed where the training diverged, or where its weights overfit and nobody said that they may.
    """
    project = stores.project
    rows = first_rows(project, prepared)
    schema = rows.schema
    goal = objective(project, schema.target.task)
    refuse_unfit(project, goal, schema, rows.train)
    recipe = recipe_of(project, goal, schema.target.task)
    identity = training_identity(project, rows.identity)
    parameters = {
        "data": rows.identity,
        "rows": len(rows.times),
        "width": schema.width,
        "schema": schema.identity,
        "seed": project.config.project.seed,
        "loss": goal.name,
        **dataclasses.asdict(project.config.network),
    }
    tags = {"losswatch.data": rows.identity, "losswatch.code": identity, **made_of(project).tags()}
    with stores.registry.run(f"fit-{identity}", kind="fit", parameters=parameters, tags=tags) as run:
        figures = _Figures(rows, goal, project.config.project.seed)
        if run.version is not None:
            epochs = stores.registry.curve(run.run_id)
            best = min(epochs, key=lambda epoch: epoch.validation_loss, default=None)
            loss = read_reference(bundle_of(stores, run.version.version).reference).loss.loss
            before = figures.trained(run.version, len(epochs), best.epoch if best else None, loss, True, True)
            return dataclasses.replace(before, diagnosis=read_diagnosis(run.version.tags))

        checkpoint = project.state / "checkpoints" / f"fit-{identity}"
        restarts = project.config.network.restarts
        tracking = Tracking(run, checkpoint.with_name(f"{checkpoint.name}.steps"), on_epoch)
        try:
            learned = first_fit(
                recipe,
                schema,
                rows.train,
                rows.validation,
                fit_config_of(project, schema, seed=project.config.project.seed),
                checkpoint=checkpoint,
                on_epoch=tracking.epoch,
                on_steps=tracking.steps,
                restarts=restarts,
                follow=tracking.start,
            )
        except Diverged as fault:
            failed = diverged(fault, project.config.network, rows.ids(fault.rows))
            keep_broken(run, tracking, figures.baselines(trees=False), failed, loss=goal.name)
            raise failed from fault
        _note_starts(run, learned, tracking)
        tracking.close(learned.history)
        curve = curve_of(
            learned,
            tracking.step_losses,
            figures.baselines(trees=trees),
            project.config.network,
            loss=goal.name,
            rows=figures.learned,
            own_network=project.config.code.build is not None,
        )
        keep_curve(run, TrainingRecord.of(learned, curve, loss=goal.name, judged=figures.judges))
        found = judge(curve, project.config.network, judges=figures.judges)
        reference = rows.reference(learned.model, goal)
        settings = settings_of(goal, schema, rows, project)
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "bundle"
            pack(bundle, learned.model, schema, rows.newest, reference=reference, settings=settings)
            run.figures(figures.of(reference.loss.loss))
            version = run.register(
                bundle,
                signature_frame=rows.oldest,
                tags={"losswatch.data": rows.identity, TAG: found.to_json()},
                trained_until=moment_of(rows.times[-1]),
            )
        remove_checkpoint(checkpoint)
        history = learned.history
        done = figures.trained(
            version, len(history.epochs), history.best_epoch, reference.loss.loss, run.resumed, False
        )
        return dataclasses.replace(
            done, diagnosis=found, notes=(*rows.notes, *_notes(learned, schema, project))
        )


def _note_starts(run: Run, learned: Learned, tracking: Tracking) -> None:
    """The curves of trainings from several seeds: the one that is kept as the run's own, and every one by number."""
    if not learned.starts:
        return
    tracking.choose(learned.chosen)
    for number, start in enumerate(learned.starts):
        curve = {} if start.history is None else {one.epoch: one.judged for one in start.history.epochs}
        run.points(f"start_{number}_validation_loss", curve)


def _notes(learned: Learned, schema: Schema, project: Project) -> tuple[str, ...]:
    """What is not here, how long it took, what several seeds reached, what a penalty has left: a sentence each."""
    network = project.config.network
    told = [*device_remarks(network.device, network.precision), _time_taken(learned)]
    if learned.starts:
        losses = [f"{start.loss:.4g}" if start.history else "diverged" for start in learned.starts]
        told.append(f"{len(losses)} starts: {', '.join(losses)}; kept is number {learned.chosen + 1}")
    if project.config.network.l1 and not project.config.code.build:
        from models.sparsity import sparsity

        left = sparsity(learned.model, schema.input_names)
        told += [left.sentence()] if left is not None else []
    return tuple(told)


def _time_taken(learned: Learned) -> str:
    each = [epoch.seconds for epoch in learned.history.epochs]
    if not each:
        return "no epochs: the network is as it began"
    whole, middle = seconds_in_words(sum(each)), seconds_in_words(float(np.median(each)))
    return f"{len(each)} epochs in {whole}, {middle} each"


def settings_of(
    goal: Objective, schema: Schema, rows: Prepared | FirstRows, project: Project
) -> Mapping[str, Any]:
    """What a version remembers of how it was made."""
    return {
        "loss": goal.name,
        "task": schema.target.task,
        "network": dataclasses.asdict(project.config.network),
        "data": rows.identity,
        "held_out": held_out_by(rows.times, rows.window),
        "window": str(rows.window),
        "split": project.config.data.split,
        "parts": remembered_parts(project.config.data, seed=project.config.project.seed),
        "made_of": dataclasses.asdict(made_of(project)),
    }


class _Figures:
    """The network beside the best constant and a simple model, on the same validation rows."""

    def __init__(self, rows: FirstRows, goal: Objective, seed: int) -> None:
        self._name, self._rows = goal.name, len(rows.times)
        learn, judge, schema = rows.train, rows.validation, rows.schema
        task, outputs = schema.target.task, schema.outputs
        loss = goal.row_losses_of_chances
        costs = loss if goal.parameters else None
        constant = best_constant(task, goal.name, learn.targets, outputs=outputs, costs=costs)
        simple = fit_simple(task, learn.inputs, learn.targets, seed=seed, outputs=outputs)
        self.learned, self.judges = len(learn), len(judge)
        self._match = (task, learn, judge, loss, outputs, seed)
        self.constant = _mean_loss(constant, judge, loss)
        self.simple = _mean_loss(simple, judge, loss)

    def baselines(self, *, trees: bool) -> dict[str, float]:
        """Losses on the validation rows of what was learned without a network."""
        found = {"constant": self.constant, "simple": self.simple}
        return found | {"trees": self._trees()} if trees else found

    def _trees(self) -> float:
        task, learn, judge, loss, outputs, seed = self._match
        grown = fit_trees(task, learn.inputs, learn.targets, loss=self._name, outputs=outputs, seed=seed)
        return _mean_loss(grown, judge, loss)

    def of(self, loss: float) -> dict[str, float]:
        return {"final_loss": loss, "loss_constant": self.constant, "loss_simple": self.simple}

    def trained(
        self, version: ModelVersion, epochs: int, best: int | None, loss: float, resumed: bool, skipped: bool
    ) -> Trained:
        return Trained(
            version=version,
            rows=self._rows,
            epochs=epochs,
            best_epoch=best,
            loss=loss,
            loss_constant=self.constant,
            loss_simple=self.simple,
            loss_name=self._name,
            resumed=resumed,
            skipped=skipped,
        )


def _mean_loss(model: Baseline, judge: Examples, loss: RowLosses) -> float:
    """On all rows, piece by piece: there may be more of them than memory holds answers."""
    inputs, found = judge.inputs, []
    for begin in range(0, len(judge), JUDGED_AT_ONCE):
        piece = slice(begin, begin + JUDGED_AT_ONCE)
        answers = model.predict(inputs[piece]).astype(np.float64)
        found.append(loss(judge.targets[piece].astype(np.float64), answers))
    return float(np.mean(np.concatenate(found))) if found else float("nan")
