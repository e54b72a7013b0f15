"""Malformed requests: by hand, from a server's own description in OpenAPI with one thing made wrong, and torn bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROW = {"hour": 7, "carrier": "UA", "wind": 9.5, "holiday": True}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD")
KINDS = (
    "application/json",
    "text/csv",
    "text/plain",
    "application/json; charset=latin-1",
    "",
    "multipart/form-data",
)


@dataclass(frozen=True)
class Malformed:
    """Bytes that a client sends. refused: whether they must be, with a reason; open: whether the connection stays."""

    name: str
    sent: bytes
    refused: bool = True


class Text(str):
    """JSON as it is written, which need be none."""


WRITTEN = """
NaN -NaN Infinity -Infinity 1e999 -1e999 1E+400 0x10 01 .5 5. +1 nul True '' - \\ud800 {} [] [[]] [null] null true false
0 -0 1e308 2e308 1e-400 "" 18446744073709551616 9223372036854775808 1.7976931348623159e308 [1,[2,[3]]] {"a":NaN} [1,]
"\\ud800" "\\udc00\\ud800" "\\u0000" "\u202e" "<script>" "NaN" "1e3" "\\x" {"":1,"":2} {"hour":1,"hour":1}
"""
LONG = (
    *("9" * 400, "-" + "9" * 5000, "0." + "1" * 4000, '"' + "a" * 3000 + '"', '"\n"'),
    *("[" * 60 + "]" * 60, "[" * 3000 + "]" * 3000, '{"a":' * 200 + "1" + "}" * 200),
)
NASTY = tuple(map(Text, (*WRITTEN.split(), *LONG)))


def http(
    method: str,
    path: str,
    body: bytes = b"",
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a request that is HTTP."""
    given = {"Host": "127.0.0.1", **({"Content-Type": kind} if kind else {}), **(headers or {})}
    given.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + body


# --- by hand ---


def _records(**changes: Any) -> bytes:
    return written({"dataframe_records": [{**ROW, **changes}]})


def _without(name: str) -> bytes:
    return written({"dataframe_records": [{key: value for key, value in ROW.items() if key != name}]})


def _beside(**more: Any) -> bytes:
    return written({"dataframe_records": [ROW], **more})


def bodies() -> list[bytes]:
    """Bodies that neither /invocations nor /labels may take, whatever they say of themselves."""
    split = {"columns": list(ROW), "data": [list(ROW.values())]}
    lone = Text('"\\ud800"')
    return [
        *(b"", b" ", b"null", b"0", b'"text"', b"[]", b"{}", b"{", b"}", b"[" * 100_000, b'{"a":' * 100_000),
        *(
            b'{"inputs": ' + b"[" * 3000 + b"]" * 3000 + b"}",
            b"\xff\xfe{\x00}\x00",
            b"\x00",
            b"\x1f\x8b\x08\x00\x00",
        ),
        *(
            b'{"dataframe_records": [{"hour": 7,}]}',
            b"{'dataframe_records': []}",
            b'{"dataframe_records": []} {}',
        ),
        *(b'{"inputs": "\xff"}', b'{"inputs": ["\xed\xa0\x80"]}', b'{"inputs": [' + b"9" * 5000 + b"]}"),
        *(
            _records(wind=value)
            for value in (Text("NaN"), Text("1e999"), Text("-Infinity"), "7", True, [7], {"a": 7})
        ),
        *(_records(wind=value) for value in ("1e3", "NaN", lone, Text("0x1"), False, [], Text("9" * 5000))),
        *(_records(carrier=value) for value in ({}, [], [None], Text('"\\x"'), lone)),
        *(_without(name) for name in ROW),
        *(
            _beside(ids=value)
            for value in ("a", [], [1], [""], ["a" * 201], ["\x00"], ["a", "b"], [lone], {}, 7)
        ),
        *(_beside(ids=["0123456789abcdef-0123456789abcdef012345-00000"]) for _ in "1"),
        *(_beside(times=value) for value in ("now", [7], ["2024-13-01"], [], [None], ["0000-01-01"], [lone])),
        *(_beside(unknown=1), _beside(inputs=[]), _beside(columns=[])),
        written({"dataframe_split": {**split, "data": [[1], [1, 2]]}}),
        written({"dataframe_split": {**split, "columns": [*list(ROW)[:3], "hour"]}}),
        written({"dataframe_split": {"columns": [lone], "data": [[lone]]}}),
        written({"dataframe_split": {"columns": list(ROW)}}),
        written({"dataframe_split": [list(ROW.values())]}),
        written({"dataframe_split": {**split, "columns": 7}}),
        written({"inputs": {"hour": [1, 2], "carrier": ["UA"], "wind": [1.0], "holiday": [True]}}),
        written({"inputs": {"hour": {}}}),
        written({"inputs": [[1, 2, 3, 4, 5]]}),
        *(written({"instances": value}) for value in (None, 7, "a", {}, [7], [None], [[]], [{}], [[], {}])),
        b'{"dataframe_records": [{"hour":7,"carrier":"UA","wind":1,"holiday":true,"hour":8}]}',
        b'{"inputs": [], "inputs": []}',
        *(
            written({"labels": value})
            for value in (None, [], {}, 7, [7], [{}], [[]], [{"id": "a"}], [{"value": 1}])
        ),
        *(written({"labels": [{"id": value, "value": 1}]}) for value in (1, "", None, [], "a" * 201, lone)),
        *(
            written({"labels": [{"id": "a", "value": value}]})
            for value in (None, [], {}, "a" * 1001, Text("NaN"), lone)
        ),
        written({"labels": [{"id": "a", "value": 1, "more": 2}]}),
    ]


