"""What rows that taught a version are worth: which mislead, whether old ones still help, what is unlike them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.baselines import fit_simple
from models.intervals import Resampling, mean_intervals
from models.slices import Slice, compare_with_rest
from models.valuation import row_values, strange_rows
from models.wording import written

if TYPE_CHECKING:
    from models.schema import Task
    from pipelines.learning import Examples

Array = npt.NDArray[Any]
Say = Callable[[str], None]

MOST_ROWS = 10_000  # of those that taught: their nearest neighbours are then still near
MOST_JUDGING = 1000  # rows whose neighbours are looked up; the rank of a value moves little with more
MOST_STRANGE = 5000  # rows that are compared with all that taught
WORST = 20  # rows that are named
LEAVE_OUT = (0.01, 0.02, 0.05, 0.1, 0.2)  # shares of the rows, the least valuable, that are tried
AGES = 4  # quarters of the rows, from the oldest to the newest


@dataclass(frozen=True)
class ValuedRow:
    """A row that taught: its id and time in the data, its target, and what it is worth."""

    id: str
    time: str
    target: str
    value: float


@dataclass(frozen=True)
class Age:
    """A quarter of the rows by time, and what one of them is worth on average, with its interval."""

    first: str
    last: str
    rows: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TrainingRows:
    """What rows that taught a version are worth to a nearest-neighbour model, and what follows.

    looked_at: rows; harmful: those with a value below 0. worst: of the lowest value. ages: from the oldest.
    left_out: share of the rows, the least valuable, without which a linear model did best on the rows that stopped
    the training; 0 where it did best with all. loss_all, loss_without: of that model on the rows that are judged;
    gain, low, high: what leaving them out saves. strange: judged rows that are unlike any that taught, against the
    others; None where there are too few.
    """

    looked_at: int
    harmful: int
    worst: tuple[ValuedRow, ...]
    ages: tuple[Age, ...]
    left_out: float
    loss_all: float
    loss_without: float
    gain: float
    low: float
    high: float
    strange_share: float
    strange: Slice | None

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What that says, in words and numbers."""
        return tuple(sentence for rule in _RULES if (sentence := rule(self)) is not None)


@dataclass(frozen=True, eq=False)
class Taught:
    """The rows that taught a version, others that did not, and those that are judged.

    ids, labels: of the rows that taught, as the data have them. losses: of the version on the judged rows, and plan:
    how these are drawn again. row_losses: of chances, (targets (n,), answers) to (n,).
    """

    task: Task
    outputs: int
    learn: Examples
    ids: Array
    labels: Array
    stop: Examples
    judge: Examples
    losses: Array
    plan: Resampling
    row_losses: Callable[[Array, Array], Array]
    seed: int


def value_training_rows(taught: Taught, say: Say) -> TrainingRows:
    """Values the rows that taught by how they answer those that stopped the training, and tries what follows.

    The judged rows choose nothing: they only say what leaving rows out would save.
    """
    rng = np.random.default_rng(taught.seed)
    drawn = np.sort(rng.permutation(len(taught.learn))[:MOST_ROWS])
    learn, inputs = taught.learn.take(drawn), taught.learn.take(drawn).inputs
    stop = taught.stop.take(_spread(len(taught.stop), MOST_JUDGING))
    say(f"what {len(learn):,} of the rows that taught are worth")
    values = row_values(taught.task, inputs, learn.targets, stop.inputs, stop.targets).values
    worst = np.argsort(values, kind="stable")
    named = tuple(_valued(taught, drawn, values, place) for place in worst[:WORST])
    share = _best_share(taught, learn, inputs, worst)
    strange_share, strange = _strange(taught, inputs)
    return TrainingRows(
        len(learn),
        int((values < 0).sum()),
        named,
        _ages(learn.times, values),
        share,
        *_saved(taught, learn, inputs, worst, share),
        strange_share,
        strange,
    )


def _valued(taught: Taught, drawn: Array, values: Array, place: int) -> ValuedRow:
    row = int(drawn[place])
    time = str(taught.learn.times[row].astype("datetime64[s]"))
    return ValuedRow(str(taught.ids[row]), time, str(taught.labels[row]), float(values[place]))


