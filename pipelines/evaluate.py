"""A version judged on rows that did not teach it: figures, rivals, slices, what matters, and why it is not better."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.bias_variance import BiasVariance, bias_variance, decompose
from models.evaluation import Answers, as_chances, calibration_limit, score_models
from models.importance import (
    attributed_importance,
    column_spans,
    integrated_gradients,
    permutation_importance,
)
from models.intervals import Resampling, resampling
from models.learning_curve import learning_curve, more_rows
from models.metrics import DIRECTIONS, Function, are_chances
from models.schema import SchemaError
from models.slices import declared_slices, grouping, weakest_slices
from models.split import split_in_time
from pipelines.answer import to_json
from pipelines.curves import draw_run
from pipelines.errors import Failed, UserError
from pipelines.evaluation import (
    Attributions,
    Comparison,
    DeclaredSlices,
    Evaluation,
    Inputs,
    JudgedRows,
    Model,
    Repeats,
    Subject,
    as_dates,
)
from pipelines.first_rows import examples
from pipelines.kept_curve import EVALUATION
from pipelines.learning import Examples
from pipelines.network import recipe_of, user_objects
from pipelines.objective import Objective, objective
from pipelines.parts import VALIDATION
from pipelines.repeated import Bench, metric_names, repeated_fits, sized_fits
from pipelines.rivals import Match, losses_of_chances, rivals
from pipelines.service import bundle_of
from pipelines.sources import Table
from pipelines.stores import open_stores
from pipelines.training_rows import Taught, TrainingRows, value_training_rows
from pipelines.unseen import (
    TIME_COLUMNS,
    Unseen,
    known_before,
    stopping_rows,
    taught_rows,
    time_columns,
    unseen_rows,
    with_column,
)
from pipelines.userfile import load_function, own_error

if TYPE_CHECKING:
    from models.slices import Grouping, Search, SliceWish
    from pipelines.bundle import Bundle
    from pipelines.project import Project
    from pipelines.registry import ModelVersion
    from pipelines.scoring import Scorer
    from pipelines.stores import Stores

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Say = Callable[[str], None]

SHUFFLED_ROWS = 10_000  # that columns are shuffled over: the rise is then known well enough to rank by
SHUFFLED_CELLS = 5_000_000  # rows x columns x repeats; a thousand columns take fewer rows
EXPLAINED_ROWS = 1000  # whose gradients are integrated, at dozens of points each
LINEAR = "the linear model"


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    version: number, by default the champion's, else the newest. against: another version to compare with, by default
    the one that this was updated from. file: of rows. fits: repeated trainings for bias and variance; runs: trainings
    of each number of rows for the learning curve; 0 for none. training_rows: whether rows that taught are valued.
    """

    version: int | None = None
    against: int | None = None
    file: Path | None = None
    fits: int = 0
    runs: int = 0
    training_rows: bool = False


@dataclass(frozen=True, eq=False)
class _Ground:
    """What an evaluation stands on: a version, and rows with its answers and losses."""

    stores: Stores
    version: ModelVersion
    bundle: Bundle
    scorer: Scorer
    goal: Objective
    unseen: Unseen
    rows: Examples
    inputs: npt.NDArray[np.float32]
    answers: Answers
    plan: Resampling
    columns: Mapping[str, Array]  # that slices are made of
    own: Mapping[str, Function]
    say: Say

    @property
    def task(self) -> Any:
        return self.bundle.schema.target.task

    @property
    def seed(self) -> int:
        return self.stores.project.config.project.seed

    @property
    def targets(self) -> Array:
        return self.rows.targets.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What the version learned from, and all rows that were known before those that are judged.

    learn: as arrays, of the rows of `table`. stop: others, that end a repeated training; never those that judge.
    """

    table: Table
    learn: Examples
    stop: Examples
    before: tuple[Array, Array]


def evaluate(project: Project, wish: Wish | None = None, *, progress: Say | None = None) -> Evaluation:
    """Judges a version on rows that did not teach it, and keeps what is found in the version's run."""
    begin, say, wish = time.monotonic(), progress or (lambda text: None), wish or Wish()
    stores = open_stores(project)
    version = _chosen(stores, wish.version)
    other, unseen, notices = _opponent(stores, version, wish, say)
    ground = _ground(stores, version, unseen, say)
    notices += ground.unseen.notices
    lesson = _lesson(ground, notices)
    comparison = _comparison(ground, other, lesson, notices)
    linear = _losses_of(comparison[1], LINEAR)
    evaluation = Evaluation(
        subject=Subject(project.name, version.version, version.run_id, ground.task, ground.goal.name),
        judged=_judged(ground),
        comparison=comparison[0],
        declared=tuple(_declared(ground, one, linear) for one in project.config.evaluate.slice_wishes()),
        search=_search(ground, linear),
        inputs=_inputs(ground, notices),
        repeats=_repeats(ground, lesson, comparison[0], wish, notices),
        training_rows=_training_rows(ground, lesson) if lesson and wish.training_rows else None,
        notices=tuple(notices),
        seconds=time.monotonic() - begin,
    )
    return _kept(ground, evaluation)


