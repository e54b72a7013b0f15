"""What to try next, as a change to the project file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.curve import Curve
from models.recipe import NetworkConfig

WIDEST = 8192  # the limits of the project file
MOST_EPOCHS = 10_000
MOST_ROWS = 1_000_000
# what a network of the user's own does not have from the project file
SHAPE = ("hidden", "dropout", "activation", "batch_norm", "l1", "l2")


@dataclass(frozen=True)
class Remedy:
    """A line for the project file, and what it does. value: as Python has it.

    >>> print(Remedy("network", "hidden", (64, 32), "more units"))
    [network] hidden = [64, 32] (more units)
    """

    section: str
    key: str
    value: float | int | bool | str | tuple[int, ...] | tuple[str, ...]
    why: str

    @property
    def line(self) -> str:
        """As it stands in the file.

        >>> Remedy("network", "learning_rate", 0.0003, "").line
        'learning_rate = 0.0003'
        """
        return f"{self.key} = {_toml(self.value)}"

    def __str__(self) -> str:
        return f"[{self.section}] {self.line} ({self.why})"


Maker = Callable[[Curve], Remedy | None]


def remedies(curve: Curve, *makers: Maker) -> tuple[Remedy, ...]:
    """The remedies that change something in these settings, in order."""
    made = [remedy for maker in makers if (remedy := maker(curve)) is not None]
    return tuple(remedy for remedy in made if not (curve.own_network and remedy.key in SHAPE))


def lower_rate(curve: Curve) -> Remedy | None:
    """A tenth of the learning rate."""
    return _network(curve, "learning_rate", max(_short(_rate(curve) / 10), 1e-8), "a tenth: shorter steps")


def calmer_rate(curve: Curve) -> Remedy | None:
    """A third of the learning rate."""
    return _network(curve, "learning_rate", max(_short(_rate(curve) / 3), 1e-8), "a third: calmer steps")


def higher_rate(curve: Curve) -> Remedy | None:
    """Ten times the learning rate, or the default where that is higher still."""
    rate = max(10 * _rate(curve), NetworkConfig().learning_rate)
    return _network(curve, "learning_rate", min(_short(rate), 10.0), "longer steps")


def clipped(curve: Curve) -> Remedy | None:
    """A limit for the length of a gradient, or a tenth of the one there is."""
    now = float(_setting(curve, "clip_norm"))
    value = 1.0 if now == 0 or now > 1 else _short(now / 10)
    return _network(curve, "clip_norm", value, "one batch cannot throw the weights away")


def larger_batches(curve: Curve) -> Remedy | None:
    """Four times the rows of a step."""
    value = min(4 * int(_setting(curve, "batch_size")), MOST_ROWS)
    return _network(curve, "batch_size", value, "steps follow more rows, so chance averages out")


def steady_rate(curve: Curve) -> Remedy | None:
    """A rate that does not fall; None where it does not."""
    return _network(curve, "schedule", "constant", "the rate stays as high as it began")


def other_units(curve: Curve) -> Remedy | None:
    """Hidden units that cannot die or saturate."""
    return _network(curve, "activation", "leaky_relu", "units whose gradient is never 0")


def normalised(curve: Curve) -> Remedy | None:
    """Layers brought to one scale."""
    return _network(curve, "batch_norm", True, "gradients reach every layer")


def more_dropout(curve: Curve) -> Remedy | None:
    """More of the units left out."""
    value = min(round(float(_setting(curve, "dropout")) + 0.2, 2), 0.6)
    now = float(_setting(curve, "dropout"))
    return _network(curve, "dropout", value, "units cannot rely on each other") if value > now else None


def penalised(curve: Curve) -> Remedy | None:
    """A penalty on large weights, or ten times the one there is."""
    value = min(max(10 * float(_setting(curve, "l2")), 1e-3), 10.0)
    return _network(curve, "l2", _short(value), "large weights cost something")


def fewer_units(curve: Curve) -> Remedy | None:
    """Half of the hidden units."""
    hidden = tuple(_setting(curve, "hidden"))
    return _network(curve, "hidden", tuple(max(1, units // 2) for units in hidden), "less to remember with")


def more_units(curve: Curve) -> Remedy | None:
    """Twice the hidden units, or some where there are none."""
    hidden = tuple(_setting(curve, "hidden"))
    wider = tuple(min(max(2 * units, 16), WIDEST) for units in hidden) or NetworkConfig().hidden
    return _network(curve, "hidden", wider, "more to learn with")


def more_epochs(curve: Curve) -> Remedy | None:
    """Three times the epochs."""
    trained = max(len(curve.training), int(_setting(curve, "epochs")) if curve.settings else 0)
    return _network(curve, "epochs", min(3 * trained, MOST_EPOCHS), "the loss had not stopped falling")


def no_penalty(name: str) -> Maker:
    """Without the penalty of this name."""

    def maker(curve: Curve) -> Remedy | None:
        if curve.settings and not _setting(curve, name):
            return None
        return Remedy("network", name, 0.0, "the penalty holds the weights back")

    return maker


def less_dropout(curve: Curve) -> Remedy | None:
    """A third of the dropout; None where there is little."""
    now = float(_setting(curve, "dropout")) if _setting(curve, "hidden") else 0.0
    return (
        _network(curve, "dropout", round(now / 3, 2), "more units learn at each step") if now >= 0.3 else None
    )


def column_dropped(curve: Curve) -> Remedy | None:
    """The column that gives the target away, which `losswatch check` looks for."""
    return Remedy("data", "drop", ("NAME",), "the column that `losswatch check` names")


def _network(curve: Curve, key: str, value: Any, why: str) -> Remedy | None:
    """None where the settings have that value already."""
    same = bool(curve.settings) and _setting(curve, key) == value
    return None if same else Remedy("network", key, value, why)


def _setting(curve: Curve, key: str) -> Any:
    value = curve.settings.get(key, getattr(NetworkConfig(), key))
    return tuple(value) if isinstance(value, list) else value


def _rate(curve: Curve) -> float:
    if "learning_rate" in curve.settings:
        return float(curve.settings["learning_rate"])
    known = [rate for rate in curve.learning_rates if rate > 0]
    return max(known) if known else NetworkConfig().learning_rate


def _short(value: float) -> float:
    """One digit that counts."""
    return float(f"{value:.0e}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f"{value:g}" if isinstance(value, float) and value < 1e-4 else str(value)
