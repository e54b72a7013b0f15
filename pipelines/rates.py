"""The learning rate that a project's network and data ask for: the rate range test, from the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.rate_range import HIGHEST, LOWEST, STEPS, RateRange, rate_range
from pipelines.batches import look_at
from pipelines.errors import UserError
from pipelines.first_rows import examples
from pipelines.kept_rates import keep_rates
from pipelines.network import fit_config_of, recipe_of
from pipelines.objective import objective
from pipelines.parts import VALIDATION, parts_of
from pipelines.prepared import fit_schema

if TYPE_CHECKING:
    from pipelines.project import Project

Say = Callable[[str], None]

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class RatesResult:
    """What the test found, beside the rate of the project file. rates, losses, smoothed: step by step.

    picture: the file that was written, if any. See `models.rate_range.RateRange` for the rest.
    """

    name: str
    optimizer: str
    loss_name: str
    learning_rate: float
    suggested: float | None
    steepest: float | None
    diverged_at: float | None
    before: float
    reasons: tuple[str, ...]
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    picture: Path | None

    def lines(self) -> list[str]:
        told = [
            f"{self.name}: {self.loss_name} after one step at each rate, {self.optimizer}",
            *chart(self.rates, self.smoothed, self.before),
            *self.reasons,
        ]
        told += [f"wrote {self.picture}"] if self.picture else []
        if self.suggested is None:
            return [
                *told,
                "no rate is suggested: see that the data and the loss are in order, losswatch check",
            ]
        if self.learning_rate / 3 <= self.suggested <= self.learning_rate * 3:
            return [*told, f"learning_rate = {self.learning_rate:g} of [network] is about as good"]
        return [*told, f"next: write learning_rate = {self.suggested:g} into [network], and losswatch train"]


def rates(
    project: Project,
    *,
    lowest: float | None = None,
    highest: float | None = None,
    steps: int | None = None,
    picture: Path | None = None,
    progress: Say | None = None,
) -> RatesResult:
    """Tries all learning rates on the rows of a training, with the network and the optimiser of the project.

    What is found is kept in the project's state, to be shown with trainings of the same network. lowest, highest,
    steps: by default from 1e-6 to 10 in 210 steps.
    """
    say = progress or (lambda text: None)
    if picture is not None:
        check_picture(picture)
    found, name, notices = _found(project, lowest or LOWEST, highest or HIGHEST, steps or STEPS, say)
    config = project.config.network
    title = f"{project.name}: {name} by learning rate, {config.optimizer}"
    keep_rates(project, found, title)
    if picture is not None:
        from pipelines.rate_picture import write_picture

        write_picture(found, title, picture)
    return RatesResult(
        name=project.name,
        optimizer=config.optimizer,
        loss_name=name,
        learning_rate=config.learning_rate,
        suggested=found.suggested,
        steepest=found.steepest,
        diverged_at=found.diverged_at,
        before=found.before,
        reasons=(*notices, *found.reasons),
        rates=tuple(found.rates.tolist()),
        losses=tuple(found.losses.tolist()),
        smoothed=tuple(found.smoothed.tolist()),
        picture=picture,
    )


def check_picture(path: Path) -> None:
    """A test of minutes must not find out at its end that its picture cannot be written."""
    from pipelines.rate_picture import WRITERS

    if path.suffix.lower() not in WRITERS:
        raise UserError(f"{path}: a picture is written as {', '.join(WRITERS)}. Name such a file")


def _found(
    project: Project, lowest: float, highest: float, steps: int, say: Say
) -> tuple[RateRange, str, tuple[str, ...]]:
    say("reading the data")
    looked = look_at(project.config.data, project.folder, seed=project.config.project.seed, progress=say)
    parts = parts_of(
        project.config.data, looked.table, seed=project.config.project.seed, validation=VALIDATION
    )
    older = parts.table.rows(parts.split.train)
    schema = fit_schema(project, older)
    goal = objective(project, schema.target.task)
    recipe = recipe_of(project, goal, schema.target.task)
    config = fit_config_of(project, schema, seed=project.config.project.seed)
    rows = examples(older, schema).rows
    say("trying rates")
    try:
        found = rate_range(
            recipe,
            schema,
            rows,
            config,
            lowest=lowest,
            highest=highest,
            steps=steps,
            on_step=lambda done, of: say(f"rate {done + 1} of {of}"),
        )
    except ValueError as error:
        raise UserError(f"[network] {error}") from None
    return found, goal.name, looked.notices


def chart(
    rates: tuple[float, ...], losses: tuple[float, ...], before: float, *, width: int = 60
) -> list[str]:
    """The losses as bars of one line, and under it where the rates are; () where no loss is finite.

    >>> for line in chart((1e-3, 1e-2, 1e-1, 1.0), (1.0, 0.5, 0.0, 9.0), 1.0, width=8): print(line)
    █▅▁█
    0.001 1
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        return []
    low, high = min(finite), max(before, min(finite) + 1e-12)
    count = min(width, len(losses))
    taken = [losses[round(place * (len(losses) - 1) / (count - 1))] for place in range(count)]
    bars = "".join(_bar(loss, low, high) for loss in taken)
    first, last = f"{rates[0]:.2g}", f"{rates[-1]:.2g}"
    return [bars, first + " " * max(1, len(bars) - len(first) - len(last)) + last]


def _bar(loss: float, low: float, high: float) -> str:
    if not math.isfinite(loss):
        return _BARS[-1]
    share = (min(max(loss, low), high) - low) / ((high - low) or 1.0)
    return _BARS[round(share * (len(_BARS) - 1))]