def tables() -> list[bytes]:
    """CSV that /invocations may not take."""
    names, values = ",".join(ROW), "7,UA,9.5,true"
    texts = [
        *("", "\n", names, f"{names}\n", f"{names}\n1", f"{names}\n{values},1", f"{names},hour\n{values},7"),
        *(
            f"{names}\n7,UA,x,true",
            f"{names}\n7,UA,1e999,true",
            f"{names}\n7,UA,inf,true",
            f"{names}\n7,UA,1_0x,true",
        ),
        *(
            f'{names}\n"7,UA,9.5,true',
            f'{names}\n7,"U"A,9.5,true',
            f"{names}\n7,UA,9.5,perhaps",
            "hour\n7",
            "a,b\n1,2",
        ),
    ]
    return [
        *(text.encode() for text in texts),
        b"\xff\xfe",
        names.encode() + b"\n7,\xff,1,true",
        b"\x00\x00,\x00",
    ]


def requests_by_hand() -> list[Malformed]:
    """Requests that are HTTP and must be refused."""
    found = [
        Malformed(f"{path} {body[:60]!r}", http("POST", path, body)) for path in POSTED for body in bodies()
    ]
    found += [
        Malformed(f"CSV {body[:60]!r}", http("POST", "/invocations", body, "text/csv")) for body in tables()
    ]
    for kind in ("", "text/plain", "application/xml", "application/json; charset=utf-16", "\x00", "a" * 9000):
        found.append(Malformed(f"type {kind[:40]!r}", http("POST", "/invocations", _beside(), kind)))
    for coding in ("gzip", "br", "deflate", "gzip, identity", "x"):
        sent = http("POST", "/invocations", _beside(), headers={"Content-Encoding": coding})
        found.append(Malformed(f"encoding {coding}", sent))
    for path in PATHS:
        found += [Malformed(f"{method} {path[:60]}", http(method, path)) for method in ("GET", "POST", "PUT")]
    for method in METHODS:
        found += [Malformed(f"{method} {path}", http(method, path)) for path in POSTED if method != "POST"]
        found += [
            Malformed(f"{method} {path}", http(method, path))
            for path in READ
            if method not in ("GET", "HEAD")
        ]
    for host in ("example.org", "127.0.0.1.example.org", "", "[::1", "\x00", "localhost@evil"):
        found.append(
            Malformed(f"host {host}", http("POST", "/invocations", _beside(), headers={"Host": host}))
        )
    for origin in ("http://example.org", "null", "http://127.0.0.1.evil", "://"):
        sent = http("POST", "/invocations", _beside(), headers={"Origin": origin})
        found.append(Malformed(f"origin {origin}", sent))
    return found


POSTED = ("/invocations", "/labels")
READ = ("/ping", "/health", "/readyz", "/livez", "/version", "/metrics", "/openapi.json", "/docs")
PATHS = (
    *(
        "/",
        "//",
        "//invocations",
        "/invocations/",
        "/INVOCATIONS",
        "/%69nvocations",
        "/invocations%00",
        "/../etc/passwd",
    ),
    *(
        "/%2e%2e/metrics",
        "/labels/..",
        "/invocations;a=b",
        "/metrics/",
        "/docs/../metrics",
        "/" + "a" * 3000,
        "/\xff",
    ),
    *("http://127.0.0.1/ping", "*", "/.git/config", "/invocations#x", "/predictions", "/labels%2f")[:6],
)


