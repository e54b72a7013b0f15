"""Every row judges once, never what learned from it; in time nothing is learned from what came later."""

from __future__ import annotations

from functools import partial
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from models.cross_validation import (
    CrossValidation,
    Fold,
    FoldLoss,
    Judge,
    cross_validate,
    forward_folds,
    group_folds,
    plain_folds,
    stratified_folds,
)
from models.losses import row_losses
from models.recipe import FitConfig, NetworkConfig, recipe_from
from models.schema import Schema


def parts(fold: Fold) -> tuple[list[int], list[int], list[int]]:
    return fold.train.tolist(), fold.stop.tolist(), fold.validation.tolist()


def check_folds(folds: tuple[Fold, ...], rows: int) -> None:
    """Each row judges once; the parts of a fold are all rows, each in one part, in their order."""
    assert sorted(chain(*(fold.validation.tolist() for fold in folds))) == list(range(rows))
    for fold in folds:
        assert sorted(chain(*parts(fold))) == list(range(rows))
        assert all(part == sorted(part) for part in parts(fold))


@given(st.integers(6, 300), st.integers(2, 6), st.integers(0, 99))
def test_plain_folds_are_of_one_size_and_cover_all_rows(rows: int, count: int, seed: int) -> None:
    folds = plain_folds(rows, count, seed=seed)
    check_folds(folds, rows)
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(0, 3), min_size=6, max_size=200), st.integers(2, 5))
def test_stratified_folds_share_every_stratum_to_within_a_row(strata: list[int], count: int) -> None:
    folds = stratified_folds(strata, count, seed=1)
    check_folds(folds, len(strata))
    for level in set(strata):
        held = [int((np.array(strata)[fold.validation] == level).sum()) for fold in folds]
        assert max(held) - min(held) <= 1


@given(st.lists(st.integers(0, 30), min_size=40, max_size=300), st.integers(2, 5))
def test_no_group_is_on_both_sides_of_a_fold(groups: list[int], count: int) -> None:
    if len(set(groups)) < count or len(groups) - np.bincount(groups).max() < 2:
        return  # one group may leave nothing to learn from
    folds = group_folds(groups, count, seed=1)
    check_folds(folds, len(groups))
    for fold in folds:
        sides = [set(np.array(groups)[part].tolist()) for part in (fold.train, fold.stop, fold.validation)]
        assert not sides[2] & (sides[0] | sides[1])
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= np.bincount(groups).max()


@given(st.integers(20, 400), st.integers(2, 6), st.integers(0, 3))
def test_forward_chaining_is_that_of_scikit_learn(rows: int, count: int, gap: int) -> None:
    theirs = TimeSeriesSplit(n_splits=count, gap=gap).split(np.zeros(rows))
    try:
        expected = [(train.tolist(), test.tolist()) for train, test in theirs]
    except ValueError:
        return
    if any(len(train) < 2 for train, _ in expected):
        with pytest.raises(ValueError, match="are known before row"):
            forward_folds(rows, count, gap=gap)
        return
    ours = forward_folds(rows, count, gap=gap)
    assert [([*fold.train, *fold.stop], fold.validation.tolist()) for fold in ours] == expected


def test_rows_whose_truth_is_not_known_yet_teach_nothing() -> None:
    times = np.datetime64("2013-01-01") + np.arange(40).astype("timedelta64[D]")
    delay = np.timedelta64(3, "D")
    for fold in forward_folds(40, 3, times=times, delay=delay):
        assert times[max(*fold.train, *fold.stop)] == times[fold.validation[0]] - delay


@pytest.mark.parametrize(("rows", "count"), [(10, 1), (3, 4), (0, 2)])
def test_too_few_rows_or_folds_are_refused(rows: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} folds of {rows} rows: expected from 2 folds"):
        plain_folds(rows, count, seed=0)


def test_mean_error_and_gain_are_those_of_the_folds() -> None:
    found = CrossValidation(
        (FoldLoss(8, 2, 3, 1.0, 4.0, 2.0), FoldLoss(8, 2, 3, 2.0, 4.0, 4.0), FoldLoss(8, 2, 3, 3.0, 4.0, 6.0))
    )
    assert (found.mean, found.gain) == (2.0, 2.0)
    assert found.standard_error == pytest.approx(1 / np.sqrt(3))
    assert found.gain_error == pytest.approx(1 / np.sqrt(3))
    assert np.isnan(CrossValidation(found.folds[:1]).standard_error)
    assert np.isnan(CrossValidation(()).mean)


# --- with a network ---

JUDGE = Judge(
    "mean_squared_error", partial(row_losses, "mean_squared_error"), partial(row_losses, "mean_squared_error")
)


def line(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return pd.DataFrame({"x": x, "y": 3 * x + rng.normal(0, 0.5, rows)})


def run(frame: pd.DataFrame, folds: tuple[Fold, ...], seen: list[Any] | None = None) -> CrossValidation:
    network = NetworkConfig(hidden=(), dropout=0.0, input_dropout=0.0, learning_rate=0.05)

    def learn(part: pd.DataFrame) -> Schema:
        if seen is not None:
            seen.append(part)
        return Schema.fit(part, "y")

    recipe = recipe_from(network, "regression")
    config = FitConfig(epochs=25, batch_size=32, seed=0)
    return cross_validate(recipe, frame, learn, folds, lambda schema: config, JUDGE)


def test_the_loss_of_a_straight_line_is_its_noise_in_every_fold() -> None:
    found = run(line(), plain_folds(400, 3, seed=0))
    assert [fold.judged_on for fold in found.folds] == [134, 133, 133]
    assert found.mean == pytest.approx(0.25, rel=0.25)
    assert all(fold.loss_constant > 4 for fold in found.folds)
    assert abs(found.gain) < 0.05


def test_a_preparation_sees_the_training_rows_of_its_fold_and_no_others() -> None:
    frame, folds, seen = line(120), forward_folds(120, 2), []
    run(frame, folds, seen)
    for part, fold in zip(seen, folds, strict=True):
        np.testing.assert_array_equal(part["x"], frame["x"].to_numpy()[fold.train])


def test_a_fold_that_cannot_be_learned_from_says_which() -> None:
    frame = line(120).assign(y=lambda rows: np.where(np.arange(120) >= 80, rows["y"], np.nan))
    with pytest.raises(ValueError, match=r"fold 1 of 2: .*is the target and has no value in any of"):
        run(frame, forward_folds(120, 2))


def test_every_pair_of_folds_judges_other_rows() -> None:
    for one, other in combinations(plain_folds(50, 5, seed=2), 2):
        assert not set(one.validation.tolist()) & set(other.validation.tolist())
