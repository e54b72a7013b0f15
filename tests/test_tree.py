"""The tree keeps the promises of the design: who imports whom, and what a process loads that imports us."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("models", "monitoring", "pipelines")

# module: runs with the import; function: when it is called; types: only a type checker reads it
Level = Literal["module", "function", "types"]
RUNS: tuple[Level, ...] = ("module", "function")


@dataclass(frozen=True)
class Import:
    """file: from the root, e.g. "pipelines/log.py"; name: what it imports, e.g. "models.schema.Schema"."""

    file: str
    level: Level
    name: str

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


class _Imports(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self.file = file
        self.level: Level = "module"
        self.found: list[Import] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(self.file, self.level, alias.name) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.file}: a relative import"
        self.found += [Import(self.file, self.level, f"{node.module}.{alias.name}") for alias in node.names]

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
            return
        self._inside("types", node.body)
        self._inside(self.level, node.orelse)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._inside("function", node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def _inside(self, level: Level, body: list[ast.stmt]) -> None:
        before, self.level = self.level, level
        for statement in body:
            self.visit(statement)
        self.level = before


def _imports_of(file: str, source: str) -> list[Import]:
    visitor = _Imports(file)
    visitor.visit(ast.parse(source))
    return visitor.found


@cache
def _imports() -> tuple[Import, ...]:
    """Every import of our three packages."""
    files = (path for package in OURS for path in sorted((ROOT / package).rglob("*.py")))
    return tuple(
        found
        for path in files
        for found in _imports_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    )


def _importers(library: str, *levels: Level) -> set[str]:
    return {found.file for found in _imports() if found.top == library and found.level in levels}


def _strangers(package: str, others: Collection[str]) -> list[Import]:
    """Imports at any level by which a package reaches others, types included."""
    return [found for found in _imports() if found.file.startswith(f"{package}/") and found.top in others]


def _module(name: str) -> str | None:
    """The module of pipelines that an imported name lies in; None for any other package."""
    parts = name.split(".")
    return parts[1] if parts[0] == "pipelines" and len(parts) > 1 else None


def _inner(*levels: Level) -> Iterator[tuple[str, str]]:
    """Who imports whom inside pipelines, by module."""
    for found in _imports():
        module = _module(found.name)
        if found.file.startswith("pipelines/") and found.level in levels and module is not None:
            yield Path(found.file).stem, module


# --- the walk itself ---


def test_the_walk_tells_imports_of_modules_functions_and_types_apart() -> None:
    source = """
import a
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import b
else:
    from c import d
class Kept:
    import e
    def method(self):
        import f.g
        if TYPE_CHECKING:
            import h
try:
    import i
except ImportError:
    i = None
