"""What a version is compared with: its loss on rows it had not seen, and the inputs that it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.activations import Projection
from monitoring.bins import reference_bins
from monitoring.feed import BEFORE, FeedReference, feed_reference, feed_sample
from monitoring.input_alarm import InputReference
from monitoring.loss_alarm import LossReference, loss_reference
from monitoring.loss_estimate import LossEstimator, read_estimator, write_estimator
from monitoring.loss_slices import (
    SliceReference,
    signed_errors,
    slice_reference,
    slice_sums,
    with_answers,
)
from monitoring.profile import Profile, profile
from monitoring.recovery import LabelledWindow, standing_correction
from monitoring.shift import ShiftThresholds, calibrate
from monitoring.slice_alarm import calibrated
from monitoring.window import Window, locate, rows_by_window
from pipelines.objective import Objective
from pipelines.watched_inputs import Answers, last_layer_of, make_inputs, read_inputs, write_inputs

Array = npt.NDArray[Any]

MOST_BLOCKS = 8  # windows kept one by one: enough to see what varies from window to window
LEAST_CORRECTION = 100  # rows; of fewer a correction is mostly chance
LEAST_UNSEEN = 30  # rows of a window that no training saw; of fewer its level says little
LEAST_BLOCK = 0.2  # windows with fewer rows than this share of the median are pieces, not windows


@dataclass(frozen=True)
class Reference:
    """loss: of the version. profile, thresholds: of the inputs that it was made for. blocks: the last windows.

    correction: weights of what could have been corrected from the start, see `monitoring.recovery`; () for nothing.
    slices: the loss by slices of the unseen rows; feed: what is usual of the rows; inputs: what the
    sequential test of the inputs compares with; None where it is not known. last_layer: how activations become columns
    of `inputs`.
    """

    loss: LossReference
    profile: Profile
    thresholds: ShiftThresholds
    blocks: tuple[Profile, ...] = ()
    correction: tuple[tuple[float, ...], ...] = ()
    slices: SliceReference | None = None
    feed: FeedReference | None = None
    inputs: InputReference | None = None
    estimator: LossEstimator | None = None  # of the loss without labels
    last_layer: Projection | None = None

    def without(self, names: Sequence[str]) -> Reference:
        """The reference for rows of which these columns are not kept."""
        whole, *blocks = (_without(one, names) for one in (self.profile, *self.blocks))
        # the effects of a column's slices are not to be taken out of the sums over the others
        cut = {one.name for one in self.slices.cuts} if self.slices is not None else set()
        slices = None if cut & set(names) else self.slices
        inputs = self.inputs.without(names) if self.inputs is not None else None
        kept = replace(self, profile=whole, blocks=tuple(blocks), slices=slices, inputs=inputs)
        # rows that lack a column are not prepared as the version saw them
        return replace(kept, estimator=None).without_last_layer() if names else kept

    def without_last_layer(self) -> Reference:
        """The reference where nobody can tell the activations of rows."""
        if self.last_layer is None:
            return self
        inputs = self.inputs.without(self.last_layer.names) if self.inputs is not None else None
        return replace(self, inputs=inputs, last_layer=None)


def _without(counted: Profile, names: Sequence[str]) -> Profile:
    return Profile(counted.rows, tuple(column for column in counted.columns if column.name not in names))


def make_reference(
    columns: Mapping[str, Array],
    times: Array,
    windows: Sequence[Window],
    *,
    loss: LossReference,
    correction: tuple[tuple[float, ...], ...] = (),
    slices: SliceReference | None = None,
    answers: Answers | None = None,
) -> Reference:
    """The inputs of the rows that a version was made for, in time order, cut into these windows.

    answers: of the version, to rows that it was not trained on.
    """
    by_window = rows_by_window(times, windows)
    blocks = whole_blocks(by_window)
    bins = reference_bins(columns)
    last_layer = last_layer_of(answers)
    profiles = [profile({name: values[rows] for name, values in columns.items()}, bins) for rows in blocks]
    whole = profile(columns, bins)
    held = [windows[place] for place in locate(times[[rows[0] for rows in blocks]], windows)]
    return Reference(
        loss,
        whole,
        calibrate(profiles or [whole]),
        tuple(profiles[-MOST_BLOCKS:]),
        correction,
        slices,
        make_feed(columns, times, by_window, blocks, whole),
        make_inputs(columns, whole, list(zip(held, blocks, profiles, strict=True)), answers, last_layer),
        last_layer=last_layer,
    )


def make_feed(
    columns: Mapping[str, Array],
    times: Array,
    by_window: Sequence[Array],
    blocks: Sequence[Array],
    whole: Profile,
) -> FeedReference | None:
    """What the last windows of the reference were like. by_window, blocks: rows of all windows, of the whole ones."""
    samples = [
        feed_sample({name: values[rows] for name, values in columns.items()}, times[rows], whole.bins)
        for rows in blocks[-MOST_BLOCKS - BEFORE :]
    ]
    ranges = [(one.minimum, one.maximum) for one in whole.columns]
    return feed_reference(samples, [len(rows) for rows in by_window[1:-1]], whole.bins, ranges)


def make_slices(
    columns: Mapping[str, Array],
    predictions: Array,
    losses: Array,
    times: Array,
    windows: Sequence[Window],
    *,
    unseen: Array,
    ceiling: float,
    targets: Array | None = None,
) -> SliceReference | None:
    """What the slices of the reference lose. All of rows with a target, in time order, shape (n, ...).

    unseen: mask of the rows that the version was not trained on; without any, all rows are taken. targets: of the rows,
    to tell by the sign of the errors what has changed.
    """
    known = with_answers(columns, predictions)
    chosen = np.flatnonzero(unseen) if unseen.any() else np.arange(len(losses))
    values = {name: np.asarray(column)[chosen] for name, column in known.items()}
    errors = signed_errors(targets[chosen], predictions[chosen]) if targets is not None else None
    reference = slice_reference(values, losses[chosen], known=known, ceiling=ceiling, errors=errors)
    if reference is None:
        return None
    sums = [
        slice_sums(reference, {name: column[rows] for name, column in values.items()}, losses[chosen][rows])
        for rows in whole_blocks(rows_by_window(times[chosen], windows))
    ]
    return calibrated(reference, sums)


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
    """The level of the loss on unseen rows, and how it differs between the windows of all rows.

    losses, times: of all rows, shape (n,). unseen: mask of the rows that the version was not trained on; without
    any, all rows give the level.
    """
    blocks = whole_blocks(rows_by_window(times, windows))
    held = locate(times[[rows[0] for rows in blocks]], windows)
    new = [rows[unseen[rows]] for rows in blocks]
    judged = [len(rows) >= LEAST_UNSEEN for rows in new]
    return loss_reference(
        losses[unseen] if unseen.any() else losses,
        [losses[own if whole else rows] for own, rows, whole in zip(new, blocks, judged, strict=True)],
        windows=float(max(sum(len(rows) > 0 for rows in new), 1)),
        before=before,
        unseen=judged,
        starts=[windows[place].days for place in held],
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
        "slices": reference.slices.to_plain() if reference.slices is not None else None,
        "feed": reference.feed.to_plain() if reference.feed is not None else None,
        "inputs": write_inputs(reference.inputs, reference.profile) if reference.inputs is not None else None,
        "estimator": write_estimator(reference.estimator) if reference.estimator is not None else None,
        "last_layer": reference.last_layer.to_plain() if reference.last_layer is not None else None,
    }


def read_reference(stored: Mapping[str, Any]) -> Reference:
    whole = Profile.from_json(json.dumps(stored["profile"]))
    return Reference(
        loss=LossReference(**stored["loss"]),
        profile=whole,
        thresholds=ShiftThresholds.from_json(json.dumps(stored["thresholds"])),
        blocks=tuple(Profile.from_json(json.dumps(block)) for block in stored["blocks"]),
        correction=tuple(tuple(row) for row in stored["correction"]),
        # versions made before these were known have none
        slices=SliceReference.from_plain(stored["slices"]) if stored.get("slices") else None,
        feed=FeedReference.from_plain(stored["feed"]) if stored.get("feed") else None,
        inputs=read_inputs(stored["inputs"], whole) if stored.get("inputs") else None,
        estimator=read_estimator(stored["estimator"]) if stored.get("estimator") else None,
        last_layer=Projection.from_plain(stored["last_layer"]) if stored.get("last_layer") else None,
    )
