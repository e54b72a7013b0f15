"""The page of every key of the project file: `python -m pipelines.keys > docs/project-file.md` writes it anew."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby

from pipelines.config import describe
from pipelines.section import KeyDoc

HEAD = """\
<!-- Written by `python -m pipelines.keys > docs/project-file.md`. Change the records in the code, not this page. -->

# The project file

A project is a folder with a `losswatch.toml`. `losswatch init` writes one with every key in it, those that keep
their default as comments. Only `data.target` and one of `data.path` and `data.load` must be there; the rest has
defaults that need no touching.

The file is read whole before anything starts, and all its faults are told at once: the key, what was written, what
was expected, and the nearest key where a name is not known.

How values are written:

- a duration is a number and a unit in quotes: `"7d"`, `"12h"`, `"30 min"` (s, min, h, d, w)
- a date is bare or in quotes, `2013-03-01` or `"2013-03-01T12:00"`, in UTC where it names no zone
- your own function is `"module:function"`, for `module.py` in the project's folder
- a list of one may stand without brackets: `time = "date"`
- a secret is never written here: `"env:NAME"` takes it from a variable, `"file:PATH"` from a file that only you
  may read (`chmod 600`)
"""

SECTIONS = {
    "project": "What the project is called, and where its random numbers begin.",
    "data": "The rows: where they are, what is predicted, when each happened. See [your own data](your-own-data.md).",
    "prepare": "How columns become inputs, where it is not to be the usual way. See "
    "[your own data](your-own-data.md#another-preparation).",
    "network": 'The network and how it learns; `loss` takes a function of your own too, as `"module:function"`. '
    "See [your own network](your-own-network.md).",
    "monitor": "How much time is judged at once. See [verdicts](verdicts.md).",
    "alarm": "When a loss counts as harmed.",
    "retrain": "When a retraining may start, and what it is made of.",
    "gate": "What a challenger must prove before it serves.",
    "evaluate": "What `losswatch evaluate` looks at. See [evaluating](evaluating.md).",
    "serve": "The scoring server. See [operating](operating.md).",
    "log": "What the log keeps. See [the log](log.md).",
    "alerts": "Who is told of what a person should know. See [alerts](alerts.md).",
    "store": "Where versions and rows are kept.",
    "schedule": "What `losswatch up` runs by the clock.",
    "report": "The page of what happened. See [the report](report.md).",
    "replay": "The part of the data that is lived through again. See [replay](replay.md).",
}


def page(keys: Iterable[KeyDoc]) -> str:
    """The whole page, in Markdown.

    >>> print(page([KeyDoc("serve.port", "whole number", "8000", "where it listens", "8000")]).splitlines()[-1])
    | `port` | whole number | `8000` | where it listens |
    """
    sections = groupby(keys, key=lambda doc: doc.key.partition(".")[0])
    return "\n".join([HEAD, *("\n".join(_section(name, list(docs))) for name, docs in sections)])


def _section(name: str, docs: list[KeyDoc]) -> list[str]:
    head = ["| key | value | default | what it is |", "|---|---|---|---|"]
    return [f"## [{name}]", "", SECTIONS[name], "", *head, *map(_row, docs), ""]


def _row(doc: KeyDoc) -> str:
    name = doc.key.partition(".")[2]
    cells = (f"`{name}`", doc.type, _default(doc), doc.doc)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(doc: KeyDoc) -> str:
    """The default as it would be written, or in words where it depends on the project."""
    if doc.default is None:
        return "must be written"
    return f"`{doc.default}`" if doc.default == doc.example else doc.default


if __name__ == "__main__":
    sys.stdout.write(page(describe()))
