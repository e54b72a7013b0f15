"""What the pages say is so: links, commands and options, keys, fields and examples."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import losses, optimizers, schedules
from pipelines.cli import parser
from pipelines.config import FILE_NAME, SECTIONS, describe, known_keys
from pipelines.keys import page
from pipelines.replay_result import ReplayResult, ReplaySummary, ReplayWindow
from pipelines.section import read_section

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "mlflow" / "README.md"])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[str]:
    return [content for kind, content in _FENCE.findall(text_of(name)) if kind == language]


def commands_of(name: str) -> Iterator[str]:
    """The lines of shell blocks that call losswatch, without the comments behind them."""
    for block in blocks(name, "sh"):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line.strip() for line in lines if line.strip().startswith("losswatch "))


def mentions_of(name: str) -> Iterator[list[str]]:
    """The words of what stands in running text as a command of losswatch."""
    for words in map(str.split, _INLINE.findall(_FENCE.sub("", text_of(name)))):
        if words[0] == "losswatch" and len(words) > 1:
            yield words[1:]


def subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = parser()._actions
    return next(dict(one.choices) for one in actions if isinstance(one, argparse._SubParsersAction))


def anchors(path: Path) -> set[str]:
    """The names under which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- links ---


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_something(name: str) -> None:
    here = (ROOT / name).parent
    links = [link for link in _LINK.findall(text_of(name)) if "://" not in link]
    files = {link: (here / link.partition("#")[0]) if link[0] != "#" else ROOT / name for link in links}
    gone = [link for link, path in files.items() if not path.exists()]
    assert gone == []
    headless = [
        link for link, path in files.items() if "#" in link and link.partition("#")[2] not in anchors(path)
    ]
    assert headless == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        links = (link.partition("#")[0] for link in _LINK.findall(path.read_text("utf-8")))
        waiting += [path.parent / link for link in links if link and "://" not in link]
    assert sorted(path.name for path in set(PAGES) - reached if path.name != "benchmarks.md") == []


# --- commands ---


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_an_example_is_understood(name: str) -> None:
    for command in commands_of(name):
        words = shlex.split(command, comments=True)[1:]
        assert parser().parse_args(words).command in subparsers(), command


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_spoken_of_exists(name: str) -> None:
    known = subparsers()
    for words in mentions_of(name):
        options = {word for word in words if word.startswith("--")}
        if words[0].startswith("--"):
            assert options <= set(parser()._option_string_actions), words
        else:
            assert words[0] in known, words
            assert options <= set(known[words[0]]._option_string_actions), words


def test_the_readme_and_the_page_of_commands_tell_of_all() -> None:
    rows = re.findall(r"^\| `losswatch ([\w-]+)` \|", text_of("README.md"), re.MULTILINE)
    sections = re.findall(r"^### ([\w-]+)$", text_of("docs/commands.md"), re.MULTILINE)
    assert sorted(rows) == sorted(subparsers()) == sorted(sections)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_of_make_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    shell = "\n".join(blocks(name, "sh"))
    inline = "\n".join(_INLINE.findall(_FENCE.sub("", text_of(name))))
    assert set(re.findall(r"^make ([a-z-]+)", f"{shell}\n{inline}", re.MULTILINE)) <= targets


# --- keys ---


def test_the_page_of_the_keys_is_up_to_date() -> None:
    # python -m pipelines.keys > docs/project-file.md
    assert text_of("docs/project-file.md") == page(describe())


def faults_of(block: str) -> list[str]:
    """What is wrong in a part of a project file; a key that a whole one would need may be missing."""
    tables, faults = tomllib.loads(block), []
    for section, table in tables.items():
        unknown = set(table) - set(known_keys().get(section, ()))
        faults += [f"[{section}] {key}" for key in unknown]
        records = [record for name, record in SECTIONS.values() if name == section]
        found = [fault for record in records for fault in read_section(section, table, record)[1]]
        faults += [str(fault) for fault in found if fault.key.partition(".")[2] in table]
    return faults


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_project_file_is_right(name: str) -> None:
    assert [faults_of(block) for block in blocks(name, "toml")] == [[] for _ in blocks(name, "toml")]


@pytest.mark.parametrize("name", NAMES)
def test_every_key_that_is_spoken_of_exists(name: str) -> None:
    known = {f"{section}.{key}" for section, keys in known_keys().items() for key in keys}
    sections = "|".join(known_keys())
    spoken = re.findall(rf"`((?:{sections})\.[a-z_]+)`", text_of(name))
    files = {f"{section}.{kind}" for section in known_keys() for kind in ("html", "json", "svg")}
    assert set(spoken) - known - files == set()


# --- losses, optimisers, schedules ---


def rows_of(heading: str) -> dict[str, set[str]]:
    """The names in the first column of a table on the page of losses, each with those in the last."""
    _, _, part = text_of("docs/losses.md").partition(f"\n## {heading}\n")
    lines = re.findall(r"^\| (`.+?) \|.*\| ?(.*?) ?\|$", part.partition("\n## ")[0], re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", last)) for cell, last in lines for name in _INLINE.findall(cell)}


def test_the_page_of_losses_names_all_with_their_parameters() -> None:
    told = {name: set(loss.parameters) for name, loss in losses.CATALOGUE.items()}
    assert rows_of("The loss") == told
    assert set(rows_of("The optimiser")) == set(optimizers.OPTIMIZERS)
    scheduled = {kind: set(parameters) for kind, parameters in schedules.PARAMETERS.items()}
    assert rows_of("The learning rate") == scheduled


# --- the contract of the replay ---


def first_cells(part: str) -> set[str]:
    """The names in the first column of the tables in a part of a page."""
    cells = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    return {name for cell in cells for name in _INLINE.findall(cell)}


def fields(record: type) -> set[str]:
    return {field.name for field in dataclasses.fields(record)}


def test_the_page_of_the_replay_names_every_field_of_its_json() -> None:
    _, _, contract = text_of("docs/replay.md").partition("\n## The JSON\n")
    whole, _, rest = contract.partition("\n### One of `windows`\n")
    windows, _, rest = rest.partition("\n### `summary`\n")
    summary, _, _ = rest.partition("\n## ")
    assert first_cells(whole) == {"losswatch_replay", *fields(ReplayResult)} - {"json"}
    assert first_cells(windows) == fields(ReplayWindow)
    assert first_cells(summary) == fields(ReplaySummary)


# --- examples in Python ---


def write_project(folder: Path, name: str) -> list[str]:
    """The project that a page shows: its first part of a project file, and its modules by their first line."""
    (folder / FILE_NAME).write_text(blocks(name, "toml")[0], "utf-8")
    modules = []
    for block in blocks(name, "python"):
        head = re.match(r"# (\w+\.py)\n", block)
        assert head is not None, block
        (folder / head[1]).write_text(block, "utf-8")
        modules.append(head[1])
    return modules


def test_the_rows_of_the_example_are_read(tmp_path: Path) -> None:
    from pipelines.project import open_project
    from pipelines.sources import read

    assert write_project(tmp_path, "docs/your-own-network.md") == ["rides.py", "network.py"]
    table = read(open_project(tmp_path).config.data, tmp_path)
    assert (len(table.times), list(table.frame.columns)) == (4000, ["warmth", "hour", "rides"])


@pytest.mark.slow
def test_the_example_of_a_network_and_a_loss_passes_the_check(tmp_path: Path) -> None:
    write_project(tmp_path, "docs/your-own-network.md")
    command = [sys.executable, "-m", "pipelines.cli", "check", "--project", str(tmp_path), "--quiet"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "served by ONNX" in run.stdout
