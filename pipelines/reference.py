"""What a version is compared with: its loss on rows it had not seen, and the inputs that it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.loss_alarm import LossReference, loss_reference
from monitoring.profile import Profile, profile, reference_bins
from monitoring.recovery import LabelledWindow, standing_correction
from monitoring.shift import ShiftThresholds, calibrate
from monitoring.window import Window, rows_by_window
from pipelines.objective import Objective

Array = npt.NDArray[Any]

MOST_BLOCKS = 8  # windows kept one by one: enough to see what varies from window to window
LEAST_CORRECTION = 100  # rows; of fewer a correction is mostly chance
LEAST_BLOCK = 0.2  # windows with fewer rows than this share of the median are pieces, not windows


@dataclass(frozen=True)
class Reference:
    """loss: of the version. profile, thresholds: of the inputs that it was made for. blocks: the last windows.

    correction: weights of what could have been corrected from the start, see `monitoring.recovery`; () for nothing.
    """

    loss: LossReference
    profile: Profile
    thresholds: ShiftThresholds
    blocks: tuple[Profile, ...] = ()
    correction: tuple[tuple[float, ...], ...] = ()

    def without(self, names: Sequence[str]) -> Reference:
        """The reference for rows of which these columns are not kept."""
        whole, *blocks = (_without(one, names) for one in (self.profile, *self.blocks))
        return replace(self, profile=whole, blocks=tuple(blocks))


def _without(counted: Profile, names: Sequence[str]) -> Profile:
    return Profile(counted.rows, tuple(column for column in counted.columns if column.name not in names))


def make_reference(
    columns: Mapping[str, Array],
    times: Array,
    windows: Sequence[Window],
    *,
    loss: LossReference,
    correction: tuple[tuple[float, ...], ...] = (),
) -> Reference:
    """The inputs of the rows that a version was made for, in time order, cut into these windows."""
    blocks = whole_blocks(rows_by_window(times, windows))
    bins = reference_bins(columns)
    profiles = [profile({name: values[rows] for name, values in columns.items()}, bins) for rows in blocks]
    whole = profile(columns, bins)
    return Reference(loss, whole, calibrate(profiles or [whole]), tuple(profiles[-MOST_BLOCKS:]), correction)


def make_correction(
    inputs: npt.NDArray[np.float32], predictions: Array, targets: Array, goal: Objective
) -> tuple[tuple[float, ...], ...]:
    """The standing correction of a version, from rows that it was not trained on."""
    if goal.link is None or len(targets) < LEAST_CORRECTION:
        return ()
    predictions = predictions.astype(np.float64)
    rows = LabelledWindow(inputs, predictions, targets, goal.row_losses(targets, predictions))
    return tuple(tuple(row) for row in standing_correction(rows, goal.link).tolist())


def make_loss_reference(
    losses: Array,
    unseen: Array,
    times: Array,
    windows: Sequence[Window],
    *,
    before: LossReference | None = None,
) -> LossReference:
    """The level of the loss on unseen rows, and its spread over the windows of all rows.

    losses, times: of all rows, shape (n,). unseen: mask of the rows that the version was not trained on; without
    any, all rows give the level.
    """
    blocks = whole_blocks(rows_by_window(times, windows))
    touched = sum(bool(unseen[rows].any()) for rows in blocks)
    return loss_reference(
        losses[unseen] if unseen.any() else losses,
        [losses[rows] for rows in blocks],
        windows=float(max(touched, 1)),
        before=before,
    )


def whole_blocks(blocks: Sequence[Array]) -> list[Array]:
    """The windows without the pieces at both ends and without the nearly empty ones."""
    sizes = np.array([len(rows) for rows in blocks if len(rows)])
    if not len(sizes):
        return []
    return [rows for rows in blocks if len(rows) >= LEAST_BLOCK * float(np.median(sizes))]


def write_reference(reference: Reference) -> dict[str, Any]:
    """The reference as plain JSON values."""
    return {
        "loss": asdict(reference.loss),
        "profile": json.loads(reference.profile.to_json()),
        "thresholds": json.loads(reference.thresholds.to_json()),
        "correction": [list(row) for row in reference.correction],
        "blocks": [json.loads(block.to_json()) for block in reference.blocks],
    }


def read_reference(stored: Mapping[str, Any]) -> Reference:
    return Reference(
        loss=LossReference(**stored["loss"]),
        profile=Profile.from_json(json.dumps(stored["profile"])),
        thresholds=ShiftThresholds.from_json(json.dumps(stored["thresholds"])),
        blocks=tuple(Profile.from_json(json.dumps(block)) for block in stored["blocks"]),
        correction=tuple(tuple(row) for row in stored["correction"]),
    )