# --- which version, which rows ---


def _chosen(stores: Stores, number: int | None) -> ModelVersion:
    project = stores.project
    if project.config.store.tracking is None and not project.state.exists():  # looking would make a store
        raise UserError(f"{project.name} has no version yet. Train one with losswatch train")
    if number is not None:
        return stores.registry.version(number)
    champion = stores.registry.alias("champion")
    if champion is not None:
        return champion
    versions = stores.registry.versions()
    if not versions:
        raise UserError(f"{project.name} has no version yet. Train one with losswatch train")
    return versions[-1]


def _opponent(
    stores: Stores, version: ModelVersion, wish: Wish, say: Say
) -> tuple[ModelVersion | None, Unseen, list[str]]:
    """The version to compare with, if any, and rows that neither has seen; without them it is left out."""
    say("looking for rows that the version has not seen")
    now = stores.project.now()
    if wish.against == version.version:
        raise UserError(f"--against {wish.against}: that is the version that is judged. Name another one")
    if wish.against is not None:
        other = stores.registry.version(wish.against)
        return other, unseen_rows(stores, (version, other), now, file=wish.file), []
    rows = unseen_rows(stores, (version,), now, file=wish.file)
    if version.parent is None:
        return None, rows, []
    parent = stores.registry.version(version.parent)  # older, so that what is new to the version is new to it
    return parent, rows, []


def _ground(stores: Stores, version: ModelVersion, unseen: Unseen, say: Say) -> _Ground:
    from pipelines.scoring import Scorer

    config, bundle = stores.project.config, bundle_of(stores, version.version)
    goal = objective(stores.project, bundle.schema.target.task)
    own = _own_figures(stores.project)
    unseen = _drawn(unseen, config.evaluate.most_rows, config.project.seed)
    columns = _slice_columns(stores, unseen.table, config.evaluate.slice_wishes())
    say(f"version {version.version} answers {len(unseen.table.times):,} rows")
    rows = _examples(unseen.table, bundle)
    inputs, scorer = rows.inputs, Scorer.load(bundle.folder)
    answers = _answers(scorer, inputs, rows, goal, f"version {version.version}")
    plan = resampling(
        answers.losses,
        ordered=True,
        resamples=config.evaluate.resamples,
        confidence=config.evaluate.confidence,
        seed=config.project.seed,
    )
    return _Ground(
        stores, version, bundle, scorer, goal, unseen, rows, inputs, answers, plan, columns, own, say
    )


def _drawn(unseen: Unseen, most: int, seed: int) -> Unseen:
    """At most so many of the rows, in order."""
    count = len(unseen.table.times)
    if count <= most:
        return unseen
    chosen = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    notice = f"{most:,} of {count:,} rows are judged, drawn at random (evaluate.most_rows)"
    return dataclasses.replace(unseen, table=unseen.table.rows(chosen), notices=(*unseen.notices, notice))


def _examples(table: Table, bundle: Bundle) -> Examples:
    """Rows as the version's own schema prepares them; UserError with all their faults."""
    try:
        if faults := bundle.schema.check(table.frame, with_target=True):
            raise SchemaError(faults)
    except SchemaError as error:
        listed = "\n".join(f"  {fault}" for fault in error.faults)
        raise UserError(f"the rows do not fit what the version was made for:\n{listed}") from None
    return examples(table, bundle.schema)


