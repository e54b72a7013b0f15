"""One HTML file that asks for nothing from outside: styles, script and numbers are inside it.

Its content policy lets nothing else run, and what it embeds cannot end the element that holds it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from html import escape
from importlib import resources
from pathlib import Path


def document(title: str, body: str, *, style: str, script: str, data: object) -> str:
    """The file as text. body: HTML whose every text from outside is escaped. data: what the script reads, as JSON."""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
            f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">',
            f"<style>{style}</style>\n</head>\n<body>",
            body,
            f'<script type="application/json" id="data">{embedded(data)}</script>',
            f"<script>{script}</script>\n</body>\n</html>\n",
        )
    )


def write_whole(text: str, path: Path) -> Path:
    """Write a text beside its place and move it there, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def asset(name: str) -> str:
    """Text of a file that comes with the pages."""
    return resources.files("pipelines").joinpath("page_assets", name).read_text(encoding="utf-8")


def symbol(kind: str) -> str:
    """A mark of symbols.svg, which the page has to hold; the word stands beside it."""
    return f'<svg class="mark {kind}" aria-hidden="true"><use href="#s-{kind}"/></svg>'


def embedded(data: object) -> str:
    """JSON that cannot end the element that holds it.

    >>> embedded({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def rounded(value: float | None) -> float | None:
    """Six digits, which is finer than a screen; None for what cannot be drawn.

    >>> rounded(0.123456789), rounded(float("nan"))
    (0.123457, None)
    """
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _policy(style: str, script: str) -> str:
    """Only this very style and this very script may act; nothing is fetched."""
    return (
        f"default-src 'none'; style-src '{_fingerprint(style)}'; script-src '{_fingerprint(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _fingerprint(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
