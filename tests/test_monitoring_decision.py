"""Decisions: few numbers and an assert."""

from __future__ import annotations

import pytest

from monitoring.decision import PastRetraining, RetrainPolicy, budget, decide
from monitoring.verdict import Verdict, VerdictKind

HARM = Verdict("concept change", ("4.2% of the loss is recoverable",), start=3)
POLICY = RetrainPolicy(windows_each=4, burst=3)


def past(*windows: int) -> list[PastRetraining]:
    return [PastRetraining(window, promoted=True) for window in windows]


def test_the_first_retraining_is_free_from_the_first_window() -> None:
    assert budget(0, [], POLICY) == 1.0
    assert decide(HARM, window=1, past=[], blind=(), policy=POLICY).action == "update"


def test_one_retraining_is_saved_up_every_few_windows() -> None:
    assert budget(4, [], POLICY) == 2.0
    assert budget(6, [], POLICY) == 2.5


def test_no_more_than_a_burst_is_saved_up() -> None:
    assert budget(1000, [], POLICY) == 3.0
    assert budget(1001, past(1000), POLICY) == 2.25


def test_what_was_used_is_gone_also_where_the_gate_refused() -> None:
    assert budget(1, past(1), POLICY) == 0.25
    assert budget(1, [PastRetraining(1, promoted=False)], POLICY) == 0.25


def test_in_the_long_run_the_budget_holds() -> None:
    done: list[PastRetraining] = []
    for window in range(1, 401):
        if decide(HARM, window=window, past=done, blind=(), policy=POLICY).action == "update":
            done.append(PastRetraining(window, promoted=False))
    assert len(done) == 101  # one free, then one in four


def test_a_sudden_change_is_followed_up_at_once() -> None:
    done = past(100)
    assert decide(HARM, window=101, past=done, blind=(), policy=POLICY).action == "update"


def test_without_budget_the_reasons_say_when_the_next_comes() -> None:
    decision = decide(HARM, window=2, past=past(1), blind=(), policy=POLICY)
    assert decision.action == "keep"
    assert decision.reasons == (
        *HARM.reasons,
        "the budget of retrainings is used up: the next one in 2 window(s)",
    )


def test_broken_data_are_mended_never_learned() -> None:
    decision = decide(
        Verdict("data fault", ("temp: all missing",)), window=9, past=[], blind=(), policy=POLICY
    )
    assert decision.action == "fix data"
    assert decision.reasons == ("a retraining on broken data would make it worse", "temp: all missing")


@pytest.mark.parametrize("kind", ["quiet", "benign shift", "not enough evidence"])
def test_what_does_not_hurt_is_left_alone(kind: VerdictKind) -> None:
    decision = decide(Verdict(kind, ("why",)), window=9, past=[], blind=("temp",), policy=POLICY)
    assert (decision.action, decision.reasons) == ("keep", ("why",))


def test_what_the_preparation_cannot_see_is_fitted_anew() -> None:
    decision = decide(HARM, window=9, past=[], blind=("fuel",), policy=POLICY)
    assert decision.action == "refit"
    assert decision.reasons[-1] == "the preparation cannot see fuel: it is fitted anew"
