"""The streams of the detection benchmark are what they say, and its rates and delays are counted right."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import RAMP, Cell, Found, Task, cusum, cusum_threshold, main, plan, work
from benchmarks.detection_peers import losses
from benchmarks.detection_streams import FAMILIES, LISTED, OTHERS, TUNING, ramp, stream


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_losses_of_about_unit_mean_and_is_the_same_again(name: str) -> None:
    family = FAMILIES[name]
    rows, factors = stream(name, 3, 400, 100)
    again, _ = stream(name, 3, 400, 100)
    assert all(np.array_equal(one, other) for one, other in zip(rows, again, strict=True))
    means = [family.losses(one, factor).mean() for one, factor in zip(rows, factors, strict=True)]
    assert 0.8 < np.mean(means) < 1.25
    risen = [family.losses(one, 1.5 * factor).mean() for one, factor in zip(rows, factors, strict=True)]
    assert np.mean(risen) == pytest.approx(1.5 * np.mean(means), rel=0.05)


def test_the_reporting_families_are_apart_from_those_that_were_tuned_on() -> None:
    assert len(LISTED) == 7
    assert len(OTHERS) >= 5
    assert not set(OTHERS) & (set(TUNING) | set(LISTED))


def test_a_ramp_climbs_evenly_and_stays() -> None:
    np.testing.assert_allclose(ramp(0.25, 5, 7), [1.05, 1.1, 1.15, 1.2, 1.25, 1.25, 1.25])


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_cusum_has_the_run_length_that_was_asked_for(shift: float) -> None:
    scores = np.random.default_rng(1).standard_normal((800, 1500))
    alarms = cusum(scores, shift, 200)
    lengths = np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1, 1500)
    assert lengths.mean() == pytest.approx(200, rel=0.12)
    assert cusum_threshold(shift, 400) > cusum_threshold(shift, 200)


def test_rates_and_delays_by_hand() -> None:
    task = Task("quiet", "chi2", 200, (0, 1, 2, 3), 100, 50)
    cell = Cell((Found(task, {("losswatch", ""): [-1, 9, -1, -2]}, 50, {"mean + 3 deviations": 8}),))
    assert cell.rate_alone("mean + 3 deviations") == 1000 * 8 / 200
    assert cell.delay("losswatch", "") == math.inf
    quiet = Cell((Found(task, {("losswatch", ""): [-1, 9, -1, -1]}, 50),))
    assert quiet.rate("losswatch") == 1000 / (50 + 10 + 50 + 50)


def test_every_kind_of_task_is_planned_and_works() -> None:
    tasks = plan(2, 20, quick=True)
    assert {task.kind for task in tasks} == {"quiet", "rises", "shifts", "short"}
    assert {task.family for task in tasks if task.kind == "quiet"} == set(LISTED) | set(OTHERS)
    for kind in ("quiet", "shifts", "short"):
        found = work(Task(kind, "chi2", 200, (0, 1), 8, 12))
        assert all(len(places) == 2 for places in found.first.values())


def test_a_large_rise_is_found_at_once_and_a_quiet_stream_is_quiet() -> None:
    found = work(Task("rises", "err10", 1000, (0, 1, 2), 12, 60))
    assert all(0 <= place < 6 for place in found.first["losswatch", "+50%"] if place != -2)
    assert set(found.first) >= {("losswatch", "+10%"), ("CUSUM, plug-in", "ramp of 25 % over 50")}


def test_the_peers_get_the_same_rows() -> None:
    rows, factors = stream("ar.5", 0, 103, 200)
    theirs = losses("ar.5", 0, 3, np.array([1.0, 1.0, 1.1]))
    assert len(theirs) == 103
    np.testing.assert_allclose(theirs[102], FAMILIES["ar.5"].losses(rows[102], factors[102] * 1.1))


def test_the_oracle_of_the_ramp_is_the_sooner_the_more_rows_there_are() -> None:
    delays = []
    for rows in (200, 1000):
        found = work(Task("rises", "chi2", rows, tuple(range(4)), 8, 60))
        known = [place for place in found.first["oracle of the ramp", RAMP] if place >= 0]
        delays.append(np.median(known))
    assert 5 < delays[1] < delays[0] < 35


def test_a_run_of_another_machine_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.options.quiet_environment", lambda environ, state: None)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    own = {"name": "false alarms, chi2", "value": 0.4, "unit": "in 1,000 windows", "asked": None, "met": None}
    first.write_text(json.dumps({"results": [own]}), "utf-8")
    assert main(["--own", str(first), "--no-peers", "--json", str(second)]) == 0
    assert json.loads(second.read_text("utf-8"))["results"] == [own]