"""
    found = [(one.level, one.name) for one in _imports_of("x.py", source)]
    assert found == [
        ("module", "a"),
        ("module", "typing.TYPE_CHECKING"),
        ("types", "b"),
        ("module", "c.d"),
        ("module", "e"),
        ("function", "f.g"),
        ("types", "h"),
        ("module", "i"),
    ]


# --- packages ---


def test_models_is_a_leaf() -> None:
    assert _strangers("models", ("monitoring", "pipelines")) == []


def test_monitoring_is_a_leaf() -> None:
    assert _strangers("monitoring", ("models", "pipelines")) == []


def test_nothing_imports_the_tests_or_the_benchmarks() -> None:
    names = ("tests", "benchmarks", "examples")
    assert [found for package in OURS for found in _strangers(package, names)] == []


# --- libraries, each at the edge ---


@pytest.mark.parametrize(
    ("library", "files"),
    [
        ("prefect", {"pipelines/flows.py"}),
        ("deltalake", {"pipelines/delta.py"}),
        ("httptools", {"pipelines/http_server.py"}),
        ("uvloop", {"pipelines/serving.py"}),
        ("mlflow", {"pipelines/registry.py", "pipelines/pyfunc_model.py"}),
    ],
)
def test_a_library_is_used_in_its_one_place(library: str, files: set[str]) -> None:
    assert _importers(library, *RUNS) <= files


@pytest.mark.parametrize("library", ["keras", "tensorflow"])
def test_keras_is_known_to_models_alone(library: str) -> None:
    assert {file for file in _importers(library, *RUNS) if not file.startswith("models/")} == set()


def test_onnxruntime_is_loaded_in_one_place() -> None:
    assert _importers("onnxruntime", *RUNS) == {"models/onnx_runtime.py"}


def test_only_what_trains_imports_keras_with_its_module() -> None:
    names = ("fit", "steps", "callbacks", "diagnosis_callback", "keras_objects", "export")
    training = {f"models/{name}.py" for name in names}
    loading = _importers("keras", "module") | _importers("tensorflow", "module")
    families = {file for file in loading if file.startswith("models/families/")}
    assert loading - families <= training


@pytest.mark.parametrize(
    "library", ["evidently", "sklearn", "scipy", "onnx", "tf2onnx", "sqlalchemy", "rich"]
)
def test_a_heavy_library_is_imported_where_it_is_used(library: str) -> None:
    assert _importers(library, "module") == set()


def test_evidently_makes_reports_only() -> None:
    assert _importers("evidently", *RUNS) <= {"monitoring/report.py"}


def test_mlflow_is_imported_at_its_first_use() -> None:
    # a module of its own in a version, which MLflow itself loads
    assert _importers("mlflow", "module") == {"pipelines/pyfunc_model.py"}


def test_pandas_is_imported_where_it_is_used() -> None:
    assert _importers("pandas", "module") == {"pipelines/pyfunc_model.py"}


# --- inside pipelines ---

RUNNERS = {
    "cli",
    "doctor",
    "flows",
    "live_report",
    "replay",
    "replay_page",
    "reproduce",
    "schedule",
    "serving",
    "steps",
    "up",
}
# what each of them must not reach, at any level that runs
OUT_OF_REACH = {
    "steps": RUNNERS - {"steps"},
    "serving": RUNNERS - {"serving"},
    "live_report": RUNNERS - {"live_report", "replay_page"},
    "replay": {"cli", "up", "flows", "doctor", "serving", "live_report"},
    "reproduce": {"cli", "up", "flows", "doctor", "serving", "live_report"},
    "flows": {"cli", "up", "doctor", "serving"},
    "up": {"cli"},
    "doctor": {"cli"},
}


def test_the_parts_know_nothing_of_what_runs_them() -> None:
    assert {(one, other) for one, other in _inner(*RUNS) if other in RUNNERS and one not in RUNNERS} == set()


@pytest.mark.parametrize("runner", sorted(OUT_OF_REACH))
def test_what_runs_the_parts_reaches_downwards_only(runner: str) -> None:
    reached = {other for one, other in _inner(*RUNS) if one == runner}
    assert reached & OUT_OF_REACH[runner] == set()


def test_the_command_line_imports_nothing_of_ours_with_its_module() -> None:
    assert {other for one, other in _inner("module") if one == "cli"} == set()


def test_modules_import_each_other_in_no_circle() -> None:
    left: dict[str, set[str]] = {}
    for one, other in _inner("module"):
        left.setdefault(one, set()).add(other)
    while free := {one for one, others in left.items() if not others & set(left)}:
        for one in free:
            del left[one]
    assert left == {}


# --- files ---


def test_the_folder_mlflow_holds_settings_and_no_code() -> None:
    assert list((ROOT / "mlflow").rglob("*.py")) == []


def test_the_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


# --- a fresh process ---


def _loaded_by(code: str) -> set[str]:
    """Top-level packages that a fresh process at the root has loaded after the code, without those before it."""
    program = (
        f"import sys\nbefore = set(sys.modules)\n{code}\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(' '.join(sorted(loaded)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return set(run.stdout.splitlines()[-1].split())


HEAVY = {
    "keras",
    "tensorflow",
    "mlflow",
    "prefect",
    "evidently",
    "pandas",
    "sklearn",
    "onnxruntime",
    "pyarrow",
}


@pytest.mark.parametrize("package", OURS)
def test_a_package_loads_nothing_heavy(package: str) -> None:
    assert _loaded_by(f"import {package}") & (HEAVY | {"numpy"}) == set()


def test_the_monitor_loads_nothing_heavy() -> None:
    files = sorted((ROOT / "monitoring").glob("*.py"))
    names = ["monitoring" if file.stem == "__init__" else f"monitoring.{file.stem}" for file in files]
    assert _loaded_by(f"import {', '.join(names)}") & HEAVY == set()


def test_the_scoring_server_loads_neither_keras_nor_mlflow_nor_pandas() -> None:
    use = "from models.onnx_runtime import onnx_runtime\nonnx_runtime()"
    loaded = _loaded_by(f"import pipelines.serving, pipelines.scoring\n{use}")
    assert "onnxruntime" in loaded
    assert loaded & (HEAVY - {"onnxruntime"} | {"deltalake"}) == set()


def test_the_steps_load_what_they_need_when_they_need_it() -> None:
    assert _loaded_by("import pipelines.steps") & (HEAVY - {"onnxruntime", "pyarrow"}) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["replay", "--help"], ["init", "--help"]])
def test_help_loads_the_standard_library_only(arguments: list[str]) -> None:
    loaded = _loaded_by(f"from pipelines.cli import main\nassert main({arguments}) == 0")
    assert loaded - set(sys.stdlib_module_names) == {"pipelines"}


def test_help_loads_no_slow_part_of_the_standard_library() -> None:
    slow = {
        "typing",
        "asyncio",
        "logging",
        "dataclasses",
        "inspect",
        "pathlib",
        "json",
        "datetime",
        "importlib",
    }
    assert _loaded_by("from pipelines.cli import main\nassert main(['--help']) == 0") & slow == set()


def test_mlflow_is_the_library_also_from_here() -> None:
    code = "import importlib.util, sys; print(importlib.util.find_spec('mlflow').origin)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    origin = Path(run.stdout.strip())
    assert origin.name == "__init__.py"
    assert origin.parent != ROOT / "mlflow"
