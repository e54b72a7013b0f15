import io
import logging
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import check_tables
from pipelines.environment import PYTHON, plan_devices, quiet_environment, set_up_logging
from pipelines.progress import Progress


def test_libraries_are_kept_quiet_and_a_users_own_setting_stays(tmp_path: Path) -> None:
    environ = {"DO_NOT_TRACK": "1"}
    quiet_environment(environ, tmp_path)
    assert environ["DO_NOT_TRACK"] == "1"
    assert environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert environ["PREFECT_HOME"] == str(tmp_path / "prefect")


@pytest.mark.parametrize("package", ["models", "pipelines"])
def test_a_folder_of_the_users_own_is_not_taken_for_ours(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise SystemExit('the folder of the user')\n", "utf-8")
    command = [*PYTHON, "-c", f"import {package}; print({package}.__file__)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_outside_of_a_project_prefect_keeps_its_home() -> None:
    environ: dict[str, str] = {}
    quiet_environment(environ, None)
    assert "PREFECT_HOME" not in environ


@pytest.mark.parametrize(
    ("network", "threads"),
    [
        ({}, "1"),
        ({"hidden": []}, "1"),
        ({"hidden": [64, 257]}, None),
        ({"build": "own:build"}, None),
    ],
)
def test_a_small_network_learns_on_one_thread(network: dict[str, Any], threads: str | None) -> None:
    tables = {"data": {"target": "late", "path": "rides.csv"}, "network": network}
    environ: dict[str, str] = {}
    plan_devices(environ, check_tables(tables, Path("rides/losswatch.toml")))
    assert environ.get("TF_NUM_INTRAOP_THREADS") == environ.get("TF_NUM_INTEROP_THREADS") == threads


@pytest.mark.parametrize(("device", "visible"), [("cpu", "-1"), ("gpu", None)])
def test_a_gpu_is_hidden_where_nobody_asked_for_it(device: str, visible: str | None) -> None:
    tables = {"data": {"target": "late", "path": "rides.csv"}, "network": {"device": device}}
    environ: dict[str, str] = {}
    plan_devices(environ, check_tables(tables, Path("rides/losswatch.toml")))
    assert environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_threads_that_a_user_has_set_stay() -> None:
    environ = {"TF_NUM_INTRAOP_THREADS": "4"}
    tables = {"data": {"target": "late", "path": "rides.csv"}}
    plan_devices(environ, check_tables(tables, Path("rides/losswatch.toml")))
    assert environ["TF_NUM_INTRAOP_THREADS"] == "4"


def test_the_log_file_comes_with_its_first_line(tmp_path: Path) -> None:
    log_file = tmp_path / "state" / "losswatch.log"
    set_up_logging(io.StringIO(), log_file, progress=None, spoken=False)
    assert not log_file.parent.exists()
    logging.getLogger("pipelines.steps").info("judged %d windows", 3)
    assert log_file.read_text().endswith("INFO pipelines.steps: judged 3 windows\n")


def test_a_log_file_that_cannot_be_written_is_no_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    set_up_logging(io.StringIO(), tmp_path / "state" / "losswatch.log", progress=None, spoken=False)
    logging.getLogger("pipelines.steps").info("judged %d windows", 3)
    assert capsys.readouterr().err == ""


def test_warnings_are_shown_and_our_own_lines_are_progress() -> None:
    stderr, shown = io.StringIO(), io.StringIO()
    moments = iter([0.0, 3.0])
    set_up_logging(stderr, None, progress=Progress(shown, clock=lambda: next(moments)), spoken=False)
    logging.getLogger("pipelines.steps").info("reading")
    logging.getLogger("pipelines.steps").warning("harmful window")
    logging.getLogger("a.library").info("chatter")
    assert stderr.getvalue() == "losswatch: harmful window\n"
    assert shown.getvalue() == "3 s: reading\n"


def test_a_command_that_runs_until_stopped_says_what_happens() -> None:
    stderr = io.StringIO()
    set_up_logging(stderr, None, progress=None, spoken=True)
    logging.getLogger("pipelines.up").info("the server answers")
    assert stderr.getvalue() == "losswatch: the server answers\n"


def test_pythons_warnings_go_to_the_file_alone(tmp_path: Path) -> None:
    stderr = io.StringIO()
    set_up_logging(stderr, tmp_path / "losswatch.log", progress=None, spoken=False)
    warnings.showwarning("old form", DeprecationWarning, "library.py", 3)
    assert "old form" in (tmp_path / "losswatch.log").read_text()
    assert stderr.getvalue() == ""


def test_what_a_library_says_of_itself_is_not_told(tmp_path: Path) -> None:
    stderr = io.StringIO()
    set_up_logging(stderr, tmp_path / "losswatch.log", progress=None, spoken=False)
    logging.getLogger("tensorflow").warning("5 out of the last 13 calls triggered retracing")
    logging.getLogger("tensorflow").error("a fault")
    assert stderr.getvalue() == "losswatch: a fault\n"