def torn_http() -> list[Malformed]:
    """Bytes that are no HTTP, or break a limit of it; each ends its connection."""
    start = b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
    found = {
        "no request": b"hello\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/3.7": b"GET /ping HTTP/3.7\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "lower case": b"get /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "no version": b"GET /ping\r\n\r\n",
        "space in the address": b"GET /pi ng HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "NUL in the address": b"GET /pi\x00ng HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "address of 20 KiB": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        "header of 20 KiB": start + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        "name of 20 KiB": start + b"a" * 20_000 + b": x\r\n\r\n",
        "500 headers": start + b"".join(b"X-%d: 1\r\n" % number for number in range(500)) + b"\r\n",
        "header without a colon": start + b"nothing\r\n\r\n",
        "NUL in a header": start + b"X: \x00\r\n\r\n",
        "space before the colon": start + b"Content-Length : 2\r\n\r\n{}",
        "folded header": start + b"X: a\r\n b\r\n\r\n",
        "two lengths": start + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "length and chunks": start + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "negative length": start + b"Content-Length: -1\r\n\r\n",
        "length of letters": start + b"Content-Length: two\r\n\r\n{}",
        "huge length": start + b"Content-Length: 99999999999999999999999\r\n\r\n",
        "length above the limit": start + b"Content-Length: 999999999\r\n\r\n",
        "unknown coding": start + b"Transfer-Encoding: gzip\r\n\r\n",
        "chunk of letters": chunked + b"zz\r\n{}\r\n0\r\n\r\n",
        "negative chunk": chunked + b"-2\r\n{}\r\n0\r\n\r\n",
        "huge chunk": chunked + b"fffffffffffffffff\r\n",
        "chunk longer than it says": chunked + b"2\r\n{}{}\r\n0\r\n\r\n",
        "chunk without an end": chunked + b"2\r\n{}0\r\n\r\n",
        "chunks above the limit": chunked + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 11,
        "two hosts": b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: example.org\r\n\r\n",
        "two types": start + b"Content-Type: text/csv\r\nContent-Length: 2\r\n\r\n{}",
        "no host": b"GET /metrics HTTP/1.1\r\n\r\n",
        "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "smuggled": start + b"Content-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
        "after an upgrade": start + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n\x00\x01",
        "many at once": http("POST", "/invocations", b"{") * 40,
        "body above the limit": http("POST", "/invocations", b" " * (10 * 2**20 + 1)),
    }
    return [Malformed(name, sent) for name, sent in found.items()]


# --- from the description ---


class Maker:
    """Requests from a description in OpenAPI, with one thing made wrong. The same seed gives the same requests."""

    def __init__(self, description: Mapping[str, Any], seed: int) -> None:
        self._rng = random.Random(seed)
        self._components = description["components"]["schemas"]
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        ]
        self._posted = [one for one in self._operations if "requestBody" in one[2]]

    def requests(self) -> Iterator[Malformed]:
        """One after the other without an end; some may be in order by chance."""
        while True:
            method, path, operation = self._rng.choice(self._posted)
            content = operation["requestBody"]["content"]
            tree = self._value(content["application/json"]["schema"])
            body = written(self._wrong(tree))
            if self._rng.random() < 0.2:
                body = self._torn(body)
            kind = self._rng.choice(KINDS) if self._rng.random() < 0.1 else "application/json"
            if self._rng.random() < 0.05:
                method, path, _ = self._rng.choice(self._operations)
            yield Malformed(f"{method} {path}", http(method, path, body, kind), refused=False)

    def _value(self, schema: Mapping[str, Any]) -> Any:
        rng = self._rng
        if "$ref" in schema:
            return self._value(self._components[schema["$ref"].rpartition("/")[2]])
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return self._value(rng.choice(schema[choice]))
        kind = schema.get("type", rng.choice(["number", "string", "null"]))
        kind = rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return {name: self._value(one) for name, one in schema.get("properties", {}).items()}
        if kind == "array":
            return [self._value(schema.get("items", {})) for _ in range(rng.choice([1, 1, 2, 3, 30]))]
        if kind == "string":
            return rng.choice(["UA", "DL", "2024-05-01T08:00:00Z", "", "x" * 30, "é"])
        return {"boolean": True, "null": None, "integer": 7}.get(kind, rng.choice([7, 0.5, -3, 1e9]))

    def _wrong(self, tree: Any) -> Any:
        """The tree with one place changed, dropped or doubled."""
        rng = self._rng
        if isinstance(tree, dict) and tree and rng.random() < 0.8:
            name = rng.choice(list(tree))
            what = rng.random()
            if what < 0.1:
                return {key: value for key, value in tree.items() if key != name}
            if what < 0.2:
                return {**tree, rng.choice(["x", "", "ids", "\u0000", name + " "]): rng.choice(NASTY)}
            if what < 0.25:
                return Text(f"{{{json.dumps(name)}:1,{written(tree).decode('utf-8', 'surrogatepass')[1:]}")
            return {**tree, name: self._wrong(tree[name])}
        if isinstance(tree, list) and tree and rng.random() < 0.8:
            place = rng.randrange(len(tree))
            return [*tree[:place], self._wrong(tree[place]), *tree[place + 1 :]]
        return rng.choice(NASTY)

    def _torn(self, body: bytes) -> bytes:
        rng = self._rng
        place = rng.randrange(len(body) + 1)
        ways: Sequence[bytes] = (
            body[:place],
            body[place:] + body[:place],
            body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :],
            body[:place] + rng.randbytes(rng.randrange(1, 9)) + body[place:],
            body + body[:place],
        )
        return rng.choice(ways)


def written(tree: Any) -> bytes:
    """JSON in which a `Text` stands as it is.

    >>> written({"a": [1, Text("NaN")]})
    b'{"a":[1,NaN]}'
    """
    return _text(tree).encode("utf-8", "surrogatepass")


def _text(tree: Any) -> str:
    if isinstance(tree, Text):
        return str(tree)
    if isinstance(tree, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_text(value)}" for name, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(_text, tree)) + "]"
    return json.dumps(tree)
