"""An update that sets out from a linear correction of the champion: real networks, real updates."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.export import save_keras
from models.fit import FitConfig, fit
from models.losses import row_losses
from models.recipe import NetworkConfig, recipe_from
from models.rows import Rows
from models.schema import Schema
from monitoring.decision import RetrainPolicy
from monitoring.recovery import Link
from pipelines.learning import Examples, Learned, Lesson, bake_off, make_lesson

DAYS, A_DAY, CHANGE = 30, 40, 20
BEGIN = np.datetime64("2021-01-01", "us")
MSE = partial(row_losses, "mean_squared_error")


def rows(level: float) -> pd.DataFrame:
    """A number that follows two inputs, and lies higher by a level from the change on."""
    rng, total = np.random.default_rng(3), DAYS * A_DAY
    frame = pd.DataFrame(rng.normal(size=(total, 2)), columns=["a", "b"])
    late = np.arange(total) // A_DAY >= CHANGE
    return frame.assign(y=10 * frame.a * frame.b + level * late + rng.normal(size=total))


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Schema]:
    """Learned before the change."""
    frame = rows(0.0).iloc[: CHANGE * A_DAY]
    schema = Schema.fit(frame, "y", task="regression")
    known = Rows(schema.inputs(frame), schema.targets(frame))
    recipe = recipe_from(NetworkConfig(hidden=(16,)), "regression")
    fitted = fit(recipe, schema, known, known, FitConfig(epochs=5, seed=0))
    path = tmp_path_factory.mktemp("champion") / "model.keras"
    save_keras(fitted.model, path)
    return path, schema


def lesson_of(schema: Schema, level: float) -> Lesson:
    frame = rows(level)
    times = BEGIN + np.arange(len(frame)) * np.timedelta64(86_400_000_000 // A_DAY, "us")
    known = Examples.of(schema.inputs(frame), schema.targets(frame).astype(np.float32), times)
    apart = np.random.default_rng(1).random(len(known)) < 0.1
    change, judge = BEGIN + np.timedelta64(CHANGE, "D"), BEGIN + np.timedelta64(DAYS - 2, "D")
    return make_lesson(known, apart, change=change, recent=change, judge=judge)


def bake(champion: tuple[Path, Schema], level: float, link: Link | None) -> Learned:
    config = FitConfig(epochs=2, patience=2, seed=0)
    policy = RetrainPolicy(epochs=2)
    lesson = lesson_of(champion[1], level)
    rng = np.random.default_rng(0)
    return bake_off(champion[0], lesson, policy, config, MSE, rng=rng, risen=True, link=link)


def test_a_level_that_has_moved_is_put_right_at_once(champion: tuple[Path, Schema]) -> None:
    plain, corrected = bake(champion, 30.0, None), bake(champion, 30.0, "identity")
    assert not any(one.corrected for one in plain.tried)
    assert corrected.best.corrected
    assert corrected.best.loss < 0.7 * plain.best.loss


def test_where_nothing_can_be_put_right_the_champion_itself_is_updated(
    champion: tuple[Path, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> np.ndarray:
        return np.full((2 + champion[1].width, 1), 1e3)

    monkeypatch.setattr("pipelines.learning.correction_of", wrong)
    plain, tried = bake(champion, 0.0, None), bake(champion, 0.0, "identity")
    assert not any(one.corrected for one in tried.tried)
    assert [one.loss for one in tried.tried] == pytest.approx([one.loss for one in plain.tried])


def test_few_rows_are_not_corrected(champion: tuple[Path, Schema], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.learning.LEAST_CORRECTED", 10_000)
    assert not any(one.corrected for one in bake(champion, 30.0, "identity").tried)
