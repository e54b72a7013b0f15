"""What the scoring server says of itself: OpenAPI for programs, a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import orjson

from models.schema import Schema

_ERROR = {"$ref": "#/components/schemas/Error"}
_TEXT = {"type": "string"}
_STATUSES = {
    "400": "the request breaks a rule; the answer names field, rule and what was expected",
    "401": "no token, or none that is good",
    "403": "the token is for something else, or the server was not asked by its own name",
    "408": "the request took too long to come in",
    "409": "an id came before with other inputs",
    "413": "too many bytes or rows",
    "415": "another type of content than JSON or CSV",
    "422": "a label breaks a rule",
    "503": "not now; Retry-After says when",
}


def openapi(schema: Schema | None, version: int | None, booleans: frozenset[str]) -> dict[str, Any]:
    """The description of the server in OpenAPI 3.1, with the columns of the version that serves."""
    row = _row(schema, booleans)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "losswatch scoring server",
            "version": str(version or "none"),
            "description": "MLflow's protocol; every answer is in the log before it is sent.",
        },
        "paths": {
            "/invocations": {"post": _invocations(row)},
            "/labels": {"post": _labels()},
            **{path: {"get": _get(text, kind)} for path, (text, kind) in _READ.items()},
        },
        "components": {
            "schemas": {"Error": _error(), "Row": row},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


_READ = {
    "/ping": ("200 with a version to answer with, else 503", "application/json"),
    "/health": ("as /ping", "application/json"),
    "/readyz": ("as /ping; 503 also while the server ends", "application/json"),
    "/livez": ("200 while the server runs", "application/json"),
    "/version": ("the release of MLflow whose protocol is spoken", "application/json"),
    "/metrics": ("figures in the format of Prometheus", "text/plain"),
    "/openapi.json": ("this description", "application/json"),
    "/docs": ("this description as a page", "text/html"),
}


def _row(schema: Schema | None, booleans: frozenset[str]) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "number": {"type": ["number", "null"]},
        "category": {"type": ["string", "number", "boolean", "null"]},
        "date": {"type": ["string", "null"], "description": "ISO 8601"},
    }
    columns = schema.columns if schema is not None else ()
    properties = {
        column.name: {"type": ["boolean", "number", "null"]}
        if column.name in booleans
        else kinds[column.takes]
        for column in columns
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _invocations(row: Mapping[str, Any]) -> dict[str, Any]:
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}
    lists = {"type": "array", "items": {"type": "array"}}
    split = {
        "type": "object",
        "properties": {"columns": {"type": "array", "items": _TEXT}, "data": lists},
        "required": ["columns", "data"],
    }
    by_column = {
        "type": "object",
        "properties": {name: {"type": "array", "items": kind} for name, kind in row["properties"].items()},
    }
    beside = {
        "ids": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}},
        "times": {"type": "array", "items": {"type": "string", "format": "date-time"}},
    }
    forms = {
        "dataframe_split": split,
        "dataframe_records": rows,
        "inputs": {"oneOf": [by_column, rows, lists]},
        "instances": {"oneOf": [by_column, rows, lists]},
    }
    body = {
        "oneOf": [
            {"type": "object", "properties": {name: form, **beside}, "required": [name]}
            for name, form in forms.items()
        ]
    }
    answer = {
        "type": "object",
        "properties": {"predictions": {"type": "array"}, "ids": {"type": "array", "items": _TEXT}},
        "required": ["predictions"],
    }
    content = {"application/json": {"schema": body}, "text/csv": {"schema": _TEXT}}
    done = {
        "description": "predictions, with the headers losswatch-version and losswatch-ids",
        "headers": {"losswatch-version": {"schema": _TEXT}, "losswatch-ids": {"schema": _TEXT}},
        "content": {"application/json": {"schema": answer}},
    }
    statuses = ("400", "401", "403", "408", "409", "413", "415", "503")
    return {
        "summary": "predictions for rows",
        "requestBody": {"required": True, "content": content},
        "responses": {"200": done, **_refusals(statuses)},
    }


def _labels() -> dict[str, Any]:
    properties = {
        "id": {**_TEXT, "description": "of a prediction"},
        "key": {"type": ["string", "integer"], "description": "the user's own, of the column data.key"},
        "value": {"type": ["number", "string", "boolean"]},
        "moment": {**_TEXT, "format": "date-time", "description": "when it was found out"},
    }
    label = {
        "type": "object",
        "properties": properties,
        "required": ["value"],
        "oneOf": [{"required": ["id"]}, {"required": ["key"]}],
        "additionalProperties": False,
    }
    body = {
        "type": "object",
        "properties": {"labels": {"type": "array", "minItems": 1, "items": label}},
        "required": ["labels"],
    }
    return {
        "summary": "what turned out to be true of rows that were scored",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "taken"},
            **_refusals(("401", "403", "408", "413", "422", "503")),
        },
    }


def _get(text: str, kind: str) -> dict[str, Any]:
    return {"summary": text, "responses": {"200": {"description": text, "content": {kind: {}}}}}


def _refusals(statuses: Sequence[str]) -> dict[str, Any]:
    return {
        status: {"description": _STATUSES[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


def _error() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": dict.fromkeys(("field", "rule", "reason", "expected"), _TEXT),
            },
            "error_code": _TEXT,
            "message": _TEXT,
        },
    }


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "h2{font-size:1.1rem;margin:2rem 0 .3rem}code,pre{font:14px/1.5 ui-monospace,monospace}"
    "pre{background:#f3f4f6;padding:.8rem;overflow:auto;border-radius:6px}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .8rem .25rem 0;"
    "border-bottom:1px solid #e3e5e8;vertical-align:top}.method{display:inline-block;min-width:3.2rem;font-weight:600}"
    "@media(prefers-color-scheme:dark){body{background:#15181c;color:#dfe3e8}pre{background:#20252b}"
    "td,th{border-color:#30363d}a{color:#7fb2ff}}"
)


def docs_page(description: Mapping[str, Any], example: Mapping[str, Any]) -> str:
    """The description as one page without anything from elsewhere. example: a row as a client sends it."""
    request = orjson.dumps({"dataframe_records": [example]}, option=orjson.OPT_INDENT_2).decode()
    one_line = orjson.dumps({"dataframe_records": [example]}).decode().replace("'", "'\\''")
    curl = f"curl http://127.0.0.1:8000/invocations -H 'Content-Type: application/json' \\\n  -d '{one_line}'"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>losswatch scoring server</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        "<h1>losswatch scoring server</h1>",
        f"<p>Version {escape(description['info']['version'])} serves. {escape(description['info']['description'])} "
        "For programs: <a href=openapi.json>openapi.json</a>.</p>",
        "<h2>The columns of a row</h2>",
        _columns_table(description["components"]["schemas"]["Row"]["properties"]),
        "<h2>A request</h2>",
        f"<pre>{escape(request)}</pre><pre>{escape(curl)}</pre>",
        "<p>Also <code>dataframe_split</code>, <code>inputs</code>, <code>instances</code> and CSV; "
        "<code>ids</code> and <code>times</code> may stand beside the rows.</p>",
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    return "".join(parts) + "</html>\n"


def _columns_table(properties: Mapping[str, Any]) -> str:
    if not properties:
        return "<p>No version is loaded yet.</p>"
    rows = (
        f"<tr><td><code>{escape(name)}</code><td>{escape(' or '.join(kind['type']))}"
        f"{' (' + escape(kind['description']) + ')' if 'description' in kind else ''}"
        for name, kind in properties.items()
    )
    return f"<table><tr><th>column<th>values{''.join(rows)}</table>"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> list[str]:
    rows = (
        f"<tr><td>{escape(status)}<td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    return [
        f"<h2><span class=method>{method.upper()}</span> <code>{escape(path)}</code></h2>",
        f"<p>{escape(operation['summary'])}</p><table>{''.join(rows)}</table>",
    ]