def _ages(times: Array, values: Array) -> tuple[Age, ...]:
    found = []
    for part in np.array_split(np.arange(len(values)), min(AGES, len(values))):
        (mean,) = mean_intervals(values[part].reshape(-1, 1), Resampling(len(part)))
        first, last = (str(times[place].astype("datetime64[D]")) for place in (part[0], part[-1]))
        found.append(Age(first, last, len(part), mean.value, mean.low, mean.high))
    return tuple(found)


def _without(worst: Array, share: float) -> Array:
    """Positions of the rows that stay, in order."""
    return np.sort(worst[round(share * len(worst)) :])


def _losses_without(taught: Taught, learn: Examples, inputs: Array, kept: Array, rows: Examples) -> Array:
    """Losses of a linear model that learned from the kept rows."""
    model = fit_simple(
        taught.task, inputs[kept], learn.targets[kept], outputs=taught.outputs, seed=taught.seed
    )
    return taught.row_losses(rows.targets, model.predict(rows.inputs))


def _best_share(taught: Taught, learn: Examples, inputs: Array, worst: Array) -> float:
    """The share without which the rows that stopped the training are answered best."""
    losses = {
        share: float(_losses_without(taught, learn, inputs, _without(worst, share), taught.stop).mean())
        for share in (0.0, *LEAVE_OUT)
    }
    return min(losses, key=lambda share: losses[share])


def _saved(
    taught: Taught, learn: Examples, inputs: Array, worst: Array, share: float
) -> tuple[float, float, float, float, float]:
    """Mean losses on the judged rows with all rows and without the share, and what that saves, with its interval."""
    whole, fewer = (
        _losses_without(taught, learn, inputs, _without(worst, one), taught.judge) for one in (0.0, share)
    )
    (gain,) = mean_intervals((whole - fewer).reshape(-1, 1), taught.plan)
    return float(whole.mean()), float(fewer.mean()), gain.value, gain.low, gain.high


def _strange(taught: Taught, inputs: Array) -> tuple[float, Slice | None]:
    places = _spread(len(taught.judge), MOST_STRANGE)
    strange = strange_rows(inputs, taught.judge.take(places).inputs)
    losses = taught.losses[places]
    plan = Resampling(len(places), max(1, round(taught.plan.length * len(places) / len(taught.judge))))
    return float(strange.mean()), compare_with_rest("unlike any row that taught", strange, losses, plan)


def _spread(count: int, most: int) -> npt.NDArray[np.intp]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.intp)


# --- in words ---


def _harm(found: TrainingRows) -> str | None:
    if not found.harmful:
        return None
    named = ", ".join(row.id for row in found.worst[:5] if row.value < 0)
    return (
        f"{found.harmful:,} of {found.looked_at:,} rows that taught mislead their neighbours more than they help: "
        f"noise, or wrong targets; the worst: {named}"
    )


def _leaving_out(found: TrainingRows) -> str:
    if found.left_out == 0:
        return "a linear model does best with all of these rows: none is worth leaving out"
    moves = (
        f"without the {found.left_out:.0%} least valuable a linear model's loss goes from {written(found.loss_all)} to "
        f"{written(found.loss_without)}"
    )
    if found.low > 0:
        return f"{moves} (at least {written(found.low, 2)} lower): these rows do harm"
    return f"{moves}, which may be chance ({written(found.low, 2)} to {written(found.high, 2)} lower)"


def _age(found: TrainingRows) -> str | None:
    oldest, newest = found.ages[0], found.ages[-1]
    if oldest.high < newest.low:
        return f"rows up to {oldest.last} are worth less than those since {newest.first}: old rows have less to say"
    if oldest.low > newest.high:
        return f"rows up to {oldest.last} are worth more than those since {newest.first}"
    return None


def _unlike(found: TrainingRows) -> str:
    told = f"{found.strange_share:.1%} of the judged rows are unlike any that taught (about 1% is usual)"
    if found.strange is None:
        return told
    against = f"loss {written(found.strange.loss)} against {written(found.strange.rest)}"
    return f"{told}; they are answered {'worse' if found.strange.weak else 'no worse'}: {against}"


_RULES: tuple[Callable[[TrainingRows], str | None], ...] = (_harm, _leaving_out, _age, _unlike)
