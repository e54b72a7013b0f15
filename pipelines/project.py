"""A project: a folder with a losswatch.toml, and beside it what losswatch remembers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.config import ProjectConfig, StoreConfig, load_project
from pipelines.errors import UserError
from pipelines.keeping import LogConfig
from pipelines.receivers import AlertsConfig
from pipelines.secret import read_secret

STATE_FOLDER = ".losswatch"


@dataclass(frozen=True)
class Project:
    """A folder and its checked project file; nothing is created by looking at one."""

    folder: Path  # absolute
    config: ProjectConfig
    state: Path  # everything lies here that losswatch itself writes

    @property
    def name(self) -> str:
        return self.config.project.name

    def tracking(self, environ: Mapping[str, str] = os.environ) -> str:
        """The address of the MLflow store, with a secret that [store] refers to filled in."""
        written = self.config.store.tracking
        if written is None:
            return f"sqlite:///{self.state / 'mlflow.db'}"
        return read_secret(written, self.folder, environ, key="store.tracking")

    def artifacts(self, environ: Mapping[str, str] = os.environ) -> str:
        """The folder, or the address, of what versions are made of."""
        return self._place("artifacts", self.config.store.artifacts, environ)

    def log_folder(self, environ: Mapping[str, str] = os.environ) -> Path:
        """The folder of the log on this machine; what arrives is taken here, wherever the tables lie."""
        place = self._place("log", self.config.store.log, environ)
        return self.state / "log" if "://" in place else Path(place)

    def log_address(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """Where the tables of the log lie if not in its folder; `UserError` where losswatch cannot keep them there."""
        place = self._place("log", self.config.store.log, environ)
        if "://" not in place:
            return None
        if not place.startswith("s3://") or not place.removeprefix("s3://").strip("/"):
            raise UserError(
                f'store.log = {place!r}: expected a folder, or an address such as "s3://bucket/folder"'
            )
        return place.rstrip("/")

    def _place(self, name: str, written: str | None, environ: Mapping[str, str]) -> str:
        """A folder made absolute, an address as it is; by default a folder in the state."""
        if written is None:
            return str(self.state / name)
        place = read_secret(written, self.folder, environ, key=f"store.{name}")
        return place if "://" in place else str(self.folder / place)

    def for_replay(self) -> Project:
        """The same project with a state and stores of its own, so a replay touches nobody.

        All its rows are lived through, so that none is held out.
        """
        data = dataclasses.replace(self.config.data, test_share=0.0)
        config = dataclasses.replace(
            self.config, data=data, store=StoreConfig(), log=LogConfig(), alerts=AlertsConfig()
        )
        return dataclasses.replace(self, config=config, state=self.state / "replay")

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)


def open_project(folder: Path) -> Project:
    """The project in a folder; a UserError tells every fault of its file."""
    folder = Path(folder).absolute()
    return Project(folder, load_project(folder), folder / STATE_FOLDER)
