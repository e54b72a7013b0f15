"""Learning: which rows go into a lesson, and which of the ways to retrain is kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models.history import EpochLoss
from models.losses import row_losses
from models.recipe import FitConfig
from monitoring.decision import RetrainPolicy
from pipelines.learning import MOST_ROWS, Examples, Learned, Lesson, bake_off, first_fit, make_lesson

MSE = partial(row_losses, "mse")
BEGIN = np.datetime64("2021-01-01", "us")


def day(number: float) -> Any:
    return BEGIN + np.timedelta64(int(number * 86_400_000_000), "us")


def rows(
    days: int, a_day: int = 100, *, slopes: tuple[float, float] = (1.0, 1.0), change: int = 10**6
) -> Examples:
    """y = slope x + noise; slopes: before and from the change on."""
    rng = np.random.default_rng(0)
    total = days * a_day
    x = rng.standard_normal((total, 1)).astype(np.float32)
    times = BEGIN + (np.arange(total) * (86_400_000_000 // a_day)).astype("timedelta64[us]")
    slope = np.where(np.arange(total) // a_day < change, *slopes)
    return Examples.of(x, (slope * x[:, 0] + 0.1 * rng.standard_normal(total)).astype(np.float32), times)


def lesson_of(known: Examples, *, change: int, recent: int, judge: float) -> Lesson:
    apart = np.random.default_rng(1).random(len(known)) < 0.1
    return make_lesson(known, apart, change=day(change), recent=day(recent), judge=day(judge))


@pytest.fixture
def champion(linear_networks: ModuleType, tmp_path: Path) -> Path:
    """The file of a network that learned y = x."""
    model = linear_networks.Line(np.array([1.0, 0.0]), binary=False)
    linear_networks.save_keras(model, tmp_path / "model.keras")
    return tmp_path / "model.keras"


def bake(
    champion: Path, lesson: Lesson, policy: RetrainPolicy | None = None, *, risen: bool = True
) -> Learned:
    rng = np.random.default_rng(0)
    config = FitConfig(epochs=5, batch_size=32, patience=2, seed=0)
    return bake_off(champion, lesson, policy or RetrainPolicy(), config, MSE, rng=rng, risen=risen)


# --- weights ---


def test_rows_keep_their_weights_wherever_they_go() -> None:
    old = Examples.of(np.zeros((3, 1), np.float32), np.zeros(3), np.zeros(3), np.array([1, 2, 3], np.float32))
    assert old.take(np.array([2, 0])).rows.weights is not None
    np.testing.assert_array_equal(old.take(np.array([2, 0])).rows.weights, [3, 1])  # type: ignore[arg-type]
    later = Examples.of(np.zeros((2, 1), np.float32), np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(old.joined(later).weights, [1, 2, 3, 1, 1])  # type: ignore[arg-type]
    assert later.joined(later).weights is None
    assert later.rows.weights is None


# --- the lesson ---


def test_no_row_teaches_and_judges() -> None:
    lesson = lesson_of(rows(20), change=12, recent=8, judge=18)
    parts = [lesson.since, lesson.old, lesson.validation, lesson.newest]
    times = np.concatenate([part.times for part in parts])
    assert len(np.unique(times)) == len(times)
    assert not np.isin(lesson.recent.times, [*lesson.validation.times, *lesson.newest.times]).any()


def test_every_part_lies_where_it_says() -> None:
    lesson = lesson_of(rows(20), change=12, recent=8, judge=18)
    assert lesson.old.times.max() < day(12) <= lesson.since.times.min()
    assert lesson.since.times.max() < day(18) <= lesson.newest.times.min()
    assert day(12) <= lesson.validation.times.min() <= lesson.validation.times.max() < day(18)
    assert day(8) <= lesson.recent.times.min() < day(12)


def test_the_newest_are_whole_and_the_old_without_the_held_out() -> None:
    lesson = lesson_of(rows(20), change=12, recent=8, judge=18)
    assert len(lesson.newest) == 200
    assert len(lesson.old) == pytest.approx(1080, abs=40)


def test_what_is_recent_reaches_back_at_least_to_the_change() -> None:
    lesson = lesson_of(rows(20), change=5, recent=15, judge=18)
    assert (lesson.recent.times == lesson.since.times).all()


def test_parts_may_be_empty() -> None:
    lesson = lesson_of(rows(4), change=3, recent=0, judge=3)
    assert (len(lesson.since), len(lesson.validation), len(lesson.newest)) == (0, 0, 100)


# --- the bake-off ---


def test_after_a_sudden_change_the_new_rows_win(champion: Path) -> None:
    known = rows(20, slopes=(1.0, -1.0), change=12)
    learned = bake(champion, lesson_of(known, change=12, recent=4, judge=18))
    assert learned.best.name == "since the change"
    assert {candidate.name for candidate in learned.tried} >= {
        "since the change",
        "since the change, with rehearsal",
    }
    assert learned.best.loss < 0.1
    assert learned.model.weights[0] == pytest.approx(-1.0, abs=0.05)


def test_the_model_is_that_of_the_best(champion: Path, linear_networks: ModuleType) -> None:
    lesson = lesson_of(rows(20, slopes=(1.0, -1.0), change=12), change=12, recent=4, judge=18)
    learned = bake(champion, lesson)
    predicted = linear_networks.predict(learned.model, lesson.newest.inputs).astype(float)
    assert MSE(lesson.newest.targets.astype(float), predicted).mean() == pytest.approx(learned.best.loss)


def test_where_the_loss_has_not_risen_nothing_is_forgotten(champion: Path) -> None:
    lesson = lesson_of(rows(20), change=12, recent=4, judge=18)
    names = {candidate.name for candidate in bake(champion, lesson, risen=False).tried}
    assert "since the change" not in names
    assert "since the change, with rehearsal" in names


def test_where_nothing_changed_the_one_that_remembers_most_stays(champion: Path) -> None:
    learned = bake(champion, lesson_of(rows(20), change=12, recent=4, judge=18), risen=True)
    assert [candidate.name for candidate in learned.tried] == [
        "recent, with rehearsal",
        "since the change, with rehearsal",
        "since the change",
    ]
    assert learned.best.name == "recent, with rehearsal"


def test_only_rows_that_are_learned_from_or_judged_on_are_prepared(champion: Path) -> None:
    known = rows(400, slopes=(1.0, -1.0), change=390)
    prepared: list[Any] = []

    def prepare(numbers: Any) -> Any:
        prepared.append(numbers)
        return known.inputs[numbers]

    seen = Examples(known.numbers, known.targets, known.times, prepare)
    bake(champion, lesson_of(seen, change=390, recent=388, judge=398))
    assert len(np.unique(np.concatenate(prepared))) < 4000


def test_every_candidate_starts_from_the_champion(
    champion: Path, linear_networks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    begun: list[Any] = []
    update = linear_networks.update

    def seen(model: Any, *arguments: Any, **more: Any) -> Any:
        begun.append(model.weights.copy())
        return update(model, *arguments, **more)

    monkeypatch.setattr(sys.modules["models.fit"], "update", seen)
    bake(champion, lesson_of(rows(20, slopes=(1.0, -1.0), change=12), change=12, recent=4, judge=18))
    assert len(begun) >= 2
    assert all((weights == [1.0, 0.0]).all() for weights in begun)


def test_rehearsal_mixes_old_rows_in(champion: Path) -> None:
    lesson = lesson_of(rows(20), change=12, recent=12, judge=18)
    tried = {candidate.name: candidate.rows for candidate in bake(champion, lesson).tried}
    assert tried["since the change, with rehearsal"] == 2 * tried["since the change"]


def test_without_rehearsal_there_are_new_rows_only(champion: Path) -> None:
    lesson = lesson_of(rows(20), change=12, recent=12, judge=18)
    learned = bake(champion, lesson, RetrainPolicy(rehearsal=0.0))
    assert [candidate.name for candidate in learned.tried] == ["since the change"]


def test_rows_beyond_the_newest_many_are_left_out(champion: Path) -> None:
    lesson = lesson_of(rows(20, 4000), change=2, recent=2, judge=19)
    tried = {candidate.name: candidate.rows for candidate in bake(champion, lesson).tried}
    assert tried["since the change"] == MOST_ROWS


def test_without_rows_there_is_nothing_to_learn(champion: Path) -> None:
    lesson = lesson_of(rows(4), change=3, recent=3, judge=3)
    with pytest.raises(ValueError, match="No rows to learn from came"):
        bake(champion, lesson)


def test_the_first_fit_is_its_own_only_candidate(linear_networks: ModuleType) -> None:
    from types import SimpleNamespace

    schema: Any = SimpleNamespace(width=1, target=SimpleNamespace(task="regression"))
    known = rows(10)
    told: list[EpochLoss] = []
    learned = first_fit(
        Any,  # type: ignore[arg-type]
        schema,
        known.take(np.arange(800)),
        known.take(np.arange(800, 1000)),
        FitConfig(epochs=3, batch_size=32, patience=2, seed=0),
        on_epoch=told.append,
    )
    assert learned.tried == (learned.best,)
    assert (learned.best.name, learned.best.rows) == ("from scratch", 800)
    assert learned.best.loss == learned.history.best_loss
    assert [epoch.epoch for epoch in told] == [0, 1, 2]
