"""ONNX Runtime, loaded so that it reports to nobody."""

from __future__ import annotations

import os
from types import ModuleType


def onnx_runtime() -> ModuleType:
    """ONNX Runtime's module, imported at the first use (0.1 s).

    From 1.29 on it tells its maker over HTTPS of processes, of networks (names, hashes of graph and weights) and of
    failures, from a thread of its own, and keeps an id and what it could not send under ~/.cache
    (its Privacy.md, "Disabling Telemetry"). The variable that forbids it is read once, as the library is loaded; a user
    who has set it is obeyed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime  # type: ignore[no-any-return]
