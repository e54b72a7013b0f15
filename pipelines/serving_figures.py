"""What a scoring server counts of itself, in the text format of Prometheus."""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# seconds
_BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Figures:
    """Counts since the start. What is added up in the event loop alone needs no lock."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.rows = 0
        self.commits = 0
        self.labels = 0
        self.moved = 0
        self.failed_commits = 0
        self.unlogged = 0
        self.failed_flushes = 0
        self.flushed_at = 0.0
        self._slower = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Counts one answer; seconds: from the last byte of the request to the answer."""
        self.requests[path, status] += 1
        if path == "/invocations":
            self._slower[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def text(self, gauges: Mapping[str, tuple[str, float]], version: int | None) -> str:
        """The whole page. gauges: name to meaning and value of what is so at this moment."""
        return "\n".join([*self._counters(), *_gauges(gauges), *_version(version), *_process()]) + "\n"

    def _counters(self) -> Iterator[str]:
        yield from _head("requests_total", "counter", "answers by path and status")
        for (path, status), count in sorted(self.requests.items()):
            yield f'losswatch_requests_total{{path="{path}",status="{status}"}} {count}'
        yield from _head("request_seconds", "histogram", "time of an answer of /invocations")
        total = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._slower, strict=True):
            total += count
            yield f'losswatch_request_seconds_bucket{{le="{bound}"}} {total}'
        yield f"losswatch_request_seconds_sum {self._seconds:.6f}"
        yield f"losswatch_request_seconds_count {total}"
        counters = {
            "rows_total": ("rows answered", self.rows),
            "commits_total": ("commits of rows; several requests share one", self.commits),
            "commits_failed_total": ("commits that the log did not take", self.failed_commits),
            "rows_unlogged_total": ("rows answered that the log did not take", self.unlogged),
            "labels_total": ("labels taken", self.labels),
            "rows_moved_total": ("rows and labels moved into the tables of the log", self.moved),
            "flushes_failed_total": ("moves into the tables that failed", self.failed_flushes),
        }
        for name, (meaning, value) in counters.items():
            yield from _head(name, "counter", meaning)
            yield f"losswatch_{name} {value}"


def _head(name: str, kind: str, meaning: str) -> Iterable[str]:
    return (f"# HELP losswatch_{name} {meaning}", f"# TYPE losswatch_{name} {kind}")


def _gauges(gauges: Mapping[str, tuple[str, float]]) -> Iterator[str]:
    for name, (meaning, value) in gauges.items():
        yield from _head(name, "gauge", meaning)
        yield f"losswatch_{name} {value:.15g}"


def _version(version: int | None) -> Iterator[str]:
    yield from _head("version_info", "gauge", "the version that serves")
    if version is not None:
        yield f'losswatch_version_info{{version="{version}"}} 1'


def _process() -> Iterator[str]:
    used: Any = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    yield "# TYPE process_cpu_seconds_total counter"
    yield f"process_cpu_seconds_total {used.ru_utime + used.ru_stime:.3f}"
    yield "# TYPE process_resident_memory_bytes gauge"
    yield f"process_resident_memory_bytes {pages * resource.getpagesize()}"
