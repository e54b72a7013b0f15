"""Made years of labels are ordinary where they should be, and a false alarm in them would be counted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.late_labels import AT_RANDOM, false_alarms, false_of_late, ordinary_years, until_found


def test_every_kind_of_year_has_its_labels() -> None:
    kinds = {kind: (scored, labelled) for kind, scored, labelled in ordinary_years(np.random.default_rng(0))}
    assert AT_RANDOM in kinds
    assert len(kinds) == 10
    for scored, labelled in kinds.values():
        assert np.nanmin(labelled - scored) >= 0
        assert 0.8 < np.isfinite(labelled[scored < 300]).mean() < 0.95


def test_a_year_with_an_outage_has_one_alarm() -> None:
    scored = np.arange(0.0, 365.0, 0.02)
    labelled = scored + 1.0
    assert false_alarms(scored, labelled) == 0
    labelled[(labelled > 200) & (labelled < 210)] = np.nan
    assert false_alarms(scored, labelled) == 1


def test_an_outage_is_found_within_days() -> None:
    scored = np.arange(0.0, 365.0, 0.02)
    assert until_found(scored, np.ceil(scored)) == pytest.approx(1.7, abs=0.1)


@pytest.mark.slow
def test_late_labels_that_lose_less_give_false_alarms_unless_they_are_corrected() -> None:
    assert false_of_late(-0.3, 0.5, 6, mended=False) > 20
    assert false_of_late(-0.3, 0.5, 6, mended=True) < 5
