"""The diagnosis of a training: read from what was recorded, kept with the version, and in the way of a bad one."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from models.curve import Curve, learns_disturbed
from models.diagnosis import Diagnosis, Diverged, diagnose, may_register
from models.losses import CATALOGUE, canonical
from pipelines.errors import Failed

if TYPE_CHECKING:
    from models.recipe import NetworkConfig
    from pipelines.learning import Learned

TAG = "losswatch.diagnosis"  # of a version
LEAST_JUDGES = 30  # validation rows; with fewer a gap is as likely chance, and stands in nobody's way


@dataclass(frozen=True)
class TrainingDiagnosis:
    """What the curve of a training shows, in words. kind: "healthy" or the gravest finding.

    findings: each with its kind, evidence, causes, and remedies as they would stand in the project file.
    """

    kind: str
    findings: tuple[Mapping[str, Any], ...]
    lines: tuple[str, ...]

    def to_json(self) -> str:
        """For a tag."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingDiagnosis:
        """What `to_json` wrote."""
        content = json.loads(text)
        return cls(content["kind"], tuple(content["findings"]), tuple(content["lines"]))


def curve_of(
    learned: Learned,
    steps: Mapping[int, npt.NDArray[Any]],
    baselines: Mapping[str, float],
    network: NetworkConfig,
    *,
    loss: str,
    rows: int,
    own_network: bool,
) -> Curve:
    """The curve of a first training, with all that is known of it.

    steps: losses of the steps of each epoch, by its number.
    loss: as the project names it. own_network: whether the user's code builds the network.
    """
    epochs = [epoch.epoch for epoch in learned.history.epochs if epoch.epoch >= 0]
    taken = tuple(tuple(map(float, steps.get(epoch, ()))) for epoch in epochs)
    altered = network.class_weights is not None or network.label_smoothing > 0
    return Curve.of(
        learned.history,
        steps=taken if all(taken) else (),
        baselines=dict(baselines),
        rows=rows,
        altered=altered or learns_disturbed(learned.model),
        may_be_negative=_may_be_negative(loss, learned),
        settings=dataclasses.asdict(network),
        own_network=own_network,
        target_loss=network.target_loss,
    )


def judge(curve: Curve, network: NetworkConfig, *, judges: int) -> TrainingDiagnosis:
    """What the curve shows; raises Failed where its weights must not be registered. judges: validation rows."""
    found = diagnose(curve)
    accepted = network.accept_overfit or judges < LEAST_JUDGES
    if reasons := may_register(found, accept_overfit=accepted):
        raise Failed(
            "\n".join([f"nothing was registered: {'; '.join(reasons)}", *found.lines(), *_way_out(found)])
        )
    return told(found)


def read_diagnosis(tags: Mapping[str, str]) -> TrainingDiagnosis | None:
    """What was found when a version was trained; None for one from before there was a diagnosis."""
    return TrainingDiagnosis.from_json(tags[TAG]) if TAG in tags else None


def told(found: Diagnosis) -> TrainingDiagnosis:
    """A diagnosis in words."""
    findings = tuple(
        {
            "kind": finding.kind,
            "evidence": finding.evidence,
            "causes": list(finding.causes),
            "remedies": [str(remedy) for remedy in finding.remedies],
        }
        for finding in found.findings
    )
    return TrainingDiagnosis(found.kind, findings, tuple(found.lines()))


def diverged(fault: Diverged, network: NetworkConfig, ids: Mapping[int, str]) -> Failed:
    """The end of a training that diverged, in words. ids: by places among the rows that were learned from."""
    where = "on the validation rows" if fault.step is None else f"at step {fault.step}"
    lines = [f"nothing was registered: the training diverged: {fault.reason} in epoch {fault.epoch}, {where}"]
    if fault.rows:
        names = ", ".join(ids[row] for row in fault.rows)
        lines.append(f"  look at the rows {names}: they were in that step, and lie far from all others")
    seen = Curve((math.nan,), settings=dataclasses.asdict(network))
    lines += [f"  try: {remedy}" for remedy in diagnose(seen).findings[0].remedies]
    return Failed("\n".join(lines))


def _way_out(found: Diagnosis) -> list[str]:
    """How an overfit network is registered all the same."""
    if found.diverged:
        return []
    return ["  or register it all the same: [network] accept_overfit = true"]


def _may_be_negative(loss: str, learned: Learned) -> bool:
    """By its formula; of a user's own loss, by what was seen."""
    try:
        return CATALOGUE[canonical(loss)].lowest < 0
    except ValueError:
        return any(min(epoch.loss, epoch.judged) < 0 for epoch in learned.history.epochs)
