"""What is read from a curve: each kind where it is, nothing where nothing is, and who may be registered."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.curve import Curve
from models.diagnosis import KINDS, RULES, Watch, diagnose, furthest_out, may_register, rises

EPOCHS = 30
BASELINES = {"constant": 1.0, "simple": 0.5, "trees": 0.3}


def falling(start: float, end: float, *, epochs: int = EPOCHS, speed: float = 0.35) -> np.ndarray:
    """A loss that falls fast at first and then hardly."""
    return end + (start - end) * np.exp(-speed * np.arange(epochs))


def noisy(losses: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    return losses + noise * np.random.default_rng(seed).standard_normal(len(losses))


def steps_around(levels: np.ndarray, noise: float = 0.15, per: int = 40, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return levels[:, None] * np.exp(noise * rng.standard_normal((len(levels), per)))


def curve(
    training: np.ndarray, validation: np.ndarray | None = None, steps: np.ndarray | None = None, **known: Any
) -> Curve:
    return Curve(
        tuple(training),
        () if validation is None else tuple(validation),
        () if steps is None else tuple(map(tuple, steps)),
        baselines=known.pop("baselines", BASELINES),
        **known,
    )


LEARNED, SEEN = noisy(falling(1.2, 0.22), 0.002), noisy(falling(1.0, 0.25), 0.003, seed=3)
HEALTHY = curve(LEARNED, SEEN, steps_around(LEARNED))


# --- healthy ---


def test_a_run_that_comes_down_and_stays_is_healthy() -> None:
    found = diagnose(HEALTHY)
    assert (found.kind, found.findings) == ("healthy", ())
    assert found.lines() == ["the loss curve is healthy (30 epochs)"]
    assert may_register(found) == ()


def test_a_healthy_run_is_healthy_without_steps_validation_or_baselines() -> None:
    for less in ({"steps": ()}, {"validation": ()}, {"baselines": {}}):
        assert diagnose(replace(HEALTHY, **less)).kind == "healthy", less
    assert diagnose(Curve(HEALTHY.training)).kind == "healthy"


def test_patience_alone_is_no_overfitting() -> None:
    seen = np.concatenate([SEEN, SEEN.min() + np.array([0.01, 0.02, 0.03, 0.03])])
    learned = np.concatenate([LEARNED, LEARNED[-1] - np.array([0.01, 0.02, 0.03, 0.04])])
    assert diagnose(curve(learned, seen)).kind == "healthy"


def test_a_curve_without_an_epoch_says_nothing() -> None:
    with pytest.raises(ValueError, match="holds no epoch"):
        diagnose(Curve(()))


def test_a_single_epoch_can_be_read() -> None:
    assert diagnose(Curve((0.3,), (0.3,), baselines=BASELINES)).kind == "healthy"


@given(st.sampled_from([1e-3, 0.1, 7.0, 1e4]), st.sampled_from(range(8)))
def test_the_unit_of_the_loss_changes_no_kind(factor: float, which: int) -> None:
    one = EXAMPLES[which][1]
    scaled = replace(
        one,
        training=tuple(factor * loss for loss in one.training),
        validation=tuple(factor * loss for loss in one.validation),
        steps=tuple(tuple(factor * loss for loss in steps) for steps in one.steps),
        penalties=tuple(factor * loss for loss in one.penalties),
        baselines={name: factor * loss for name, loss in one.baselines.items()},
    )
    assert diagnose(scaled).kind == diagnose(one).kind


# --- each fault ---


def test_a_loss_that_is_no_number_diverged_at_its_step() -> None:
    found = diagnose(Curve((0.9, math.nan), steps=((0.9, 0.9), (0.8, math.inf))))
    assert found.kind == "divergence"
    assert found.findings[0].evidence == "the training loss was no longer finite in epoch 1, step 1"


def test_a_validation_loss_that_is_no_number_diverged() -> None:
    found = diagnose(Curve((0.9, 0.8), (0.7, math.nan)))
    assert found.findings[0].evidence == "the validation loss was no longer finite in epoch 1"


def test_a_loss_that_rose_by_an_order_diverged() -> None:
    found = diagnose(Curve((1.0, 0.6, 3.0, 20.0), baselines={"constant": 1.0}))
    assert found.kind == "divergence"
    assert found.findings[0].evidence == "the training loss rose from 0.6 to 20"


def test_a_loss_that_may_be_negative_diverges_by_what_it_had_gained() -> None:
    known = {"may_be_negative": True, "baselines": {"constant": 0.0}}
    assert diagnose(Curve((0.0, -0.5, -0.8, -0.9), **known)).kind == "healthy"
    assert diagnose(Curve((0.0, -0.5, 2.0, 30.0), **known)).kind == "divergence"


def test_a_loss_that_starts_high_and_falls_did_not_diverge() -> None:
    learned = np.append([5000.0, 40.0], falling(1.2, 0.22))
    assert diagnose(curve(learned, np.append([60.0, 8.0], SEEN))).kind == "healthy"


def test_nothing_else_is_said_of_a_run_that_diverged() -> None:
    assert [finding.kind for finding in diagnose(Curve((1.0, 50.0), (1.0, 70.0))).findings] == ["divergence"]


def test_an_ordinary_loss_before_the_end_points_to_rows() -> None:
    sudden = diagnose(Curve((0.5,), steps=((0.9, 0.6, 0.5, math.nan),)))
    grown = diagnose(Curve((0.5,), steps=((0.9, 60.0, 1e9, 1e30, math.inf),)))
    assert sudden.findings[0].causes[0].startswith("rows hold NaN")
    assert grown.findings[0].causes[0] == "the learning rate is too high"


def test_broken_batches_are_spikes() -> None:
    steps = steps_around(LEARNED)
    steps[[5, 11, 20], [3, 30, 17]] = 15.0
    found = diagnose(curve(steps.mean(axis=1), SEEN, steps))
    assert found.kind == "spikes"
    assert found.findings[0].evidence.startswith("3 of 1,200 steps cost far more")
    assert "the most 15 against" in found.findings[0].evidence


def test_without_steps_an_epoch_may_be_a_spike() -> None:
    learned = LEARNED.copy()
    learned[[14, 22]] = 6.0
    found = diagnose(curve(learned, SEEN))
    assert found.findings[0].evidence.startswith("2 of 30 epochs cost far more")


def test_epochs_that_jump_about_are_too_noisy() -> None:
    seen = noisy(np.full(EPOCHS, 0.5), 0.06)
    learned = noisy(np.full(EPOCHS, 0.5), 0.03, seed=5)
    assert diagnose(curve(learned, seen, steps_around(learned, noise=0.9))).kind == "too noisy"


def test_the_noise_of_learning_by_heart_is_overfitting() -> None:
    seen = noisy(np.linspace(0.5, 1.2, EPOCHS), 0.06)
    assert diagnose(curve(falling(1.0, 0.01), seen)).kind == "overfitting"


def test_a_problem_that_a_straight_line_solves_is_suspect() -> None:
    found = diagnose(replace(HEALTHY, baselines={"constant": 1.0, "simple": 0.001}))
    assert found.kind == "leak suspected"
    assert found.findings[0].evidence.startswith("even the simple model leaves 0.10% of the loss")


def test_unseen_rows_that_follow_to_the_floor_are_suspect() -> None:
    found = diagnose(curve(falling(1.0, 0.004), falling(0.9, 0.004)))
    assert "followed the training loss down to 0.40%" in found.findings[0].evidence


def test_unseen_rows_that_do_not_quite_follow_to_the_floor_are_not() -> None:
    assert diagnose(curve(falling(1.0, 0.002), falling(0.9, 0.03))).kind == "healthy"


def test_unseen_rows_that_cost_less_than_learned_ones_are_suspect_but_under_dropout() -> None:
    one = curve(falling(1.2, 0.5), falling(1.0, 0.2))
    assert diagnose(one).kind == "leak suspected"
    assert diagnose(replace(one, altered=True)).kind == "healthy"


def test_a_loss_that_does_not_move_is_a_plateau() -> None:
    assert diagnose(curve(noisy(np.full(EPOCHS, 1.3), 0.01), np.full(EPOCHS, 1.25))).kind == "plateau"


def test_a_loss_that_stays_at_the_constant_is_a_plateau_where_a_line_learns_more() -> None:
    stuck = curve(noisy(falling(1.6, 1.0), 0.003), noisy(falling(1.4, 1.0), 0.001))
    assert diagnose(stuck).kind == "plateau"
    hopeless = replace(stuck, baselines={"constant": 1.0, "simple": 1.0})
    assert diagnose(hopeless).kind == "underfitting"


def test_a_loss_that_penalties_hold_at_the_constant_is_underfitting() -> None:
    penalties = tuple(falling(5.0, 0.01))
    one = curve(
        noisy(falling(1.6, 1.0), 0.003) + penalties, noisy(falling(1.4, 1.0), 0.001), penalties=penalties
    )
    found = diagnose(one)
    assert found.kind == "underfitting"
    assert [remedy.key for remedy in found.findings[0].remedies] == ["l1", "l2"]


def test_a_rate_that_fell_to_nothing_is_a_plateau() -> None:
    learned, seen = (
        np.append([1.1, 0.9], np.full(28, 0.8)),
        np.append([1.0, 0.85], noisy(np.full(28, 0.8), 1e-3)),
    )
    rates = (1e-3, 1e-3, *[1e-9] * 28)
    found = diagnose(curve(learned, seen, learning_rates=rates))
    assert found.kind == "plateau"
    assert "the learning rate is 1e-09 (at most 0.001)" in found.findings[0].evidence


def test_a_rate_that_fell_when_all_was_learned_is_healthy() -> None:
    rates = tuple(1e-3 * (0.5 + 0.5 * math.cos(math.pi * epoch / EPOCHS)) for epoch in range(EPOCHS))
    assert diagnose(replace(HEALTHY, learning_rates=rates)).kind == "healthy"


def test_a_validation_loss_that_turns_up_is_overfitting() -> None:
    seen = np.append(falling(1.0, 0.4, epochs=10), np.linspace(0.4, 0.9, 20))
    found = diagnose(curve(falling(1.0, 0.02), seen))
    assert found.kind == "overfitting"
    assert found.findings[0].evidence.startswith("validation loss 0.4 in epoch 10")


def test_losses_that_are_far_apart_are_overfitting() -> None:
    found = diagnose(curve(falling(1.0, 0.001), falling(1.0, 0.6)))
    assert found.kind == "overfitting"
    assert "is 0.599 above the training loss" in found.findings[0].evidence


def test_a_loss_that_still_falls_was_trained_too_short() -> None:
    found = diagnose(curve(np.array([1.0, 0.8, 0.6]), np.array([0.9, 0.7, 0.5])))
    assert found.kind == "underfitting"
    assert found.findings[0].causes == ("it was trained too short",)
    assert str(found.findings[0].remedies[0]) == "[network] epochs = 9 (the loss had not stopped falling)"


def test_a_network_that_trees_beat_on_both_sets_underfits() -> None:
    found = diagnose(curve(falling(1.2, 0.55), falling(1.0, 0.56)))
    assert found.kind == "underfitting"
    assert found.findings[0].evidence == "the lowest validation loss is 0.56; boosted trees: 0.3"


def test_what_holds_a_network_back_is_told_from_what_it_lacks() -> None:
    small = diagnose(curve(falling(1.2, 0.55), falling(1.0, 0.56), altered=True))
    held = diagnose(curve(falling(1.2, 0.75), falling(1.0, 0.56), altered=True))
    assert [found.findings[0].remedies[0].key for found in (small, held)] == ["hidden", "dropout"]


def test_without_trees_nobody_can_tell() -> None:
    one = curve(falling(1.2, 0.5), falling(1.0, 0.5), baselines={"constant": 1.0, "simple": 0.5})
    assert diagnose(one).kind == "healthy"


def test_a_network_that_is_no_better_than_the_constant_underfits() -> None:
    one = curve(noisy(falling(1.2, 1.0), 0.01), noisy(falling(1.1, 1.0), 0.01), baselines={"constant": 1.0})
    assert diagnose(one).kind == "underfitting"


EXAMPLES: list[tuple[str, Curve]] = [
    ("healthy", HEALTHY),
    ("divergence", Curve((1.0, 0.6, 3.0, 20.0), baselines={"constant": 1.0})),
    ("spikes", curve(np.where(np.arange(EPOCHS) % 9 == 8, 7.0, LEARNED), SEEN)),
    ("leak suspected", curve(falling(1.0, 0.004), falling(0.9, 0.004))),
    ("too noisy", curve(noisy(np.full(EPOCHS, 0.5), 0.03, seed=5), noisy(np.full(EPOCHS, 0.5), 0.06))),
    ("plateau", curve(np.full(EPOCHS, 1.3), np.full(EPOCHS, 1.25))),
    ("overfitting", curve(falling(1.0, 0.001), falling(1.0, 0.6))),
    ("underfitting", curve(falling(1.2, 0.55), falling(1.0, 0.56))),
]


@pytest.mark.parametrize(("kind", "one"), EXAMPLES)
def test_every_kind_has_evidence_causes_and_a_remedy(kind: str, one: Curve) -> None:
    found = diagnose(one)
    assert found.kind == kind
    for finding in found.findings:
        assert any(character.isdigit() for character in finding.evidence)
        assert finding.causes
        assert finding.remedies
    assert len(found.lines()) >= (1 if kind == "healthy" else 3)


def test_there_is_a_rule_for_every_fault_in_the_order_of_their_gravity() -> None:
    assert (*(kind for kind, _ in RULES), "healthy") == KINDS


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=40).flatmap(
        lambda losses: st.tuples(
            st.just(losses), st.lists(st.floats(0, 100), min_size=len(losses), max_size=len(losses))
        )
    ),
    st.fixed_dictionaries({}, optional={name: st.floats(0, 100) for name in ("constant", "simple", "trees")}),
    st.booleans(),
)
def test_any_curve_can_be_read(
    losses: tuple[list[float], list[float]], baselines: dict[str, float], negative: bool
) -> None:
    one = Curve(tuple(losses[0]), tuple(losses[1]), baselines=baselines, may_be_negative=negative)
    assert diagnose(one).kind in KINDS


def test_a_validation_loss_that_stays_while_rows_are_learned_by_heart_is_no_plateau() -> None:
    found = diagnose(curve(falling(1.0, 0.001), np.full(EPOCHS, 0.8)))
    assert [finding.kind for finding in found.findings] == ["overfitting"]


# --- a loss that was asked for ---


def test_a_training_that_ends_at_its_target_is_no_underfitting() -> None:
    early = curve(np.linspace(1.2, 0.4, 6), np.linspace(1.0, 0.45, 6))
    assert diagnose(early).kind == "underfitting"
    found = diagnose(replace(early, target_loss=0.45))
    assert found.lines() == [
        "the loss curve is healthy (6 epochs)",
        "  it ended in epoch 5 because the validation loss reached the target_loss of 0.45",
    ]


def test_a_training_that_ends_at_its_target_is_no_plateau() -> None:
    stuck = curve(np.full(EPOCHS, 0.8), np.full(EPOCHS, 0.8))
    assert diagnose(stuck).kind == "plateau"
    assert diagnose(replace(stuck, target_loss=0.8)).kind == "healthy"


def test_a_target_that_was_not_reached_excuses_nothing() -> None:
    one = curve(falling(1.2, 0.55), falling(1.0, 0.56))
    assert diagnose(replace(one, target_loss=0.4)) == diagnose(one)


def test_a_target_that_the_best_constant_reaches_excuses_nothing() -> None:
    one = curve(noisy(falling(1.6, 1.0), 0.003), noisy(falling(1.4, 1.0), 0.001))
    assert diagnose(replace(one, target_loss=1.2)) == diagnose(one)


def test_without_validation_rows_the_training_loss_reaches_the_target() -> None:
    found = diagnose(Curve((1.0, 0.7, 0.4), baselines=BASELINES, target_loss=0.5))
    assert (found.kind, found.remark) == (
        "healthy",
        "it ended in epoch 2 because the training loss reached the target_loss of 0.5",
    )


def test_other_faults_are_found_at_a_target_too() -> None:
    one = curve(falling(1.0, 0.001), falling(1.0, 0.6), target_loss=0.7)
    assert diagnose(one).kind == "overfitting"


# --- who may be registered ---


def test_a_run_that_diverged_is_never_registered() -> None:
    found = diagnose(Curve((0.7, math.inf)))
    expected = ("the run diverged: the training loss was no longer finite in epoch 1",)
    assert may_register(found) == may_register(found, accept_overfit=True) == expected


TURNED = np.append(falling(1.0, 0.4, epochs=10), np.linspace(0.4, 0.9, 20))


def test_the_weights_from_before_the_turn_do_not_overfit() -> None:
    found = diagnose(curve(falling(1.0, 0.02, speed=0.1), TURNED, kept=10))
    assert not found.overfitting
    assert found.lines()[-1] == "  epoch 10 is kept; after it the validation loss rose from 0.4 to 0.874"
    assert may_register(found) == ()


def test_the_weights_from_after_the_turn_are_registered_by_saying_so() -> None:
    found = diagnose(curve(falling(1.0, 0.02), TURNED))
    (reason,) = may_register(found)
    assert reason.startswith("the weights of epoch 29 overfit: validation loss 0.4 in epoch 10")
    assert may_register(found, accept_overfit=True) == ()


def test_the_best_epoch_overfits_where_rows_are_known_by_heart_and_something_simpler_beats_it() -> None:
    learned, seen = falling(1.0, 0.001), falling(0.7, 0.6) * 0.29
    assert diagnose(curve(learned, falling(1.0, 0.6), kept=29)).overfitting
    known = {"constant": 1.0, "simple": 0.8, "trees": 0.7}
    assert not diagnose(curve(learned, seen, kept=29, baselines=known)).overfitting


# --- while it goes on ---


def test_a_jump_that_recovers_stops_nothing() -> None:
    losses = np.full(200, 0.5)
    losses[100:110] = 1e6
    assert rises([losses]) is None


def test_a_level_an_order_above_stops_at_the_end_of_the_epoch_and_a_hopeless_one_before() -> None:
    before = np.full(100, 0.5)
    assert rises([before, np.full(50, 8.0)], complete=False) is None
    assert rises([before, np.full(50, 8.0)], complete=True) == "the training loss rose to 8, 16 times its 0.5"
    assert rises([before, np.full(50, 80.0)], complete=False) is not None


def test_a_loss_that_is_on_its_way_down_goes_on() -> None:
    assert rises([np.full(100, 0.5), np.geomspace(900, 20, 100)]) is None


def test_ten_times_next_to_nothing_stops_nothing() -> None:
    learned = [np.full(100, 1.0), np.full(100, 1e-5), np.full(100, 5e-3)]
    assert rises(learned) is None
    assert rises(learned, constant=1.0) is None


def test_losses_below_zero_are_only_watched_for_their_being_numbers() -> None:
    assert rises([np.full(40, -0.5), np.full(40, 60.0)]) is None


def test_a_watch_says_in_which_call_a_run_has_to_stop() -> None:
    watch = Watch(constant=1.0)
    watch.begin_epoch()
    assert watch.see(np.full(64, 0.8)) is None
    assert watch.end_epoch() is None
    watch.begin_epoch()
    assert watch.see(np.full(64, 500.0)) == "the training loss rose to 500, 500 times its 1"


def test_a_watch_sees_an_infinite_step_at_once() -> None:
    watch = Watch()
    watch.begin_epoch()
    assert watch.see(np.array([0.5, np.inf])) == "the training loss was no longer finite"


def test_a_watch_ends_a_run_that_rose_by_an_order_with_its_epoch() -> None:
    watch = Watch()
    for level in (0.7, 0.5):
        watch.begin_epoch()
        assert watch.see(np.full(40, level)) is None
        assert watch.end_epoch() is None
    watch.begin_epoch()
    assert watch.see(np.full(40, 9.0)) is None
    assert watch.end_epoch() is not None


# --- rows ---


def test_rows_far_out_are_named_the_furthest_first() -> None:
    inputs = np.random.default_rng(0).standard_normal((500, 3))
    targets = inputs.sum(axis=1)
    inputs[17, 1], targets[40] = 1e4, -1e9
    assert furthest_out(inputs, targets, np.arange(0, 60)) == (40, 17)
    assert furthest_out(inputs, targets, np.arange(60, 500)) == ()


def test_a_number_that_is_none_is_furthest() -> None:
    inputs = np.zeros((50, 1))
    inputs[3], inputs[4] = np.nan, 1e9
    assert furthest_out(inputs, np.zeros(50), np.arange(10)) == (3, 4)


def test_of_many_rows_some_say_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.diagnosis.USUAL_ROWS", 50)
    inputs = np.random.default_rng(0).normal(size=(5000, 3))
    inputs[4321, 1] = 1e9
    assert furthest_out(inputs, np.zeros(5000), np.arange(4300, 4400)) == (4321,)
