import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
import versions

from models.history import EpochLoss
from monitoring.loss_alarm import LossReference
from monitoring.window import WindowLength, cut
from pipelines import live_report
from pipelines.config import ReportConfig
from pipelines.errors import UserError
from pipelines.live_report import inputs_name, report
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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    text = '[project]\nname = "rides"\n[data]\npath = "rides.csv"\ntarget = "binary"\nlabel_delay = "6 h"\n'
    (tmp_path / "losswatch.toml").write_text(text, "utf-8")
    return open_project(tmp_path)


@pytest.fixture
def stores(project: Project, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A project with one trained version in a registry in memory, and an empty log."""
    project.state.mkdir()
    (project.state / "mlflow.db").touch()
    bundle = versions.write_version(project.state / "made")
    frame = {name: np.array(values, dtype=object) for name, values in versions.frame(400).items()}
    columns = {name: frame[name] for name in ("hour", "carrier", "wind", "holiday")}
    times = np.datetime64("2013-01-01") + np.arange(400) * np.timedelta64(1, "h")
    reference = make_reference(columns, times, cut(times, datetime(2013, 1, 1), WINDOW), loss=LOSS)
    (bundle / "reference.json").write_text(json.dumps(write_reference(reference)), "utf-8")
    registry = fakes.FakeRegistry(project.state / "registry", "rides")
    opened = Stores(project, registry, Log(project.log_folder()))
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
    frame = versions.frame(ROWS, seed=day)
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


def test_a_project_with_nothing_yet_gets_a_page_that_says_what_to_do(project: Project) -> None:
    result = report(project)
    assert result.lines() == [
        "rides: No version has been trained yet.",
        "next: losswatch train",
        f"page: {project.state / 'report.html'}",
    ]
    page = Path(result.page).read_text("utf-8")
    assert "No version has been trained yet." in page
    assert "<code>losswatch train</code>" in page
    assert [path.name for path in project.state.iterdir()] == ["report.html"]


def test_without_a_live_service_the_page_of_the_replay_is_named(project: Project) -> None:
    page = project.state / "replay" / "replay.html"
    page.parent.mkdir(parents=True)
    page.write_text("replayed")
    assert f"page of the replay: {page}" in report(project).lines()


def test_a_replay_that_did_not_take_place_is_said(project: Project) -> None:
    with pytest.raises(UserError, match="rides has not been replayed"):
        report(project, replayed=True)


def test_a_trained_version_has_its_curve_on_the_page(stores: Stores) -> None:
    result = report(stores.project)
    assert result.standing.headline == "1 version is trained; none serves."
    assert '"epoch":[0,1,2]' in Path(result.page).read_text()


# --- the page ---


def lived_through(stores: Stores, days: int, **verdicts: Any) -> None:
    serve(stores)
    for day in range(days):
        score(stores, day)
        judge(stores, day, 0.5 + day / 100)


@pytest.fixture
def plain(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A project of which no report of Evidently is wanted."""
    config = replace(stores.project.config, report=ReportConfig(evidently="never"))
    opened = replace(stores, project=replace(stores.project, config=config))
    monkeypatch.setattr(live_report, "open_stores", lambda project: opened)
    return opened


def test_the_page_holds_the_windows_the_epochs_and_the_columns(plain: Stores) -> None:
    lived_through(plain, 3)
    result = report(plain.project)
    assert (len(result.windows), result.versions, result.inputs, result.warnings) == (3, 1, (), ())
    page = Path(result.page).read_text()
    assert "binary_crossentropy" in page
    assert '"loss":[0.5,0.51,0.52]' in page
    assert '"names":["' in page
    assert '"wind"' in page
    assert (plain.registry.folder / "report" / "report.html").is_file()  # type: ignore[attr-defined]


def test_the_same_log_gives_the_same_page(plain: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    lived_through(plain, 3)
    monkeypatch.setattr(Project, "now", lambda self: START + 5 * DAY)
    pages = [Path(report(plain.project).page).read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]


def test_the_columns_are_of_the_rows_that_the_verdict_is_about(plain: Stores) -> None:
    serve(plain)
    for day in range(2):
        score(plain, day)
    now = judge(plain, 0, 0.9, "harmful shift", "update")
    retrain(plain, 0, now, promoted=False)  # at 06:00 of the second day
    judge(plain, 1, 0.9)
    made = live_report._Report(plain, plain.project.state / "report.html", False, lambda text: None)
    counts, references = made._counted()
    assert {number: one.rows for number, one in counts.items()} == {0: 80, 1: 60}
    assert list(references) == [1]


def test_a_version_whose_files_are_gone_costs_the_columns_only(plain: Stores) -> None:
    lived_through(plain, 1)
    plain.memo.clear()
    (plain.project.state / "registry" / "versions" / "1" / "schema.json").write_text("{}")
    result = report(plain.project)
    page = Path(result.page).read_text()
    assert '"columns":null' in page
    assert '"loss":[0.5]' in page


def test_a_tracking_store_that_takes_nothing_is_a_warning(
    plain: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(files: Any) -> None:
        raise OSError("no space left")

    lived_through(plain, 1)
    monkeypatch.setattr(plain.registry, "keep_report", full)
    result = report(plain.project)
    assert result.warnings == ("the page is written, and not kept in the tracking store: no space left",)
    assert Path(result.page).is_file()


def test_a_window_that_was_not_judged_is_a_mistake(plain: Stores) -> None:
    lived_through(plain, 2)
    with pytest.raises(UserError, match="--window 9: no window of this number was judged; there are: 0 to 1"):
        report(plain.project, windows=[9])


# --- Evidently ---


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the windows of which Evidently would have drawn a report."""
    numbers: list[int] = []

    def draw(name: str, window: Any, current: Any, reference: Any, folder: Path, say: Any) -> Path:
        numbers.append(window.number)
        path = folder / inputs_name(window.start)
        path.write_text("drawn")
        return path

    monkeypatch.setattr(live_report, "write_inputs", draw)
    return numbers


def test_the_newest_window_has_its_report_drawn_once(
    stores: Stores, drawn: list[int], tmp_path: Path
) -> None:
    lived_through(stores, 2)
    first = report(stores.project, tmp_path / "page.html")
    again = report(stores.project, tmp_path / "page.html")
    assert drawn == [1]
    assert (first.inputs, again.inputs) == ((str(tmp_path / "window-2013-01-29.html"),), ())
    assert '"pages":{"1":"window-2013-01-29.html"}' in (tmp_path / "page.html").read_text()


def test_the_windows_that_are_asked_for_are_drawn(stores: Stores, drawn: list[int]) -> None:
    lived_through(stores, 3)
    report(stores.project, windows=[0, 2, 0])
    assert drawn == [0, 2]


@pytest.mark.parametrize(
    ("wish", "expected"), [("never", []), ("newest", [2]), ("marked", [1, 2]), ("judged", [0, 1, 2])]
)
def test_the_monitor_draws_what_the_project_wants(
    stores: Stores, drawn: list[int], monkeypatch: pytest.MonkeyPatch, wish: Any, expected: list[int]
) -> None:
    serve(stores)
    for day, verdict in enumerate(("quiet", "benign shift", "quiet")):
        score(stores, day)
        judge(stores, day, 0.5, verdict)
    config = replace(stores.project.config, report=ReportConfig(evidently=wish))
    opened = replace(stores, project=replace(stores.project, config=config))
    monkeypatch.setattr(live_report, "open_stores", lambda project: opened)
    live_report.after_monitor(opened.project, [0, 1, 2])
    assert sorted(drawn) == expected


@pytest.mark.slow
def test_evidently_shows_the_rows_of_the_window(stores: Stores, tmp_path: Path) -> None:
    lived_through(stores, 1)
    result = report(stores.project, tmp_path / "page.html")
    inputs = Path(result.inputs[0]).read_text()
    assert "rides: inputs from 2013-01-28 00:00 to 2013-01-29 00:00 UTC" in inputs
    assert "<p>80 rows.</p>" in inputs