def _answers(scorer: Scorer, inputs: Array, rows: Examples, goal: Objective, who: str) -> Answers:
    """What a version says as it would be served, as chances where it knows them, and what that costs."""
    raw = scorer.predict_inputs(inputs).astype(np.float64)
    if not np.isfinite(raw).all():
        wrong = int((~np.isfinite(raw).all(axis=1)).sum())
        raise Failed(f"{who} answers {wrong:,} of {len(raw):,} rows with NaN or infinity. Do not serve it")
    losses = goal.row_losses(rows.targets.astype(np.float64), raw)
    task = scorer.schema.target.task
    return Answers(as_chances(task, raw, logits=bool(goal.parameters.get("from_logits"))), losses)


def _own_figures(project: Project) -> dict[str, Function]:
    """The user's own figures by name; what they raise is told as a mistake of theirs."""
    found: dict[str, Function] = {}
    for reference in project.config.evaluate.metrics:
        function = load_function(reference, project.folder, key="evaluate.metrics")
        found[reference] = _told(function, reference, project.folder)
    return found


def _told(function: Function, reference: str, folder: Path) -> Function:
    def told(targets: Array, answers: Array) -> Any:
        try:
            return function(targets, answers)
        except Exception as error:
            raise own_error(f"evaluate.metrics = {reference!r}", error, folder) from error

    told.higher_is_better = getattr(function, "higher_is_better", None)  # type: ignore[attr-defined]
    return told


def _slice_columns(stores: Stores, table: Table, wishes: tuple[SliceWish, ...]) -> dict[str, Array]:
    """What slices are made of: the columns of the rows, their times, and left-out columns that a wish names."""
    target = stores.project.config.data.target
    found: dict[str, Array] = time_columns(table.times)
    found |= {str(name): table.frame[name].to_numpy() for name in table.frame.columns if name != target}
    for name in dict.fromkeys(name for wish in wishes for name in wish.columns):
        if name == target:
            found[name] = table.frame[name].to_numpy()
        elif name not in found:
            found[name] = with_column(stores, table, name)
    for wish in wishes:
        for name, bins in zip(wish.columns, wish.bins, strict=True):
            try:
                grouping(name, found[name], bins)
            except ValueError as problem:
                raise UserError(f"[evaluate] slices: column {name!r} {problem}") from None
    return found


def _judged(ground: _Ground) -> JudgedRows:
    first, last = as_dates(ground.rows.times)
    unseen, plan = ground.unseen, ground.plan
    return JudgedRows(
        len(ground.rows), first, last, unseen.source, unseen.tuned, plan.reason, plan.confidence
    )


# --- beside other models ---


def _lesson(ground: _Ground, notices: list[str]) -> _Lesson | None:
    """The rows that taught the version; None, with a notice, where they are gone."""
    stores, version, schema = ground.stores, ground.version, ground.bundle.schema
    try:
        table = taught_rows(stores, version)
        if version.kind == "fit" and not ground.unseen.tuned:
            stop = examples(stopping_rows(stores, version), schema)
        else:  # those that stopped it judge it, or nobody knows them: some of the newest take their place
            split = split_in_time(len(table.times), validation=VALIDATION)
            stop, table = examples(table.rows(split.validation), schema), table.rows(split.train)
        before = known_before(stores, version, ground.rows.times[0])
        return _Lesson(table, examples(table, schema), stop, (before.times, schema.targets(before.frame)))
    except (UserError, SchemaError) as error:
        notices.append(f"no baselines and no repeated trainings: {error}")
        return None


def _comparison(
    ground: _Ground, other: ModelVersion | None, lesson: _Lesson | None, notices: list[str]
) -> tuple[Comparison, Mapping[str, Answers]]:
    """All models on the same rows, and their losses."""
    models = {f"version {ground.version.version}": ground.answers}
    if other is not None:
        models |= _of_version(ground, other, notices)
    if lesson is not None:
        found = rivals(ground.stores.project.config.evaluate.baselines, _match(ground, lesson), ground.say)
        models |= found.answers
        notices += found.notices
    ground.say(f"figures of {len(models)} models, drawn {ground.plan.resamples} times")
    try:
        standing = score_models(
            ground.task,
            ground.targets,
            models,
            ground.plan,
            classes=ground.bundle.schema.target.classes,
            own=ground.own,
        )
    except ValueError as problem:
        raise UserError(f"[evaluate] metrics: a figure of yours {problem}") from None
    comparison = Comparison(
        tuple(Model(name, scores) for name, scores in standing.scores.items()),
        standing.contests,
        tuple(contest.verdict for contest in standing.contests),
        tuple(text for contest in standing.contests if (text := contest.disagreement)),
        calibration_limit(ground.task, ground.targets, ground.answers.answers, ground.plan),
    )
    return comparison, models


