"""The loss alarm: quiet where nothing changes, soon after a rise, and not deaf to a slow one."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from monitoring.loss_alarm import (
    AlarmConfig,
    Calendar,
    LossAlarm,
    LossDetector,
    LossDetectors,
    LossLevel,
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


def test_a_slow_decline_is_not_learned_as_normal() -> None:
    rng = np.random.default_rng(8)
    levels = np.linspace(1.0, 1.8, 200)
    alarms = judged(windows_of(rng, np.ones(20), 1000), windows_of(rng, levels, 1000))
    first = first_alarm(alarms)
    assert first is not None
    assert levels[first] < 1.15
    against = next(n for n, alarm in enumerate(alarms) if alarm.evidence_fixed >= alarm.threshold)
    assert levels[against] < 1.35  # the reference alone would have seen it, too


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


# --- many streams at once ---


def test_many_streams_in_step_are_judged_as_if_each_were_alone() -> None:
    rng = np.random.default_rng(14)
    config = AlarmConfig()
    pasts = [windows_of(rng, np.exp(rng.normal(0, 0.1, 12)), 100) for _ in range(3)]
    references = [loss_reference(np.concatenate(past), past, windows=12) for past in pasts]
    streams = [
        [loss_level(one, known.ceiling, known.logarithmic) for one in windows_of(rng, levels, 100)]
        for known, levels in zip(references, np.outer([1.0, 1.3, 2.0], np.ones(40)), strict=True)
    ]
    together = LossDetectors(references, config, 1000)
    for now in zip(*streams, strict=True):
        together.update(now)
    for place, (known, windows) in enumerate(zip(references, streams, strict=True)):
        last = loss_alarms(known, windows, config, 1000)[-1]
        assert last.evidence_self == pytest.approx(float(together.tests.evidence_self[place]), rel=1e-6)
        assert last.evidence_fixed == pytest.approx(float(together.tests.evidence_fixed[place]), rel=1e-6)


def test_window_by_window_is_all_windows_at_once() -> None:
    rng = np.random.default_rng(15)
    past = windows_of(rng, np.ones(10))
    reference = loss_reference(np.concatenate(past), past, windows=10)
    levels = [loss_level(one, reference.ceiling, True) for one in windows_of(rng, np.linspace(1, 1.5, 30))]
    detector = LossDetector(reference, AlarmConfig(), 2000)
    assert tuple(map(detector.update, levels)) == loss_alarms(reference, levels, AlarmConfig())


# --- the reference ---


def test_rows_of_the_training_teach_how_windows_differ_and_not_what_their_level_is() -> None:
    rng = np.random.default_rng(16)
    trained, unseen = windows_of(rng, np.full(30, 0.5)), windows_of(rng, np.ones(6))
    reference = loss_reference(
        np.concatenate(unseen), [*trained, *unseen], windows=6, unseen=[False] * 30 + [True] * 6
    )
    assert reference.unseen == 6
    assert [block.group for block in reference.blocks] == [0] * 30 + [1] * 6
    levels = [loss_level(one, reference.ceiling, True) for one in windows_of(rng, np.ones(60))]
    assert first_alarm(loss_alarms(reference, levels, AlarmConfig())) is None


def test_a_reference_survives_json_and_one_without_blocks_is_read() -> None:
    rng = np.random.default_rng(17)
    past = windows_of(rng, np.ones(3))
    reference = loss_reference(np.concatenate(past), past, windows=3, starts=[1.0, 2.0, None])
    assert LossReference(**json.loads(json.dumps(asdict(reference)))) == reference
    old = LossReference(500, 0.3, 2.0, True, -1.2, 0.02, 0.05, 9.0)
    alarms = loss_alarms(old, [LossLevel(500, 2.4, 0.9, 0.002)] * 3, AlarmConfig())
    assert alarms[-1].raised


def test_the_windows_of_the_reference_before_are_remembered() -> None:
    rng = np.random.default_rng(18)
    past, fresh = windows_of(rng, np.ones(20)), windows_of(rng, np.ones(2))
    before = loss_reference(np.concatenate(past), past, windows=20)
    after = loss_reference(np.concatenate(fresh), fresh, windows=2, before=before)
    assert [block.group for block in after.blocks] == [0] * 20 + [1] * 2
    assert after.unseen == 2


def season_of_hours(*, known: bool, rise: float) -> tuple[LossAlarm, ...]:
    """Ten days of hours after a reference of 16; the loss rises after the fifth. known: whether hours have times."""
    rng = np.random.default_rng(19)
    hours, cut = np.arange(16 * 24 + 10 * 24), 16 * 24
    levels = (1 + 0.3 * np.sin(2 * np.pi * hours / 24)) * np.where(hours // 24 % 7 >= 5, 0.85, 1.0)
    levels = levels * np.where(hours >= cut + 5 * 24, 1 + rise, 1.0)
    windows = windows_of(rng, levels, 200)
    starts = [float(hour) / 24 if known else None for hour in hours]
    reference = loss_reference(np.concatenate(windows[:cut]), windows[:cut], windows=cut, starts=starts[:cut])
    since = zip(windows[cut:], starts[cut:], strict=True)
    return loss_alarms(
        reference, [loss_level(one, reference.ceiling, True, start) for one, start in since], AlarmConfig()
    )


def test_hour_and_weekday_are_no_alarm_and_hide_no_rise_where_the_reference_covers_two_weeks() -> None:
    assert first_alarm(season_of_hours(known=True, rise=0.0)) is None
    soon = first_alarm(season_of_hours(known=True, rise=0.25))
    assert soon is not None
    assert 5 * 24 <= soon < 5 * 24 + 12


def test_hours_without_times_are_no_false_alarm_either() -> None:
    assert first_alarm(season_of_hours(known=False, rise=0.0)) is None


def test_an_eightfold_loss_is_an_alarm_within_three_windows_after_any_history() -> None:
    for seed, past in enumerate((1, 2, 4, 8)):
        rng = np.random.default_rng(20 + seed)
        first = first_alarm(
            judged(windows_of(rng, np.ones(past), 500), windows_of(rng, np.array([1, 1, 8, 8, 8, 8]), 500))
        )
        assert first in (2, 3, 4)


def test_a_budget_in_time_needs_the_length_of_a_window() -> None:
    past = windows_of(np.random.default_rng(30), np.ones(4))
    reference = loss_reference(np.concatenate(past), past, windows=4)
    config = AlarmConfig(false_alarms="1 per year")
    with pytest.raises(ValueError, match="counts in time"):
        loss_alarms(reference, [], config)
    assert loss_alarms(reference, [], config, 365.0) == ()


def test_losses_that_are_all_alike_are_no_reason_to_fail() -> None:
    past = [np.full(50, 0.25)] * 5
    reference = loss_reference(np.concatenate(past), past, windows=5)
    levels = [loss_level(np.full(50, value), 1.0, True) for value in (0.25, 0.25, 0.251, 0.25)]
    assert first_alarm(loss_alarms(reference, levels, AlarmConfig())) is None


@pytest.mark.parametrize(
    ("starts", "terms"),
    [
        ([], 0),
        ([None] * 50, 0),
        ([1.0, 2.0, None, 4.0] * 20, 0),
        ([float(day) for day in range(20)], 6),
        ([7.0 * week for week in range(20)], 0),
        ([hour / 24 for hour in range(30)], 0),
        ([hour / 24 for hour in range(72)], 6),
        ([hour / 24 for hour in range(15 * 24)], 12),
    ],
)
def test_a_calendar_has_the_terms_that_were_seen_twice(starts: list[float | None], terms: int) -> None:
    calendar = Calendar.of(starts)
    assert calendar.count == terms
    assert len(calendar.terms(3.25)) == terms
    assert not calendar.terms(None).any()
