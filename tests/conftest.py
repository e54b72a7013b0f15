"""Helpers that lie beside the tests. They are loaded by file, for the tests are no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _beside(name: str) -> ModuleType:
    """A module of this folder under a name that no other distribution has."""
    known = f"losswatch_tests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


@pytest.fixture(scope="session")
def beside() -> Callable[[str], ModuleType]:
    """Gives any module that lies beside the tests, by its name."""
    return _beside


@pytest.fixture(scope="session")
def streams() -> ModuleType:
    """Made rows that arrive day by day: tests/streams.py."""
    return _beside("streams")


@pytest.fixture(scope="session")
def commands() -> ModuleType:
    """The command line in child processes: tests/commands.py."""
    return _beside("commands")


@pytest.fixture(scope="module")
def linear_networks() -> Iterator[ModuleType]:
    """Straight lines in the place of Keras's networks, for what is about something else."""
    module = _beside("linear_networks")
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
    projects = _beside("projects")

    def make(frame: Any, more: str = "", *, target: str = "y") -> Any:
        folder = tmp_path_factory.mktemp("project")
        return projects.stores(projects.write_project(folder, frame, more, target=target))

    with pytest.MonkeyPatch.context() as patch:
        projects.install(patch, _beside("fakes"))
        yield make
