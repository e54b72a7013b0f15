"""What to try next is a line that the project file takes, and that changes something."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from models import remedies as every
from models.curve import Curve
from models.recipe import NetworkConfig
from models.remedies import Remedy, remedies

MAKERS = {
    name: getattr(every, name)
    for name in (
        "lower_rate",
        "calmer_rate",
        "higher_rate",
        "clipped",
        "larger_batches",
        "steady_rate",
        "other_units",
        "normalised",
        "more_dropout",
        "penalised",
        "fewer_units",
        "more_units",
        "more_epochs",
        "less_dropout",
    )
} | {"no_penalty": every.no_penalty("l2")}


def curve(**settings: Any) -> Curve:
    return Curve((1.0, 0.9), settings=dataclasses.asdict(NetworkConfig(**settings)))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "hidden": (),
            "dropout": 0.0,
            "clip_norm": 0.0,
            "l2": 0.01,
            "schedule": "cosine",
            "learning_rate": 1e-8,
        },
    ],
)
def test_a_remedy_is_a_setting_that_the_network_takes(name: str, settings: Mapping[str, Any]) -> None:
    for remedy in remedies(curve(**settings), MAKERS[name]):
        written = tomllib.loads(f"[{remedy.section}]\n{remedy.line}\n")["network"]
        value = written[remedy.key]
        value = tuple(value) if isinstance(value, list) else value
        changed = dataclasses.replace(NetworkConfig(**settings), **{remedy.key: value})
        assert changed != NetworkConfig(**settings)
        limits = {field.name: field.metadata.get("range") for field in dataclasses.fields(NetworkConfig)}
        low, high = limits[remedy.key] or (-1, 0)
        assert limits[remedy.key] is None or all(
            low <= one <= high for one in (value if isinstance(value, tuple) else (value,))
        )


def test_a_rate_is_written_with_one_digit() -> None:
    assert str(MAKERS["lower_rate"](curve(learning_rate=0.0032))) == (
        "[network] learning_rate = 0.0003 (a tenth: shorter steps)"
    )


def test_a_rate_that_is_not_written_is_the_highest_that_was_used() -> None:
    remedy = MAKERS["calmer_rate"](Curve((1.0, 0.9), learning_rates=(0.0, 0.03)))
    assert remedy.value == 0.01


def test_small_rates_are_toml() -> None:
    assert tomllib.loads(Remedy("network", "learning_rate", 1e-7, "").line) == {"learning_rate": 1e-7}


def test_texts_and_switches_are_toml() -> None:
    assert Remedy("network", "schedule", "constant", "").line == 'schedule = "constant"'
    assert Remedy("network", "batch_norm", True, "").line == "batch_norm = true"
    assert Remedy("data", "drop", ("NAME",), "").line == 'drop = ["NAME"]'


def test_what_is_so_already_is_not_advised() -> None:
    assert MAKERS["steady_rate"](curve()) is None
    assert MAKERS["normalised"](curve(batch_norm=True)) is None
    assert MAKERS["less_dropout"](curve(dropout=0.1)) is None
    assert MAKERS["more_dropout"](curve(dropout=0.6)) is None
    assert MAKERS["no_penalty"](curve()) is None


def test_a_limit_of_the_gradient_is_set_and_then_lowered() -> None:
    assert [MAKERS["clipped"](curve(clip_norm=now)).value for now in (0.0, 5.0, 1.0)] == [1.0, 1.0, 0.1]


def test_a_straight_line_gets_hidden_units() -> None:
    assert MAKERS["more_units"](curve(hidden=())).value == NetworkConfig().hidden
    assert MAKERS["more_units"](curve(hidden=(40, 3))).value == (80, 16)


def test_the_shape_of_a_users_own_network_is_not_advised() -> None:
    own = dataclasses.replace(curve(), own_network=True)
    found = remedies(own, every.fewer_units, every.more_dropout, every.lower_rate)
    assert [remedy.key for remedy in found] == ["learning_rate"]


def test_more_epochs_than_were_planned_and_trained() -> None:
    assert MAKERS["more_epochs"](curve(epochs=5)).value == 15
    assert MAKERS["more_epochs"](Curve((1.0,) * 7)).value == 21
