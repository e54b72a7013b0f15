"""The verdict: the gravest finding first, and the harm before the change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitoring.loss_alarm import LossAlarm
from monitoring.recovery import Recovery
from monitoring.verdict import Harm, VerdictKind, judge

CALM = LossAlarm(400, 0.31, 0.30, 2.0, 1.0, 1060.0, start=0, enough=True)
RAISED = replace(CALM, loss=0.47, evidence_fixed=2000.0, start=5)
NOTHING_TO_WIN = Recovery(0.0, 3.0, 530.0, start=0)
MUCH_TO_WIN = Recovery(0.08, 900.0, 530.0, start=4)
SHIFTED = ("temp: distance 0.31, threshold 0.12",)


@pytest.mark.parametrize(
    ("shifted", "alarm", "recovery", "kind"),
    [
        ((), CALM, NOTHING_TO_WIN, "quiet"),
        (SHIFTED, CALM, NOTHING_TO_WIN, "benign shift"),
        (SHIFTED, RAISED, NOTHING_TO_WIN, "harmful shift"),
        ((), RAISED, NOTHING_TO_WIN, "concept change"),
        ((), CALM, MUCH_TO_WIN, "concept change"),
        (SHIFTED, RAISED, MUCH_TO_WIN, "concept change"),
        (SHIFTED, RAISED, None, "harmful shift"),
        ((), CALM, None, "quiet"),
    ],
)
def test_every_combination_has_its_verdict(
    shifted: tuple[str, ...], alarm: LossAlarm, recovery: Recovery | None, kind: VerdictKind
) -> None:
    verdict = judge(faults=(), shifted=shifted, harm=Harm(alarm, recovery))
    assert verdict.kind == kind
    assert verdict.harmful == (kind in ("harmful shift", "concept change"))
    assert (verdict.start is not None) == verdict.harmful


def test_broken_data_come_before_everything() -> None:
    verdict = judge(faults=("temp: all missing",), shifted=SHIFTED, harm=Harm(RAISED, MUCH_TO_WIN))
    assert (verdict.kind, verdict.reasons, verdict.start) == ("data fault", ("temp: all missing",), None)


def test_too_few_labels_are_not_enough_evidence() -> None:
    few = replace(RAISED, rows=7, enough=False)
    verdict = judge(faults=(), shifted=SHIFTED, harm=Harm(few, MUCH_TO_WIN))
    assert (verdict.kind, verdict.reasons) == ("not enough evidence", ("only 7 labelled rows",))


def test_the_harm_began_with_the_earlier_of_both() -> None:
    assert judge(faults=(), shifted=(), harm=Harm(RAISED, MUCH_TO_WIN)).start == 4
    assert judge(faults=(), shifted=(), harm=Harm(RAISED, NOTHING_TO_WIN)).start == 5


def test_the_reasons_hold_the_figures() -> None:
    verdict = judge(faults=(), shifted=SHIFTED, harm=Harm(RAISED, MUCH_TO_WIN))
    assert verdict.reasons == (
        "8.0% of the loss is recoverable on rows not seen: evidence 900, threshold 530",
        "loss 0.3 → 0.47 (+57%) over 400 labelled rows, against its reference: evidence 2,000, threshold 1,060",
        *SHIFTED,
    )


def test_the_reasons_say_which_test_was_the_louder() -> None:
    own = replace(RAISED, evidence_fixed=10.0, evidence_self=1500.0)
    assert "against the windows before" in judge(faults=(), shifted=(), harm=Harm(own, None)).reasons[0]
