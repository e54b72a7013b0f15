"""Trainings as they usually go, as their runs keep them, without any network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from models.history import EpochLoss, LossHistory
from models.learning_curve import CurvePoint, LearningCurve
from pipelines.diagnosis import TrainingDiagnosis
from pipelines.kept_curve import NO_STEPS, KeptCurve, StepTable, TrainingRecord

EVIDENCE = "2 of 2,400 steps cost far more than those around them, the most 9 against 0.5 (number 900)"
SPIKES = TrainingDiagnosis(
    "spikes",
    (
        {
            "kind": "spikes",
            "evidence": EVIDENCE,
            "causes": ["some batches hold rows that are wrong", "single steps are too long"],
            "remedies": ["[network] clip_norm = 1.0 (long steps are cut)", "[network] batch_size = 512"],
        },
    ),
    (
        f"spikes: {EVIDENCE}",
        "  likely: some batches hold rows that are wrong; or single steps are too long",
        "  try: [network] clip_norm = 1.0 (long steps are cut)",
        "  epoch 7 is kept; after it the validation loss rose from 0.5 to 0.6",
    ),
)
POINTS = tuple(
    CurvePoint(rows, 3, 0.4 + k / 50, 0.6 - k / 40, 0.59 - k / 40, 0.62 - k / 40)
    for k, rows in enumerate((3125, 6250, 12500))
)
VERDICT = "more rows would help: twice as many rows as now (12,500) would move loss from 0.55 to about 0.54"


def step_table(epochs: int, per: int, rng: np.random.Generator) -> StepTable:
    """Steps whose loss falls, with two that cost far more, and every 16th gradient."""
    count = epochs * per
    loss = (0.47 + 0.3 * np.exp(-9 * np.arange(count) / count)) * np.exp(0.1 * rng.standard_normal(count))
    norm = np.full(count, np.nan)
    norm[::16] = 0.3 * np.exp(0.3 * rng.standard_normal(len(norm[::16])))
    for place, cost in ((900, 9.0), (1600, 5.0)):
        if place < count:
            loss[place], norm[place // 16 * 16] = cost, 30.0
    return StepTable(np.repeat(np.arange(epochs), per).astype(np.int32), loss, norm)


def made_training(
    epochs: int = 12,
    per: int = 200,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    starts: int = 0,
    **more: Any,
) -> KeptCurve:
    """A first training with everything that a picture can show. per: steps of an epoch, 0 for none that are known.

    starts: from other seeds, the first of which diverged. more: fields of the curve to replace.
    """
    rng = np.random.default_rng(0)
    steps = step_table(epochs, per, rng) if per else NO_STEPS
    levels = 0.47 + 0.3 * np.exp(-np.arange(1, epochs + 1) / 2)
    held_out = 0.5 + 0.2 * np.exp(-np.arange(epochs) / 2) + 0.004 * np.maximum(np.arange(epochs) - 7, 0)
    found = []
    for number in range(epochs):
        auc = 0.75 - 0.1 * math.exp(-number / 3)
        found.append(
            EpochLoss(
                number,
                float(levels[number]) * scale + shift,
                float(held_out[number]) * scale + shift,
                1e-3 * 0.7**number,
                1.5,
                {"auc": auc + 0.02, "val_auc": auc, "penalty": 0.1},
            )
        )
    record = TrainingRecord(
        "binary_crossentropy",
        tuple(found),
        LossHistory(tuple(found)).best_epoch,
        {
            name: loss * scale + shift
            for name, loss in {"constant": 0.69, "simple": 0.53, "trees": 0.5}.items()
        },
        48_000,
        12_000,
        shift < 0,
        SPIKES,
        ((), *[tuple(one.judged + 0.02 * number for one in found) for number in range(starts)])[:starts],
        1,
    )
    moved = StepTable(steps.epoch, steps.loss * scale + shift, steps.gradient_norm)
    curves = tuple(LearningCurve(*one, POINTS) for one in (("loss", -1), ("f1_macro", 1)))
    given = {"version": 3, "failure": "", "record": record, "steps": moved, "learning_curves": curves}
    given |= {"verdicts": (VERDICT,)} | more
    return KeptCurve(name="flights", run_id="abcdef0123456789", kind="fit", **given)  # type: ignore[arg-type]
