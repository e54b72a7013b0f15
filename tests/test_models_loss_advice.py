"""Each rule speaks where it should and is silent where it should not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.last_layer import LastLayer
from models.loss_advice import RULES, Finding, Probe, advice
from models.losses import CATALOGUE, default_loss
from models.schema import Task

SIGMOID, SOFTMAX = LastLayer("sigmoid", 0.0, 1.0), LastLayer("softmax", 0.0, 1.0)
LINEAR, RELU = LastLayer("linear"), LastLayer("relu", 0.0)
NUMBERS = np.array([-3.0, 5.0, 40.0, 100.0])
BINARY = np.array([0.0, 1.0, 1.0, 0.0])
CLASSES = np.array([0, 2, 1, 1])


def probe(
    loss: str, task: Task, targets: Any, last: LastLayer = LINEAR, value: float = 0.5, **more: Any
) -> Probe:
    """Four rows, all answered with the same number (for classes with even chances)."""
    answers = np.full((4, 3), 1 / 3) if task == "multiclass" else np.full((4, 1), value)
    return Probe(loss, task, targets, answers, last, **more)


def found(*arguments: Any, **more: Any) -> list[Finding]:
    return list(advice(probe(*arguments, **more)))


@pytest.mark.parametrize(
    ("task", "targets", "last"),
    [("regression", NUMBERS, LINEAR), ("binary", BINARY, SIGMOID), ("multiclass", CLASSES, SOFTMAX)],
)
def test_the_default_loss_of_a_network_that_fits_needs_no_advice(
    task: Task, targets: Any, last: LastLayer
) -> None:
    assert found(default_loss(task), task, targets, last) == []


def test_classes_as_whole_numbers_become_columns_which_is_said() -> None:
    (note,) = found("categorical_crossentropy", "multiclass", CLASSES, SOFTMAX)
    assert note.severity == "note"
    assert "sparse_categorical_crossentropy is the same loss" in note.text


def test_columns_for_a_loss_that_takes_positions_are_a_fault() -> None:
    (fault,) = found("sparse_categorical_crossentropy", "multiclass", np.eye(3)[CLASSES], SOFTMAX)
    assert fault.severity == "fault"
    assert "takes positions. Take categorical_crossentropy" in fault.text


def test_scores_for_a_loss_of_probabilities_are_a_fault_with_two_ways_out() -> None:
    (fault,) = found("binary_crossentropy", "binary", BINARY, LINEAR)
    assert fault.severity == "fault"
    assert 'activation="sigmoid"), or write loss_parameters = {from_logits = true}' in fault.text
    (outside,) = found("bce", "binary", BINARY, LastLayer(None), value=-2.0)
    assert outside.text.startswith("the network answers -2, and bce takes probabilities")


def test_classes_whose_chances_do_not_add_up_are_a_fault() -> None:
    several = Probe("sparse_categorical_crossentropy", "multiclass", CLASSES, np.full((4, 3), 0.5), SIGMOID)
    (fault,) = advice(several)
    assert "a row that adds up to 1.5" in fault.text
    assert 'activation="softmax"' in fault.text


def test_scores_are_right_where_the_loss_is_told_of_them_and_probabilities_are_wrong() -> None:
    logits = {"from_logits": True}
    assert found("bce", "binary", BINARY, LINEAR, value=-3.0, parameters=logits) == []
    (fault,) = found("bce", "binary", BINARY, SIGMOID, parameters=logits)
    assert "ends with sigmoid, and from_logits = true" in fault.text


def test_squared_error_on_classes_is_a_warning_that_names_the_better_loss() -> None:
    (warning,) = found("mse", "binary", BINARY, SIGMOID)
    assert (warning.severity, "binary_crossentropy costs more" in warning.text) == ("warning", True)
    (several,) = found("mae", "multiclass", CLASSES, SOFTMAX)
    assert "sparse_categorical_crossentropy costs more" in several.text


def test_hinge_with_answers_from_0_to_1_is_a_warning_and_strange_targets_a_fault() -> None:
    (warning,) = found("hinge", "binary", BINARY, SIGMOID)
    assert "reads targets of 0 and 1 as -1 and 1" in warning.text
    assert found("hinge", "binary", BINARY, LastLayer("tanh", -1.0, 1.0)) == []
    (fault,) = found("hinge", "binary", np.array([1.0, 2.0, 1.0, 2.0]), LINEAR)
    assert fault.severity == "fault"


@pytest.mark.parametrize(
    ("last", "severity"),
    [
        (SIGMOID, "fault"),
        (RELU, "warning"),
        (LastLayer("tanh", -50.0, 150.0), None),
        (LastLayer(None), None),
    ],
)
def test_an_output_that_cannot_reach_the_target_is_told_with_the_share_of_rows(
    last: LastLayer, severity: str | None
) -> None:
    told = found("mse", "regression", NUMBERS, last)
    assert [finding.severity for finding in told] == [severity] * (severity is not None)
    assert all("of the targets, which go from -3 to 100, lie outside" in finding.text for finding in told)


def test_softmax_over_one_output_is_a_fault() -> None:
    assert "is 1 for every row" in found("bce", "binary", BINARY, SOFTMAX, value=1.0)[0].text


def test_a_logarithm_of_negative_targets_or_answers_is_told() -> None:
    fault, warning = found("poisson", "regression", NUMBERS, LINEAR)
    assert fault.text.startswith(
        "25 % of the targets are negative, down to -3, and poisson is meant for counts"
    )
    assert (warning.severity, "softplus" in warning.text) == ("warning", True)
    assert found("poisson", "regression", np.abs(NUMBERS), LastLayer("softplus", 0.0)) == []
    assert "takes them for 0" in found("msle", "regression", NUMBERS, RELU)[0].text


def test_percentages_of_targets_near_zero_are_a_warning() -> None:
    (warning,) = found("mape", "regression", np.array([0.0, 5.0, 6.0, 7.0]))
    assert "25.0 % of the targets are 0 or nearly" in warning.text
    assert found("mape", "regression", np.array([4.0, 5.0, 6.0, 7.0])) == []


def test_a_huber_threshold_that_decides_nothing_is_a_note_with_a_better_one() -> None:
    targets = 1000 * NUMBERS
    (note,) = found("huber", "regression", targets)
    assert "is mean_absolute_error but for a factor. Write loss_parameters = {delta = 40000}" in note.text
    assert found("huber", "regression", targets, parameters={"delta": 4e4}) == []
    assert "half of mean_squared_error" in found("huber", "regression", NUMBERS / 1e5)[0].text


def test_a_class_that_costs_nothing_is_a_note() -> None:
    settings = {"ignore_class": 1}
    (note,) = found("sparse_categorical_crossentropy", "multiclass", CLASSES, SOFTMAX, parameters=settings)
    assert "50 % of the rows are of this class and cost nothing" in note.text


def test_weighted_classes_are_a_note() -> None:
    (note,) = found("bce", "binary", BINARY, SIGMOID, weighted=True)
    assert "judged on the rows as they are" in note.text


def test_the_gravest_is_told_first_and_missing_targets_do_not_count() -> None:
    targets = np.array([np.nan, -3.0, 5.0, 9.0])
    severities = [finding.severity for finding in found("poisson", "regression", targets)]
    assert severities == ["fault", "warning"]


@pytest.mark.parametrize("loss", sorted(CATALOGUE))
@pytest.mark.parametrize("last", [SIGMOID, SOFTMAX, LINEAR, RELU, LastLayer(None)])
def test_every_rule_survives_every_loss_and_no_rows(loss: str, last: LastLayer) -> None:
    task = CATALOGUE[loss].fits[0]
    none = Probe(loss, task, np.zeros(0), np.zeros((0, 3 if task == "multiclass" else 1)), last)
    assert all(finding is None or isinstance(finding, Finding) for finding in (rule(none) for rule in RULES))
