"""The version that serves: the champion of the registry, loaded, tried, and only then put in place."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pipelines.bundle import digest
from pipelines.invocations import Form, booleans_of
from pipelines.scoring import Scorer

logger = logging.getLogger(__name__)


class Numbered(Protocol):
    """A version of the registry."""

    @property
    def version(self) -> int: ...


class Versions(Protocol):
    """What is asked of the registry."""

    def alias(self, name: str) -> Numbered | None: ...

    def bundle(self, version: int) -> Path: ...


@dataclass(frozen=True)
class Served:
    """A version that is loaded and gave the answers that were stored with it."""

    version: int
    scorer: Scorer
    key: str | None = None  # the column of a request that says what a row is about

    @cached_property
    def form(self) -> Form:
        """What its rows look like in a request."""
        return Form(self.scorer.schema, booleans_of(self.scorer.bundle.golden.rows), self.key)

    @cached_property
    def sorted_names(self) -> tuple[str, ...]:
        """The names of the columns, in the order in which the log keeps them."""
        return tuple(sorted(self.scorer.schema.column_names))


class Champion:
    """Follows the alias `champion`; whatever goes wrong on the way, the version that serves stays.

    remembered: a file that names the last champion and its folder, so that a server answers at once after a
    restart, before it has asked the registry, and also where the registry is down.
    """

    def __init__(
        self,
        connect: Callable[[], Versions],
        remembered: Path,
        *,
        every: float = 3.0,
        key: str | None = None,
    ) -> None:
        """connect: gives the registry, called where it is needed; every: seconds between two looks.

        key: the column of a request that says what a row is about.
        """
        self._connect, self._remembered, self._every, self._key = connect, remembered, every, key
        self._registry: Versions | None = None
        self._served: Served | None = None
        self._refused: set[int] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> Served | None:
        """The version that serves; None before there is one."""
        return self._served

    def start(self) -> None:
        """Loads the remembered champion and begins to follow the alias in the background."""
        self._recall()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends following; the version stays loaded."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=self._every + 1)

    def refresh(self) -> None:
        """Looks at the alias once, and changes over if it points at another version that is in order."""
        self._registry = self._registry or self._connect()
        champion = self._registry.alias("champion")
        if champion is None or champion.version in self._refused:
            return
        if self._served is None or champion.version != self._served.version:
            self._change(champion.version, self._registry.bundle(champion.version))

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self.refresh()
            except Exception as error:  # the registry may be down for a day; the answers go on
                logger.warning("the champion could not be asked for: %s: %s", type(error).__name__, error)
            self._stopping.wait(self._every)

    def _change(self, version: int, folder: Path) -> None:
        served = self._loaded(version, folder)
        if served is None:
            self._refused.add(version)  # its files do not change any more, so it is not tried again
            return
        self._served = served
        logger.info("version %d serves (%s)", version, served.scorer.engine)
        self._remember(version, folder)

    def _loaded(self, version: int, folder: Path) -> Served | None:
        try:
            scorer = Scorer.load(folder)
            if scorer.golden_ok():
                return Served(version, scorer, self._key)
            problem = "its answers differ from those that were stored with it"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        logger.error("version %d is not served: %s", version, problem)
        return None

    def _remember(self, version: int, folder: Path) -> None:
        text = json.dumps({"version": version, "folder": str(folder), "sha256": digest(folder)})
        part = self._remembered.with_suffix(".part")
        try:
            part.write_text(text, "utf-8")
            os.replace(part, self._remembered)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._remembered, error)

    def _recall(self) -> None:
        try:
            known = json.loads(self._remembered.read_text("utf-8"))
            version, folder = int(known["version"]), Path(known["folder"])
            if digest(folder) == known["sha256"]:
                self._served = self._loaded(version, folder)
        except (OSError, ValueError, KeyError, TypeError):
            return  # nothing remembered: the first look at the registry finds it
