import json
import math

from models.history import EpochLoss, LossHistory


def epoch(number: int, validation: float, *, loss: float = 1.0) -> EpochLoss:
    return EpochLoss(number, loss, validation, learning_rate=1e-3, seconds=0.5)


def test_the_best_epoch_is_the_first_with_the_lowest_validation_loss() -> None:
    history = LossHistory((epoch(0, 0.5), epoch(1, 0.3), epoch(2, 0.3), epoch(3, 0.4)))
    assert (history.best_epoch, history.best_loss, history.epochs_since_best) == (1, 0.3, 2)


def test_without_validation_rows_the_training_loss_decides() -> None:
    history = LossHistory((epoch(0, math.nan, loss=0.9), epoch(1, math.nan, loss=0.7)))
    assert (history.best_epoch, history.best_loss) == (1, 0.7)


def test_the_model_as_it_came_is_best_where_no_epoch_is_better() -> None:
    history = LossHistory((epoch(-1, 0.2, loss=math.nan), epoch(0, 0.3), epoch(1, 0.4)))
    assert (history.best_epoch, history.epochs_since_best) == (-1, 2)


def test_the_model_as_it_came_is_never_best_without_validation_rows() -> None:
    history = LossHistory((epoch(-1, math.nan, loss=math.nan), epoch(0, math.nan, loss=0.7)))
    assert history.best_epoch == 0


def test_an_empty_history_has_no_best_epoch() -> None:
    history = LossHistory()
    assert history.best_epoch is None
    assert math.isnan(history.best_loss)
    assert history.epochs_since_best == 0
    assert history.seconds == 0


def test_a_history_of_nothing_but_undefined_losses_has_no_best_epoch() -> None:
    history = LossHistory((epoch(-1, math.nan, loss=math.nan),))
    assert (history.best_epoch, history.epochs_since_best) == (None, 0)


def test_seconds_add_up() -> None:
    assert LossHistory((epoch(0, 0.5), epoch(1, 0.5))).seconds == 1.0


def test_json_is_strict_and_comes_back_as_it_went() -> None:
    history = LossHistory((EpochLoss(0, 1 / 3, 0.1 + 0.2, 1e-3, 0.25, {"accuracy": 0.75}),))
    text = history.to_json()
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))
    assert LossHistory.from_json(text) == history


def test_undefined_losses_survive_json() -> None:
    text = LossHistory((epoch(-1, 0.5, loss=math.nan),)).to_json()
    assert '"loss": null' in text
    assert math.isnan(LossHistory.from_json(text).epochs[0].loss)
