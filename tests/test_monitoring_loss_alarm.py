"""The loss alarm: quiet where nothing changes, soon after a rise, and not deaf to a slow one."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.loss_alarm import (
    AlarmConfig,
    LossAlarm,
    LossReference,
    loss_alarms,
    loss_level,
    loss_reference,
)

ROWS = 400
Array = np.ndarray


def windows_of(rng: np.random.Generator, levels: Array, rows: int = ROWS) -> list[Array]:
    """Squared Gaussian losses, each window with its own mean."""
    return [level * rng.standard_normal(rows) ** 2 for level in levels]


def judged(
    past: list[Array], windows: list[Array], config: AlarmConfig | None = None
) -> tuple[LossAlarm, ...]:
    reference = loss_reference(np.concatenate(past), past, windows=len(past))
    levels = [loss_level(losses, reference.ceiling, reference.logarithmic) for losses in windows]
    return loss_alarms(reference, levels, config or AlarmConfig())


def first_alarm(alarms: tuple[LossAlarm, ...]) -> int | None:
    return next((number for number, alarm in enumerate(alarms) if alarm.raised), None)


def test_the_level_of_a_window_is_the_log_of_its_winsorised_mean() -> None:
    level = loss_level(np.array([1.0, 1.0, 100.0]), ceiling=4.0, logarithmic=True)
    assert level.loss == 34.0
    assert level.level == pytest.approx(np.log(2.0))


def test_losses_below_zero_are_compared_without_a_logarithm() -> None:
    losses = np.random.default_rng(0).normal(-1.0, 0.5, 500)
    reference = loss_reference(losses, [losses[:250], losses[250:]], windows=2)
    assert not reference.logarithmic
    assert reference.level == pytest.approx(losses.mean(), abs=0.05)


def test_no_alarm_in_a_year_of_days_without_a_change() -> None:
    rng = np.random.default_rng(5)
    alarms = judged(windows_of(rng, np.ones(20)), windows_of(rng, np.ones(365)))
    assert first_alarm(alarms) is None


def test_false_alarms_stay_within_the_budget_over_many_streams() -> None:
    raised = 0
    for seed in range(40):
        rng = np.random.default_rng(1000 + seed)
        alarms = judged(windows_of(rng, np.ones(8), 200), windows_of(rng, np.ones(100), 200))
        raised += first_alarm(alarms) is not None
    assert raised <= 4  # 4,000 windows at one alarm in a thousand


@pytest.mark.parametrize("past", [1, 2, 8])
def test_a_loss_that_doubles_is_an_alarm_within_three_windows_even_after_a_short_history(past: int) -> None:
    rng = np.random.default_rng(6)
    levels = np.concatenate([np.ones(2), np.full(10, 2.0)])
    first = first_alarm(judged(windows_of(rng, np.ones(past)), windows_of(rng, levels)))
    assert first is not None
    assert 2 <= first <= 4


def test_a_jump_in_the_very_first_window_is_seen() -> None:
    rng = np.random.default_rng(7)
    first = first_alarm(judged(windows_of(rng, np.ones(2)), windows_of(rng, np.full(4, 3.0))))
    assert first is not None
    assert first <= 2


def test_a_decline_too_slow_for_the_windows_before_is_seen_against_the_reference() -> None:
    rng = np.random.default_rng(8)
    levels = np.linspace(1.0, 1.8, 200)
    alarms = judged(windows_of(rng, np.ones(20), 1000), windows_of(rng, levels, 1000))
    first = first_alarm(alarms)
    assert first is not None
    assert levels[first] < 1.35
    assert alarms[first].evidence_fixed > alarms[first].evidence_self


def test_a_rise_within_the_tolerance_is_not_harm() -> None:
    rng = np.random.default_rng(9)
    config = AlarmConfig(tolerance=0.5)
    alarms = judged(windows_of(rng, np.ones(20)), windows_of(rng, np.linspace(1, 1.3, 100)), config)
    assert max(alarm.evidence_fixed for alarm in alarms) < alarms[0].threshold


def test_the_start_of_the_harm_is_named() -> None:
    rng = np.random.default_rng(10)
    levels = np.concatenate([np.ones(20), np.full(5, 2.0)])
    alarms = judged(windows_of(rng, np.ones(8)), windows_of(rng, levels))
    assert alarms[-1].start in (19, 20, 21)


def test_a_window_with_too_few_rows_says_nothing_and_adds_nothing() -> None:
    rng = np.random.default_rng(11)
    past = windows_of(rng, np.ones(4))
    alarms = judged(past, [np.full(5, 50.0)] * 5)
    assert not any(alarm.enough or alarm.raised for alarm in alarms)
    assert alarms[-1].evidence_fixed < 2


def test_windows_that_varied_before_must_rise_by_more() -> None:
    rng = np.random.default_rng(12)
    calm = windows_of(rng, np.ones(12))
    wild = windows_of(rng, np.exp(rng.normal(0, 0.3, 12)))

    def spread(past: list[Array]) -> LossReference:
        return loss_reference(np.concatenate(past), past, windows=len(past))

    assert spread(wild).spread > 3 * spread(calm).spread
    assert spread(wild).error > spread(calm).error


def test_a_spread_learned_before_is_carried_on() -> None:
    rng = np.random.default_rng(13)
    wild = windows_of(rng, np.exp(rng.normal(0, 0.3, 12)))
    before = loss_reference(np.concatenate(wild), wild, windows=12)
    fresh = windows_of(rng, np.ones(1))
    alone = loss_reference(fresh[0], fresh, windows=1)
    after = loss_reference(fresh[0], fresh, windows=1, before=before)
    assert after.spread == pytest.approx(before.spread)
    assert alone.spread < after.spread
