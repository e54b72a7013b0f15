import importlib.util
import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.history import EpochLoss
from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength, cut
from pipelines import live_report
from pipelines.live_report import live_windows, report
from pipelines.log import Log
from pipelines.project import Project, open_project
from pipelines.reference import make_reference, write_reference
from pipelines.service import RETRAINING, VERDICT, begin_service
from pipelines.steps import JudgedWindow, promote_first
from pipelines.stores import Stores

START = datetime(2013, 1, 28, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = WindowLength(1, "day")
LOSS = LossReference(
    rows=100, loss=0.5, ceiling=3.0, logarithmic=True, level=-0.69, error=0.05, spread=0.05, freedom=4.0
)
ROWS = 80  # a day


def beside(name: str) -> Any:
    """A module of this folder; `tests` is no package."""
    spec = importlib.util.spec_from_file_location(f"report_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Project:
    text = '[project]\nname = "rides"\n[data]\npath = "rides.csv"\ntarget = "binary"\nlabel_delay = "6 h"\n'
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    return open_project(tmp_path)


@pytest.fixture
def stores(project: Project, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A project with one trained version in a registry in memory, and an empty log."""
    versions, fakes = beside("versions"), beside("fakes")
    project.state.mkdir()
    (project.state / "mlflow.db").touch()
    bundle = versions.write_version(project.state / "made")
    frame = {name: np.array(values, dtype=object) for name, values in versions.frame(400).items()}
    columns = {name: frame[name] for name in ("hour", "carrier", "wind", "holiday")}
    times = np.datetime64("2013-01-01") + np.arange(400) * np.timedelta64(1, "h")
    reference = make_reference(columns, times, cut(times, datetime(2013, 1, 1), WINDOW), loss=LOSS)
    (bundle / "reference.json").write_text(json.dumps(write_reference(reference)), "utf-8")
    registry = fakes.FakeRegistry(project.state / "registry", "rides")
    opened = Stores(project, registry, Log(Path(project.log())))
    _trained(opened, bundle)
    monkeypatch.setattr(live_report, "open_stores", lambda project: opened)
    return opened


def _trained(stores: Stores, bundle: Path) -> None:
    with stores.registry.run(f"fit {bundle.name}", kind="fit", parameters={}, tags={}) as run:
        for epoch in range(3):
            run.epoch(EpochLoss(epoch, 0.7 - 0.05 * epoch, 0.69 - 0.04 * epoch, 1e-3, 1.0))
        run.register(bundle, signature_frame=None, tags={}, trained_until=START)  # type: ignore[arg-type]


def serve(stores: Stores) -> None:
    promote_first(stores, 1, now=START, anchor=START, window=WINDOW, author="ann")


def score(stores: Stores, day: int, *, version: int = 1) -> None:
    frame = beside("versions").frame(ROWS, seed=day)
    columns = {name: frame[name] for name in ("hour", "carrier", "wind", "holiday")}
    times = [START + day * DAY + row * DAY / ROWS for row in range(ROWS)]
    ids = [f"{day}-{row}" for row in range(ROWS)]
    stores.log.append_predictions(
        ids, times, columns, np.full(ROWS, 0.5), version=version, known_at=times[-1]
    )


def judge(stores: Stores, day: int, loss: float, verdict: str = "quiet", action: str = "keep") -> datetime:
    start, now = START + day * DAY, START + (day + 1) * DAY + timedelta(hours=6)
    window = JudgedWindow(
        number=day,
        start=start.isoformat(),
        end=(start + DAY).isoformat(),
        rows=ROWS,
        labelled=ROWS,
        loss=loss,
        version=1,
        verdict=verdict,
        action=action,
        reasons=(f"the loss is {loss}",),
    )
    stores.log.append_event(VERDICT, asdict(window), known_at=now, author="losswatch", key=f"verdict {day}")
    return now


def retrain(stores: Stores, day: int, now: datetime, *, promoted: bool) -> None:
    payload = {"window": day, "challenger": 2, "promoted": promoted, "reasons": ["0.4 instead of 0.9"]}
    stores.log.append_event(RETRAINING, payload, known_at=now, author="losswatch")
    begin_service(
        stores,
        2 if promoted else 1,
        now=now,
        anchor=START,
        window=WINDOW,
        reference=LOSS,
        author="losswatch",
        reason="by the gate",
    )


# --- nothing to show ---


def test_without_a_version_nothing_is_written_and_said_so(project: Project) -> None:
    result = report(project)
    assert result.failed
    assert result.lines()[0] == "rides: no version was trained, so there is nothing to report"
    assert not project.state.exists()


def test_without_a_live_service_the_page_of_the_replay_is_named(project: Project) -> None:
    page = project.state / "replay" / "replay.html"
    page.parent.mkdir(parents=True)
    page.write_text("replayed")
    assert f"page of the replay: {page}" in report(project).lines()


def test_before_the_first_verdict_the_page_shows_the_training(stores: Stores) -> None:
    result = report(stores.project)
    assert result.lines()[0] == ("rides: no window was judged yet; the page shows the training of 1 version")
    page = Path(str(result.page)).read_text()
    assert "no window in service was judged yet" in page
    assert '"epoch":[0,1,2]' in page


# --- the page ---


def test_the_page_holds_the_windows_the_epochs_and_the_loss(stores: Stores) -> None:
    serve(stores)
    for day, loss in enumerate((0.5, 0.7)):
        judge(stores, day, loss)
    result = report(stores.project)
    assert (result.windows, result.versions, result.failed) == (2, 1, False)
    assert (result.page, result.inputs) == (str(stores.project.state / "report.html"), None)
    page = Path(str(result.page)).read_text()
    assert "binary_crossentropy" in page
    assert "160 rows in 2 windows from 2013-01-28 to 2013-01-30; version 1 in the newest" in page
    assert "0.600" in page  # the mean
    assert "never retrained" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.mark.slow
def test_the_page_goes_where_it_is_asked_with_the_inputs_beside_it(stores: Stores, tmp_path: Path) -> None:
    serve(stores)
    score(stores, 0)
    judge(stores, 0, 0.5)
    result = report(stores.project, tmp_path / "page.html")
    beside_it = tmp_path / "window-2013-01-28.html"
    assert (result.page, result.inputs) == (str(tmp_path / "page.html"), str(beside_it))
    assert 'href="window-2013-01-28.html"' in (tmp_path / "page.html").read_text()
    inputs = beside_it.read_text()
    assert "rides: inputs from 2013-01-28 00:00 to 2013-01-29 00:00 UTC" in inputs
    assert "<p>80 rows.</p>" in inputs


@pytest.mark.slow
def test_the_inputs_are_of_the_rows_that_the_verdict_is_about(stores: Stores, tmp_path: Path) -> None:
    serve(stores)
    for day in range(2):
        score(stores, day)
    now = judge(stores, 0, 0.9, "harmful shift", "update")
    retrain(stores, 0, now, promoted=False)  # at 06:00 of the second day
    judge(stores, 1, 0.9)
    report(stores.project, tmp_path / "page.html")
    assert "<p>60 rows.</p>" in (tmp_path / "window-2013-01-29.html").read_text()


def test_a_version_whose_files_are_gone_costs_the_inputs_only(stores: Stores) -> None:
    serve(stores)
    score(stores, 0)
    judge(stores, 0, 0.5)
    stores.memo.clear()
    (stores.project.state / "registry" / "versions" / "1" / "schema.json").write_text("{}")
    result = report(stores.project)
    assert result.inputs is None
    assert not result.failed


# --- windows out of events ---


def test_a_promotion_and_a_refusal_are_told_at_their_windows(stores: Stores) -> None:
    serve(stores)
    for day, promoted in enumerate((False, True)):
        now = judge(stores, day, 0.9, "concept change", "update")
        retrain(stores, day, now, promoted=promoted)
    refused, let_in = live_windows(stores.log.events())
    assert (refused.refused, refused.promoted) == (True, None)
    assert (let_in.refused, let_in.promoted) == (False, 2)
    assert let_in.reasons == ("the loss is 0.9", "gate: 0.4 instead of 0.9")


def test_what_a_person_let_in_is_told_in_its_window(stores: Stores) -> None:
    serve(stores)
    judge(stores, 0, 0.5)
    (window,) = live_windows(stores.log.events())
    assert window.reasons[-1] == (
        "version 1 serves from 2013-01-28 00:00 on, let in by ann: the first version"
    )


def test_a_window_without_labels_has_no_loss(stores: Stores) -> None:
    serve(stores)
    judge(stores, 0, float("nan"), "not enough evidence")
    judge(stores, 1, 0.4)
    first, second = live_windows(stores.log.events())
    assert (first.loss, second.loss) == (None, 0.4)


def test_the_months_and_the_whole_are_counted(stores: Stores) -> None:
    serve(stores)
    for day in range(5):  # the fifth is in February
        now = judge(stores, day, 0.2 * (day + 1), "harmful shift" if day == 3 else "quiet")
    retrain(stores, 3, now, promoted=False)
    windows = live_windows(stores.log.events())
    assert live_report._summary(windows) == {
        "loss": pytest.approx(0.6),
        "retrainings": 1,
        "promotions": 0,
        "refusals": 1,
        "alarms": 1,
    }
    january, february = live_report._months(windows)
    assert (january["month"], january["rows"], january["alarms"]) == ("2013-01", 4 * ROWS, 1)
    assert february["loss"] == pytest.approx(1.0)
