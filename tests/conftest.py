"""What tests share. Helpers are modules of this folder, which pytest has on its path (pyproject.toml)."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from pipelines.environment import NOISY, OWN_LOGGERS, LogFile
from pipelines.progress import BehindProgress

# a machine that is busy is no fault
hypothesis.settings.register_profile("losswatch", deadline=None)
hypothesis.settings.load_profile("losswatch")

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """A command sets the environment and the logging of its process; here the process lives on.

    Before the test too: a fixture of a whole module may have run a command.
    """
    _logging_as_at_the_start()
    environ = dict(os.environ)
    yield
    _restore(environ)
    _logging_as_at_the_start()


def _restore(environ: Mapping[str, str]) -> None:
    """Sets and takes away what differs, and no more.

    Threads of libraries read the environment as the C library has it, which nothing guards: where all of it was emptied
    and filled again after each test, one of them met what had been freed, now and then, and the process died.
    """
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _logging_as_at_the_start() -> None:
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    ours = [handler for handler in root.handlers if isinstance(handler, LogFile | BehindProgress)]
    for handler in ours:
        root.removeHandler(handler)
        handler.close()
    for name in ("py.warnings", NOISY, *OWN_LOGGERS):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.handlers, logger.propagate = [], True


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, which asks nobody for anything: playwright's Browser."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "Debian's chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def linear_networks() -> Iterator[ModuleType]:
    """Straight lines in the place of Keras's networks, for what is about something else."""
    import linear_networks as module

    with pytest.MonkeyPatch.context() as patch:
        module.install(patch)
        yield module


@pytest.fixture(scope="module")
def make_stores(
    tmp_path_factory: pytest.TempPathFactory, linear_networks: ModuleType
) -> Iterator[Callable[..., Any]]:
    """Gives the stores of a new project over a frame: a real log, a registry in memory, straight lines.

    Whoever opens stores meanwhile, a replay for instance, gets such stores too.
    """
    import fakes
    import projects

    def make(frame: Any, more: str = "", *, target: str = "y") -> Any:
        folder = tmp_path_factory.mktemp("project")
        return projects.stores(projects.write_project(folder, frame, more, target=target))

    with pytest.MonkeyPatch.context() as patch:
        projects.install(patch, fakes)
        yield make