def _of_version(ground: _Ground, other: ModelVersion, notices: list[str]) -> dict[str, Answers]:
    """What another version says of the same rows; nothing, with a notice, where it predicts something else."""
    from pipelines.scoring import Scorer

    bundle, name = bundle_of(ground.stores, other.version), f"version {other.version}"
    if bundle.schema.target.classes != ground.bundle.schema.target.classes:
        notices.append(f"{name} was left out: its target has other classes")
        return {}
    rows = _examples(ground.unseen.table, bundle)
    return {name: _answers(Scorer.load(bundle.folder), rows.inputs, rows, ground.goal, name)}


def _match(ground: _Ground, lesson: _Lesson) -> Match:
    return Match(
        ground.task,
        ground.goal,
        ground.bundle.schema.outputs,
        lesson.learn,
        ground.rows,
        lesson.before,
        np.timedelta64(ground.stores.project.config.data.label_delay),
        ground.seed,
        not are_chances(ground.answers.answers),
    )


def _losses_of(models: Mapping[str, Answers], name: str) -> Array | None:
    return models[name].losses if name in models else None


# --- slices ---


def _declared(ground: _Ground, wish: SliceWish, linear: Array | None) -> DeclaredSlices:
    least = ground.stores.project.config.evaluate.least_rows
    found = declared_slices(
        wish, ground.columns, ground.answers.losses, ground.plan, other=linear, least_rows=least
    )
    skipped = "" if found else f"no group of at least {least} rows that is not all rows"
    return DeclaredSlices(wish.name, found, skipped)


def _search(ground: _Ground, linear: Array | None) -> Search:
    ground.say("searching for the weakest slices")
    groupings = _groupings(ground.columns, ground.bundle.schema.target.name)
    return weakest_slices(
        groupings,
        ground.answers.losses,
        ground.plan,
        other=linear,
        least_rows=ground.stores.project.config.evaluate.least_rows,
        seed=ground.seed,
    )


def _groupings(columns: Mapping[str, Array], target: str) -> list[Grouping]:
    """Every column that makes groups; the hour, weekday and month of the time only where no column says the same."""
    found: list[Grouping] = []
    for name in sorted(columns, key=lambda name: name in TIME_COLUMNS):
        if name == target:
            continue
        try:
            one = grouping(name, columns[name])
        except ValueError as problem:  # dates, which no schema takes either
            logger.debug("column %r is not searched: %s", name, problem)
            continue
        told = name in TIME_COLUMNS and any(_same_groups(one, other) for other in found)
        if len(one.labels) > 1 and not told:
            found.append(one)
    return found


def _same_groups(one: Grouping, other: Grouping) -> bool:
    both = len(np.unique(one.codes * len(other.labels) + other.codes))
    return both == len(np.unique(one.codes)) == len(np.unique(other.codes))


# --- what matters ---


