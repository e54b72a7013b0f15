"""Columns that give the target away are named; strong and honest ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.leakage import leakage

ROWS = 2000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def accused(frame: pd.DataFrame, target: str, task: str, leave_out: tuple[str, ...] = ()) -> list[str]:
    return [fault.column for fault in leakage(frame, target, task, leave_out)]  # type: ignore[arg-type]


def strong_regression(rng: np.random.Generator) -> pd.DataFrame:
    """A target that two columns explain to 99 %."""
    frame = pd.DataFrame({"size": rng.normal(size=ROWS), "age": rng.normal(size=ROWS)})
    return frame.assign(price=3 * frame["size"] + frame["age"] + 0.3 * rng.normal(size=ROWS))


def strong_classes(rng: np.random.Generator) -> pd.DataFrame:
    """A target that one column tells in 98 of 100 rows."""
    frame = pd.DataFrame({"score": rng.normal(size=ROWS), "town": rng.choice(list("abcdef"), ROWS)})
    wrong = rng.random(ROWS) < 0.02
    return frame.assign(bought=np.where((frame["score"] > 0) ^ wrong, "yes", "no"))


def test_strong_features_of_a_quantity_are_not_accused(rng: np.random.Generator) -> None:
    assert accused(strong_regression(rng), "price", "regression") == []


def test_strong_features_of_a_class_are_not_accused(rng: np.random.Generator) -> None:
    assert accused(strong_classes(rng), "bought", "binary") == []


def test_the_value_of_an_hour_ago_is_not_accused_where_the_target_moves_slowly(
    rng: np.random.Generator,
) -> None:
    walk = rng.normal(size=ROWS + 1).cumsum()
    frame = pd.DataFrame({"before": walk[:-1], "now": walk[1:]})
    assert np.corrcoef(frame["before"], frame["now"])[0, 1] > 0.998
    assert accused(frame, "now", "regression") == []


def test_the_target_in_another_unit_is_accused(rng: np.random.Generator) -> None:
    frame = strong_regression(rng)
    assert accused(frame.assign(cents=100 * frame["price"].round(2) + 7), "price", "regression") == ["cents"]


def test_the_target_as_text_is_accused(rng: np.random.Generator) -> None:
    frame = strong_regression(rng)
    assert accused(frame.assign(label=frame["price"].map(repr)), "price", "regression") == ["label"]


def test_a_sum_that_is_the_target_is_accused_and_nothing_else(rng: np.random.Generator) -> None:
    frame = strong_regression(rng)[["size", "age"]].assign(
        casual=rng.poisson(30, ROWS), registered=rng.poisson(90, ROWS)
    )
    frame["count"] = frame["casual"] + frame["registered"]
    (fault,) = leakage(frame, "count", "regression")
    assert (
        str(fault)
        == "column 'casual + registered' is the target 'count' in all rows looked at; leave out both"
    )


def test_a_difference_of_three_columns_is_found(rng: np.random.Generator) -> None:
    frame = pd.DataFrame(rng.normal(size=(ROWS, 5)), columns=list("abcde"))
    frame["y"] = frame["b"] - frame["a"] + frame["d"]
    assert accused(frame, "y", "regression") == ["b + d - a"]


def test_a_sum_is_found_among_columns_that_say_the_same_twice(rng: np.random.Generator) -> None:
    frame = pd.DataFrame(rng.normal(size=(ROWS, 2)), columns=["a", "b"])
    frame["twice"] = 2 * frame["a"]
    frame["y"] = frame["a"] + frame["b"]
    assert len(accused(frame, "y", "regression")) <= 1


def test_other_weights_than_one_are_a_formula_and_no_leak(rng: np.random.Generator) -> None:
    frame = pd.DataFrame(rng.normal(size=(ROWS, 2)), columns=["a", "b"])
    assert accused(frame.assign(y=2.5 * frame["a"] + 0.7 * frame["b"]), "y", "regression") == []


def test_columns_left_out_are_not_accused(rng: np.random.Generator) -> None:
    frame = strong_regression(rng)
    assert accused(frame.assign(cents=100 * frame["price"]), "price", "regression", ("cents",)) == []


def test_a_threshold_that_never_errs_is_accused(rng: np.random.Generator) -> None:
    frame = strong_classes(rng)
    delay = np.where(frame["bought"] == "yes", rng.uniform(15, 90, ROWS), rng.uniform(-20, 14.9, ROWS))
    assert accused(frame.assign(delay=delay), "bought", "binary") == ["delay"]


def test_a_category_that_is_the_class_under_other_names_is_accused(rng: np.random.Generator) -> None:
    frame = strong_classes(rng)
    code = np.where(frame["bought"] == "yes", rng.choice(["A", "B"], ROWS), rng.choice(["C", ""], ROWS))
    assert accused(frame.assign(code=code), "bought", "binary") == ["code"]


def test_a_number_that_is_missing_for_one_class_only_is_accused(rng: np.random.Generator) -> None:
    frame = strong_classes(rng)
    paid = np.where(frame["bought"] == "yes", 1.0, np.nan)
    assert accused(frame.assign(paid=paid), "bought", "binary") == ["paid"]


def test_names_of_single_rows_are_not_accused(rng: np.random.Generator) -> None:
    frame = strong_classes(rng)
    assert accused(frame.assign(name=[f"n{row}" for row in range(ROWS)]), "bought", "binary") == []


def test_a_threshold_between_three_classes_is_accused(rng: np.random.Generator) -> None:
    level = rng.integers(0, 3, ROWS)
    frame = pd.DataFrame(
        {"grade": np.array(list("ABC"))[level], "points": level * 10 + rng.uniform(0, 9, ROWS)}
    )
    assert accused(frame, "grade", "multiclass") == ["points"]


def test_a_rare_class_does_not_hide_a_leak(rng: np.random.Generator) -> None:
    fraud = np.arange(60_000) % 1000 == 0
    frame = pd.DataFrame({"amount": rng.normal(size=60_000), "refunded": fraud.astype(int), "fraud": fraud})
    assert accused(frame, "fraud", "binary") == ["refunded"]


def test_few_rows_prove_nothing(rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"x": np.arange(20.0), "y": np.arange(20.0)})
    assert accused(frame, "y", "regression") == []
    assert accused(frame.assign(y=frame["x"] > 9), "y", "binary") == []


def test_what_no_schema_takes_is_left_to_the_schema(rng: np.random.Generator) -> None:
    frame = strong_regression(rng).assign(
        huge=1e308, endless=np.inf, when=pd.Timestamp("2024-01-01"), none=None
    )
    assert accused(frame, "price", "regression") == []
    assert accused(frame, "cost", "regression") == []
    assert accused(pd.concat([frame, frame[["age"]]], axis=1), "price", "regression") == []
