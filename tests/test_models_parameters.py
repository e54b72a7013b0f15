"""What a parameter takes, and the words for what it does not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from models.parameters import Parameter, parameter_faults, with_defaults


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        (Parameter(1.0), "x", "expected a number"),
        (Parameter(1.0), True, "expected a number"),
        (Parameter(1.0), math.nan, "expected a number"),
        (Parameter(1.0), math.inf, "expected a number"),
        (Parameter(1.0, least=0.0), -1, "expected a number of 0 or more"),
        (Parameter(1.0, least=0.0, inside=True), 0.0, "expected a number above 0"),
        (Parameter(0.5, least=0.0, most=1.0), 1.5, "expected a number from 0 to 1"),
        (
            Parameter(0.5, least=0.0, most=1.0, inside=True),
            1,
            "expected a number between 0 and 1, both excluded",
        ),
        (Parameter(2, least=1, whole=True), 1.5, "expected a whole number of 1 or more"),
        (Parameter(False), 1, "expected true or false"),
        (Parameter(-1, choices=(-1,)), 0, "expected -1"),
        (Parameter("a", choices=("a", "b")), "c", 'expected "a" or "b"'),
        (Parameter(1.0), None, "expected a number"),
    ],
)
def test_what_is_not_taken_is_told_with_what_is(parameter: Parameter, value: Any, said: str) -> None:
    assert parameter.fault(value) == said


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter(1.0), 3),
        (Parameter(1.0, least=0.0), 0),
        (Parameter(None, least=1, whole=True, none=True), None),
        (Parameter(None, least=1, whole=True, none=True), 4),
        (Parameter(True), False),
        (Parameter("a", choices=("a", "b")), "b"),
    ],
)
def test_what_fits_is_taken(parameter: Parameter, value: Any) -> None:
    assert parameter.fault(value) is None


def test_every_fault_is_told_with_its_name_and_the_nearest() -> None:
    known = {"momentum": Parameter(0.0, least=0.0, most=1.0), "nesterov": Parameter(False)}
    assert parameter_faults("sgd", known, {"momentum": 2, "nestrov": True, "zzz": 1}) == (
        "momentum = 2: expected a number from 0 to 1",
        "sgd has no parameter 'nestrov'; did you mean 'nesterov'?",
        "sgd has no parameter 'zzz'; it takes momentum, nesterov.",
    )
    assert parameter_faults("mse", {}, {"delta": 1}) == ("mse has no parameter 'delta'; it takes none.",)


def test_what_is_not_written_has_its_default() -> None:
    known = {"a": Parameter(1.0), "b": Parameter(2.0)}
    assert with_defaults(known, {"b": 5}) == {"a": 1.0, "b": 5}
