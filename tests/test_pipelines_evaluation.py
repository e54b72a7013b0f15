"""What an evaluation found is told in tables and sentences, and nothing is told that was not looked at."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from models.bias_variance import BiasVariance
from models.evaluation import Answers, Standing, score_models
from models.importance import Importance
from models.intervals import Interval, Resampling
from models.learning_curve import SizedRun, learning_curve, more_rows
from models.schema import Task
from models.slices import Search, Slice
from pipelines.answer import to_json
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
from pipelines.training_rows import Age, TrainingRows, ValuedRow

WEAK = Slice("kind = web", 210, 0.6, 0.55, 0.65, 0.4, 0.2, 0.15, 0.25, 1.4, 1.3, 1.5, 0.00001, 1.2, 0.5)
FINE = Slice("kind = shop", 400, 0.4, 0.35, 0.45, 0.5, -0.1, -0.15, -0.05, 0.9, 0.85, 0.95, 1.0, 1.2, 0.45)


def standing(task: Task = "binary") -> Standing:
    rng = np.random.default_rng(0)
    if task == "multiclass":
        target = rng.integers(0, 3, 300)
        answers = 0.7 * np.eye(3)[target] + 0.1
        models = {"version 2": Answers(answers, rng.random(300))}
        return score_models(task, target, models, Resampling(300, resamples=60), classes=("a", "b", "c"))
    target = (rng.random(300) < 0.5).astype(float)
    sure, mean = 0.25 + 0.5 * target[:, None], np.full((300, 1), 0.5)
    models = {
        "version 2": Answers(sure, 0.3 + 0.1 * rng.random(300)),
        "the best constant": Answers(mean, np.full(300, 0.7)),
    }
    return score_models(task, target, models, Resampling(300, resamples=60))


def evaluation(found: Standing | None = None, **changes: Any) -> Evaluation:
    """An evaluation in which nothing was found, but for what is changed."""
    found = found or standing()
    comparison = Comparison(
        tuple(Model(name, scores) for name, scores in found.scores.items()),
        found.contests,
        tuple(contest.verdict for contest in found.contests),
        (),
        0.03,
    )
    whole = Evaluation(
        Subject("bikes", 2, "run2", "binary", "binary_crossentropy"),
        JudgedRows(
            300, "2021-01-01 00:00", "2021-01-09 07:00", "those of spring.csv", False, "by single rows", 0.95
        ),
        comparison,
        (),
        Search(0, 0, 0, ()),
        Inputs(0, (), None),
        None,
        None,
        (),
        12.3,
    )
    return dataclasses.replace(whole, **changes)


def text(found: Evaluation) -> str:
    return "\n".join(found.lines())


def test_the_head_says_what_was_judged_on_what() -> None:
    first, second = evaluation().lines()[:2]
    assert first == (
        "version 2 of bikes on 300 rows from 2021-01-01 00:00 to 2021-01-09 07:00: those of spring.csv"
    )
    assert second == "loss: binary_crossentropy; intervals of 95%: the rows are drawn again by single rows"


def test_what_was_not_looked_at_is_not_told() -> None:
    told = text(evaluation())
    for part in (
        "slices by",
        "weakest slices",
        "what matters",
        "what moved",
        "bias and variance",
        "learning curve",
    ):
        assert part not in told
    assert "note:" not in told
    assert told.endswith("evaluated in 12 s, kept as evaluation.json in the run of version 2")


def test_figures_are_told_with_their_intervals() -> None:
    lines = evaluation().lines()
    head = next(line for line in lines if line.startswith("figure"))
    assert head.split() == ["figure", "value", "from", "to"]
    assert next(line for line in lines if line.startswith("accuracy")).split() == ["accuracy", "1", "1", "1"]
    assert next(line for line in lines if line.startswith("calibration slope")).split()[-1] == "–"


def test_rivals_stand_in_one_table_and_in_a_sentence_each() -> None:
    lines = evaluation().lines()
    row = next(line for line in lines if line.startswith("the best constant  "))
    assert row.split()[3] == "0.700"
    assert any(line.startswith("version 2 beats the best constant: loss 0.3") for line in lines)


def test_one_model_alone_needs_no_table() -> None:
    assert "more than the version" not in text(evaluation(standing("multiclass")))


def test_classes_are_told_one_by_one() -> None:
    lines = evaluation(standing("multiclass")).lines()
    place = next(place for place, line in enumerate(lines) if line.startswith("class "))
    assert [line.split()[0] for line in lines[place + 2 : place + 5]] == ["a", "b", "c"]


@pytest.mark.parametrize(("limit", "words"), [(0.9, "no worse than the 0.9"), (0.01, "more than the 0.01")])
def test_a_calibration_is_read_against_luck(limit: float, words: str) -> None:
    found = evaluation()
    comparison = dataclasses.replace(found.comparison, calibration_limit=limit)
    assert f"calibration error 0.25: {words} that a calibrated network would show" in text(
        dataclasses.replace(found, comparison=comparison)
    )


def test_declared_slices_are_told_with_their_limits() -> None:
    found = evaluation(
        declared=(DeclaredSlices("kind", (WEAK, FINE)), DeclaredSlices("hour", (), "no group"))
    )
    told = text(found)
    assert "slices by kind\n" in told
    assert "slices by hour: no group" in told
    row = next(line for line in found.lines() if line.startswith("kind = web "))
    assert row.split()[3:] == [
        "210",
        "0.600",
        "0.550",
        "0.650",
        "0.400",
        "below",
        "0.0001",
        "0.500",
        "1.40",
        "over",
        "1.2",
        "times",
    ]
    assert (
        "kind = web: the loss is 1.4 times that of all rows (1.3 to 1.5); at most 1.2 times is allowed"
        in told
    )
    assert found.failed
    assert told.splitlines()[-1].startswith("a limit is broken; ")


def test_of_many_slices_the_weakest_are_told() -> None:
    many = tuple(dataclasses.replace(FINE, name=f"kind = {place}") for place in range(20))
    told = text(evaluation(declared=(DeclaredSlices("kind", many),)))
    assert "slices by kind, the weakest 8 of 20" in told
    assert "kind = 7" in told
    assert "kind = 8" not in told


def test_without_limits_and_other_models_there_are_no_columns_for_them() -> None:
    plain = dataclasses.replace(WEAK, at_most=None, other=math.nan)
    found = evaluation(declared=(DeclaredSlices("kind", (plain,)),))
    assert "times all" not in text(found)
    assert "the linear model" not in text(found)
    assert not found.failed


def test_weak_slices_are_told_in_sentences() -> None:
    found = evaluation(search=Search(500, 4, 150, (WEAK,)))
    told = text(found)
    assert "500 groups of one and of two columns looked at on half of the rows, 4 asked about" in told
    assert (
        "rows where kind = web: loss 0.6 against 0.4, 210 rows, higher by 0.2 (0.15 to 0.25), p 0.00001 adjusted; the "
        "linear model has 0.5 there, so it can be done better"
    ) in told
    hard = dataclasses.replace(WEAK, other=0.7)
    assert "it can be done better" not in text(evaluation(search=Search(500, 4, 150, (hard,))))


def test_a_search_that_found_nothing_says_how_far_it_looked() -> None:
    told = text(evaluation(search=Search(500, 0, 150, ())))
    assert "none that is clearly worse than the rest (500 groups" in told
    assert "asked about" not in told


def test_columns_are_ranked_and_the_idle_ones_counted() -> None:
    columns = (Importance("wind", 0.2, 0.1, 0.3), Importance("noise", 0.0, -0.1, 0.1))
    moved = Attributions(100, columns[:1], 0.004)
    told = text(evaluation(inputs=Inputs(1234, columns, moved)))
    assert "shuffled, on 1,234 rows; 1 of 2 columns make no difference that can be told" in told
    assert "noise" not in told
    assert "on 100 rows (at most 0.4% of an answer is left unexplained)" in told


def test_repeated_trainings_are_told_in_words_and_a_table() -> None:
    runs = [
        SizedRun(rows, 0, {"loss": 0.3}, {"loss": 0.3 + 9 / rows, "brier": 0.1}) for rows in (100, 200, 400)
    ]
    laws = tuple(more_rows(runs, name, -1) for name in ("loss", "brier"))
    spread = BiasVariance(
        3, 400, "log loss", Interval(0.4), Interval(0.39, 0.3, 0.5), Interval(0.01, 0, 0.02), 0.35
    )
    curves = tuple(learning_curve(runs, name, -1) for name in ("loss", "brier"))
    repeats = Repeats(spread, spread.verdict, curves, laws, tuple(law.verdict for law in laws))
    told = text(evaluation(repeats=repeats))
    assert "bias and variance (log loss): neither too simple" in told
    assert "learning curve: loss by the rows that are learned from" in told
    assert laws[0].verdict in told
    assert "learning curve: brier" not in told  # in the JSON alone


def test_the_worth_of_rows_that_taught_is_told_with_the_worst_of_them() -> None:
    worst = (
        ValuedRow("row 7", "2021-01-01T00:00:00", "late", -0.01),
        ValuedRow("row 8", "2021-01-01", "late", 0.001),
    )
    ages = (Age("2021-01-01", "2021-01-02", 50, 0.01, 0.0, 0.02),)
    valued = TrainingRows(100, 1, worst, ages, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.01, None)
    told = text(evaluation(training_rows=valued))
    assert "what the rows that taught are worth\n" in told
    assert next(line for line in told.splitlines() if line.startswith("row 7")).split()[-1] == "−1.00"
    assert "row 8" not in told
    assert "none is worth leaving out" in told
    harmless = dataclasses.replace(valued, worst=worst[1:], harmful=0)
    assert "worth x rows" not in text(evaluation(training_rows=harmless))


def test_notices_stand_at_the_end() -> None:
    assert evaluation(notices=("one", "two")).lines()[-3:-1] == ["note: one", "note: two"]


def test_the_json_is_strict_and_holds_everything() -> None:
    kept = json.loads(to_json(evaluation(search=Search(5, 1, 10, (WEAK,)))))
    assert kept["subject"]["version"] == 2
    assert kept["comparison"]["models"][0]["scores"]["figures"][0]["name"] == "loss"
    assert kept["search"]["weak"][0]["p"] == 0.00001
    assert kept["repeats"] is None


def test_figures_for_the_run_are_defined_and_named_after_the_evaluation() -> None:
    figures = evaluation().figures()
    assert figures["evaluate_accuracy"] == 1.0
    assert "evaluate_calibration_slope" not in figures
    assert all(math.isfinite(value) for value in figures.values())


def test_dates_are_told_to_the_minute() -> None:
    times = np.array(["2021-01-01T05:59:59", "2021-01-02T00:00:00"], "M8[ns]")
    assert as_dates(times) == ("2021-01-01 05:59", "2021-01-02 00:00")