def _inputs(ground: _Ground, notices: list[str]) -> Inputs:
    spans = column_spans(ground.bundle.schema)
    rows = _spread(len(ground.rows), min(SHUFFLED_ROWS, max(1000, SHUFFLED_CELLS // (5 * len(spans)))))
    plan = resampling(ground.answers.losses[rows], ordered=True, seed=ground.seed)
    shuffled = permutation_importance(
        lambda inputs: ground.scorer.predict_inputs(inputs).astype(np.float64),
        ground.goal.row_losses,
        ground.inputs[rows],
        ground.targets[rows],
        spans,
        plan,
        seed=ground.seed,
        say=ground.say,
    )
    return Inputs(len(rows), shuffled, _attributed(ground, notices))


def _attributed(ground: _Ground, notices: list[str]) -> Attributions | None:
    """Integrated gradients; None, with a notice, where the network has none."""
    from models.export import load_keras

    ground.say("what moved the answers: integrated gradients")
    rows, spans = _spread(len(ground.rows), EXPLAINED_ROWS), column_spans(ground.bundle.schema)
    try:
        model = load_keras(ground.bundle.keras, objects=user_objects(ground.stores.project), compiled=False)
        found = integrated_gradients(model, ground.inputs[rows], baseline=ground.inputs.mean(axis=0))
    except Exception as error:  # a network of the user's own may be anything
        logger.info("no integrated gradients", exc_info=error)
        notices.append(f"integrated gradients were left out: {type(error).__name__}: {error}")
        return None
    plan = resampling(found.answers, ordered=True, seed=ground.seed)
    return Attributions(len(rows), attributed_importance(found, spans, plan), found.gap)


def _spread(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most so many places, spread evenly over all."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.intp)


# --- repeated trainings ---


def _repeats(
    ground: _Ground, lesson: _Lesson | None, comparison: Comparison, wish: Wish, notices: list[str]
) -> Repeats | None:
    if lesson is None or not (wish.fits or wish.runs):
        return None
    bench = _bench(ground, lesson)
    notices += [*bench.notices, *_changed(ground)]
    spread = _bias_variance(ground, bench, comparison, wish.fits) if wish.fits else None
    runs = sized_fits(bench, wish.runs, ground.say) if wish.runs else ()
    directions = {name: DIRECTIONS[name] for name in metric_names(runs) if name in DIRECTIONS}
    laws = tuple(more_rows(runs, name, way, seed=ground.seed) for name, way in directions.items())
    return Repeats(
        spread,
        spread.verdict if spread else "",
        tuple(learning_curve(runs, name, way) for name, way in directions.items()),
        laws,
        tuple(law.verdict for law in laws),
    )


def _bench(ground: _Ground, lesson: _Lesson) -> Bench:
    """What repeated trainings learn from and are stopped on, as the version was."""
    stores, schema = ground.stores, ground.bundle.schema
    network, classes = stores.project.config.network, schema.target.classes
    return Bench(
        recipe_of(stores.project, ground.goal, ground.task),
        schema,
        ground.goal,
        lesson.learn.rows,
        lesson.stop.rows,
        ground.rows.rows,
        ground.own,
        ground.seed,
        lambda seed: network.fit_config(seed=seed, classes=classes),
    )


def _bias_variance(ground: _Ground, bench: Bench, comparison: Comparison, fits: int) -> BiasVariance:
    repeated = repeated_fits(bench, fits, ground.say)
    losses = ground.goal.row_losses_of_chances
    parts = decompose(ground.task, ground.goal.name, ground.targets, repeated.answers, losses)
    least = min(comparison.models, key=lambda model: model.scores.loss.value)
    return bias_variance(
        parts,
        ground.plan,
        fits=fits,
        rows=repeated.rows,
        seen=repeated.seen,
        least=least.scores.loss.value,
        least_name=least.name,
    )


def _changed(ground: _Ground) -> list[str]:
    """Whether repeated trainings are of another network than the version's."""
    now = json.loads(json.dumps(dataclasses.asdict(ground.stores.project.config.network), default=str))
    then = ground.bundle.settings.get("network", now)
    names = [name for name in now if now[name] != then.get(name, now[name])]
    if not names:
        return []
    return [
        f"the repeated trainings take [network] as it is now: {', '.join(names)} differ from the version's"
    ]


def _training_rows(ground: _Ground, lesson: _Lesson) -> TrainingRows:
    scores = not are_chances(ground.answers.answers)
    taught = Taught(
        ground.task,
        ground.bundle.schema.outputs,
        lesson.learn,
        lesson.table.ids,
        lesson.table.frame[ground.bundle.schema.target.name].to_numpy(),
        lesson.stop,
        ground.rows,
        ground.answers.losses,
        ground.plan,
        losses_of_chances(ground.goal, ground.task, scores=scores),
        ground.seed,
    )
    return value_training_rows(taught, ground.say)


# --- what is kept ---


def _kept(ground: _Ground, evaluation: Evaluation) -> Evaluation:
    """Keeps it with the version's run, where learning curves are drawn, too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EVALUATION
        path.write_text(to_json(evaluation) + "\n", "utf-8")
        ground.stores.registry.add(ground.version, evaluation.figures(), [path])
    if evaluation.repeats is None or not evaluation.repeats.curves:
        return evaluation
    drawn = draw_run(ground.stores, ground.version.run_id)
    said = drawn.warning or f"the learning curves are drawn in {drawn.page}"
    return dataclasses.replace(evaluation, drawn=said)
