"""Where a project stands: the sentence, the next step, the findings, the line of the loss."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lives
import pytest

from pipelines.report_windows import Life, Stretch, Turn
from pipelines.standing import Circumstances, markdown, span, spark_of, sparkline, standing


def said(lived: Life, **more: Any) -> tuple[str, str | None]:
    found = standing(Circumstances(lived, **{"versions": 2, **more}))
    return found.headline, found.command


def test_a_project_without_anything_is_told_to_train() -> None:
    nothing = Life((), (), ())
    assert said(nothing, versions=0) == ("No version has been trained yet.", "losswatch train")


def test_a_trained_version_is_to_be_let_in() -> None:
    assert said(Life((), (), ()), versions=1) == (
        "1 version is trained; none serves.",
        "losswatch promote --first",
    )


def test_before_the_first_window_there_is_nothing_to_do() -> None:
    headline, command = said(lives.life())
    assert headline == "Version 1 serves since 4 Mar 2013; no window has been judged yet."
    assert command is None
    assert said(lives.life(), overdue=3)[1] == "losswatch monitor"


def test_quiet_windows_are_counted_from_the_newest() -> None:
    windows = (lives.window(0, "benign shift"), lives.window(1), lives.window(2, loss=0.55))
    assert said(lives.life(*windows)) == (
        "All is quiet for 2 windows: loss 0.550, reference 0.500 (+10 %).",
        None,
    )


def test_harm_that_waits_for_its_retraining_names_the_command() -> None:
    harmful = lives.window(0, "harmful shift", loss=0.6, action="update", reasons=("loss 0.5 → 0.6",))
    headline, command = said(lives.life(harmful))
    assert headline == (
        "The loss has risen (4 Mar 2013): loss 0.600, reference 0.500 (+20 %). "
        "A retraining (update) is asked for and has not happened."
    )
    assert command == "losswatch retrain"


def test_a_new_version_that_was_let_in_ends_the_harm() -> None:
    window = lives.window(0, "concept change", loss=0.6, action="refit", challenger=2, promoted=True)
    headline, command = said(lives.life(window))
    assert headline.endswith("Version 2 was let in and serves since.")
    assert headline.startswith("The world that it learned has changed")
    assert command is None


def test_a_refusal_leads_to_an_evaluation() -> None:
    window = lives.window(0, "harmful shift", loss=0.6, action="update", challenger=2)
    headline, command = said(lives.life(window))
    assert "Version 2 was not better: version 1 stays." in headline
    assert command == "losswatch evaluate"


def test_a_service_that_began_since_has_dealt_with_the_harm() -> None:
    window = lives.window(0, "harmful shift", loss=0.6, action="update")
    later = Stretch(2, window.known_at + timedelta(hours=1), None, 0.5)
    lived = lives.life(window, services=(*lives.life().services, later))
    assert said(lived) == ("The loss has risen (4 Mar 2013): loss 0.600, reference 0.500 (+20 %).", None)


def test_faulty_data_are_to_be_mended() -> None:
    window = lives.window(0, "data fault", reasons=("wind: constant: 3 in all rows",))
    headline, command = said(lives.life(window))
    assert headline == "The data of the newest window (4 Mar 2013) are faulty: wind: constant: 3 in all rows."
    assert command is None


@pytest.mark.parametrize(
    ("verdict", "more", "begin", "command"),
    [
        ("quiet", {"silence": "no label for 9 days"}, "Labels have stopped: no label for 9 days.", "losswatch labels"),
        ("quiet", {"overdue": 5}, "The monitor has not run: 5 windows since 5 Mar 2013", "losswatch monitor"),
        ("not enough evidence", {}, "The newest window (4 Mar 2013) has 500 labels for 500 rows", "losswatch labels"),
        ("benign shift", {}, "The inputs of the newest window moved (wind); no harm is shown: loss 0.500", None),
    ],
)  # fmt: skip
def test_silence_and_shifts_are_findings_too(
    verdict: str, more: dict[str, Any], begin: str, command: str | None
) -> None:
    window = lives.window(0, verdict, evidence=lives.moved("wind"))
    headline, told = said(lives.life(window), **more)
    assert headline.startswith(begin)
    assert told == command


def test_the_findings_hold_what_the_sentence_does_not() -> None:
    window = lives.window(
        3, "harmful shift", loss=0.6, reasons=("loss 0.5 → 0.6",), evidence=lives.explained()
    )
    turns = (*lives.life().turns, Turn(window.start, "rolled back", 1, "ann", "by hand"))
    lived = lives.life(lives.window(0, "concept change"), window, turns=turns)
    found = standing(Circumstances(lived, versions=2, silence="no label for 9 days", overdue=2))
    assert [finding.text for finding in found.findings] == [
        "loss 0.5 → 0.6",
        "slices that lose more: carrier = DL",
        "columns that moved: wind",
        "estimated without labels: loss 0.580 (0.520 to 0.640)",
        "last change: rolled back to version 1 by ann on 7 Mar 2013",
        "labels have stopped: no label for 9 days",
        "2 windows are due and not judged: losswatch monitor",
    ]


def test_an_estimate_that_is_not_trusted_is_not_told() -> None:
    estimate = {"estimate": {"loss": 0.58, "low": 0.5, "high": 0.6, "trusted": False}}
    found = standing(Circumstances(lives.life(lives.window(0, evidence=estimate)), versions=1))
    assert not [finding for finding in found.findings if "estimated" in finding.text]


def test_the_alarms_of_the_past_are_counted() -> None:
    lived = lives.life(lives.window(0, "harmful shift"), lives.window(1))
    found = standing(Circumstances(lived, versions=1))
    assert [finding.text for finding in found.findings] == [
        "1 alarm in 2 windows, the last one a harmful shift (4 Mar 2013)"
    ]


def test_a_loss_without_change_is_a_flat_line() -> None:
    assert sparkline([0.5, 0.5, float("nan"), None]) == "▁▁  "
    assert sparkline([None]) == ""


def test_the_line_says_what_its_ends_are() -> None:
    windows = [lives.window(k, loss=0.5 + 0.1 * k) for k in range(3)]
    assert spark_of(windows) == "loss ▁▅█  0.500 to 0.700 in 3 windows"
    assert spark_of([lives.window(0, loss=None)]) is None


def test_a_window_is_named_by_its_days_or_its_hours() -> None:
    day = lives.window(0)
    week = lives.window(0, end=day.start + timedelta(days=7))
    hour = lives.window(0, end=day.start + timedelta(hours=1))
    assert (span(day), span(week), span(hour)) == (
        "4 Mar 2013", "4 Mar to 10 Mar 2013", "4 Mar 2013, 00:00 to 01:00",
    )  # fmt: skip


def test_the_short_form_is_markdown_in_which_names_stay_names() -> None:
    lived = lives.life(lives.window(0, "benign shift", evidence=lives.moved("wind_<speed>")))
    text = markdown("a_b", standing(Circumstances(lived, versions=1)), lived.windows, "/x/report.html")
    assert text.startswith("# a\\_b\n\n**The inputs of the newest window moved (wind\\_&lt;speed&gt;)")
    assert "| 4 Mar 2013 | 500 | 0.500 | v1 | benign shift | keep |" in text
    assert text.endswith("The page: `/x/report.html`\n")


def test_a_fault_is_told_before_what_follows_from_it() -> None:
    faults = {"faults": [{"column": "wind", "text": "wind: constant: 3 in all rows"}]}
    window = lives.window(0, "data fault", reasons=("a retraining would make it worse",), evidence=faults)
    headline, _ = said(lives.life(window))
    assert headline.endswith("are faulty: wind: constant: 3 in all rows.")


def test_a_quiet_window_says_what_it_could_have_shown() -> None:
    power = {"power": {"text": "would have been found within 5 windows: a rise of the loss from +12% on"}}
    told = [
        [finding.text for finding in standing(Circumstances(lives.life(window), versions=1)).findings]
        for window in (lives.window(0, evidence=power), lives.window(0, "harmful shift", evidence=power))
    ]
    assert power["power"]["text"] in told[0]
    assert power["power"]["text"] not in told[1]
