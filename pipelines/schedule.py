"""A fixed schedule, for comparison: as many retrainings, evenly spread, without monitor and gate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.held_out import held_out, held_out_by
from pipelines.learning import Examples, Lesson, bake_off, joined_weights, make_lesson
from pipelines.moments import numpy_moment
from pipelines.network import fit_config_of, user_objects
from pipelines.retraining import RECENT, judge_from

if TYPE_CHECKING:
    from pipelines.bundle import Bundle
    from pipelines.course import Course
    from pipelines.stores import Stores


def scheduled_predictions(
    stores: Stores,
    course: Course,
    rows: Examples,
    learn: Examples,
    first: Bundle,
    retrainings: int,
    row_losses: Callable[[Any, Any], Any],
) -> npt.NDArray[np.float32]:
    """Answers to every row by the first version, retrained so many times at equal distances.

    Each retraining is the same bake-off as losswatch's own, on all rows whose labels are known by then; it is
    let in unseen. rows: lived through; learn: of the first training; both prepared by the first version.
    """
    from models.export import save_keras
    from models.fit import predict

    config = stores.project.config
    delay = config.data.label_delay
    chosen = set(np.linspace(0, len(course.windows), retrainings + 2)[1:-1].round().astype(int).tolist())
    inputs = rows.inputs
    known = Examples.of(
        np.concatenate([learn.inputs, inputs]),
        np.concatenate([learn.targets, rows.targets]),
        np.concatenate([learn.times.astype("datetime64[us]"), rows.times.astype("datetime64[us]")]),
        joined_weights((learn.weights, len(learn)), (None, len(rows))),
    )
    answers: list[npt.NDArray[np.float32]] = []
    objects = user_objects(stores.project)
    with tempfile.TemporaryDirectory() as folder:
        keras_file, model, last = first.keras, None, numpy_moment(course.cut)
        begin = last
        for number, window in enumerate(course.windows):
            now = numpy_moment(window.end + delay)
            part = inputs[(rows.times >= begin) & (rows.times < now)]
            answers.append(predict(model, part) if model is not None else _first(keras_file, part, objects))
            begin = now
            if number + 1 in chosen:
                due = known.take(np.flatnonzero(known.times < numpy_moment(window.end)))
                lesson = _lesson(due, last, window, course, config)
                seed = config.project.seed + number
                learned = bake_off(
                    keras_file,
                    lesson,
                    config.retrain,
                    fit_config_of(stores.project, first.schema, seed=seed),
                    row_losses,
                    rng=np.random.default_rng((seed, number)),
                    risen=False,
                    objects=objects,
                )
                model, last = learned.model, numpy_moment(window.end)
                keras_file = Path(folder) / f"{number}.keras"
                save_keras(model, keras_file)
        rest = inputs[rows.times >= begin]
        answers.append(predict(model, rest) if model is not None else _first(keras_file, rest, objects))
    return np.concatenate(answers)


def _lesson(due: Examples, last: np.datetime64, window: Any, course: Course, config: Any) -> Lesson:
    """The rows since the retraining before count as new; parts of them are kept apart as losswatch does."""
    apart = held_out(
        due.times,
        np.arange(len(due)).astype(str),
        by=held_out_by(course.past.times, course.window),
        length=course.window,
        share=config.gate.held_out,
        seed=config.project.seed,
    )
    recent = numpy_moment(window.end) - RECENT * (numpy_moment(window.end) - numpy_moment(window.start))
    judge = judge_from(due.times, last, course.window, config.gate.share)
    return make_lesson(due, apart, change=last, recent=recent, judge=judge)


def _first(
    keras_file: Path, inputs: npt.NDArray[np.float32], objects: dict[str, Any]
) -> npt.NDArray[np.float32]:
    from models.export import load_keras
    from models.fit import predict

    return predict(load_keras(keras_file, objects=objects), inputs)
