"""What speaks against how the log keeps the columns of a project, before a row is in it."""

from __future__ import annotations

from pathlib import Path

from models.schema import Column, Schema
from pipelines.errors import UserError
from pipelines.keeping import LogConfig, Rule
from pipelines.log_rows import places
from pipelines.log_tables import log_table
from pipelines.packing import kind_of
from pipelines.plain_columns import plain
from pipelines.problem import Problem
from pipelines.sources import Table

ABOUT = "log.columns"
_NUMBERS = ("number", "integer", "boolean")


def kept_columns(config: LogConfig, schema: Schema) -> list[Problem]:
    """What a version of this schema could not do, because the log keeps a column otherwise than it came."""
    columns = {column.name: column for column in schema.columns}
    found = [
        Problem("fault", ABOUT, f'{name} = "{rule}": {why}')
        for name, rule in config.columns.items()
        if name in columns and (why := _against(columns[name], rule)) is not None
    ]
    unknown = [name for name in config.columns if name not in columns]
    return found + [
        Problem("note", ABOUT, f"{name}: no input of the network, and so never in the log")
        for name in unknown
    ]


def _against(column: Column, rule: Rule) -> str | None:
    if rule == "drop":
        return (
            "the network learns from it, and a retraining takes it from the log. Keep it, hash it if it is a "
            "category, or name it in [data] drop, so that the network learns without it"
        )
    if rule == "hash" and column.takes != "category":
        return f"hashes of a {column.takes} cannot be counted or learned from. Keep it, or name it in [data] drop"
    if rule == "hash" and not hasattr(column, "levels"):
        return (
            'it is prepared by [prepare] encoding = "hashing", which keeps no level to know a hash by. Keep it, or '
            "choose another encoding"
        )
    return None


def refuse_to_retrain(config: LogConfig, schema: Schema) -> None:
    """`UserError` where the log does not hold what a retraining of this schema learns from."""
    faults = [problem.text for problem in kept_columns(config, schema) if problem.severity == "fault"]
    if faults:
        raise UserError("\n".join(f"[log] columns: {text}" for text in faults))


def changed_types(folder: Path, schema: Schema, table: Table) -> list[Problem]:
    """Columns that are text in the data and numbers in the log, or the other way round.

    folder: of the log. The log would take them, in a second column that other readers do not look for.
    """
    logged = places(log_table(folder, "predictions").schema)
    found = []
    for column in schema.columns:
        place = logged.get(column.name)
        if place is None or column.takes == "date":
            continue
        here = kind_of(plain(table.frame[column.name]))
        now_text = here == "text" and place.kind in _NUMBERS
        now_numbers = column.takes == "number" and place.kind not in _NUMBERS
        if now_text or now_numbers:
            came, was = ("text", "numbers") if now_text else ("numbers", f"of kind {place.kind}")
            text = (
                f"column {column.name!r} is {came} in the data, and {was} in {folder}. Give the new column another "
                "name, or move the log's folder away to begin a new one"
            )
            found.append(Problem("fault", "store.log", text))
    return found
