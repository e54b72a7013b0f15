"""`losswatch reproduce` with real networks: to the bit where nothing has changed, and exit code 1 where it has."""

from __future__ import annotations

import json
from pathlib import Path

import commands
import pytest
import streams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("reproduced")
    streams.stream(20, 200).to_csv(found / "rows.csv", index=False)
    (found / "losswatch.toml").write_text(
        '[data]\npath = "rows.csv"\ntarget = "y"\ntime = "when"\n[network]\nhidden = [16]\nepochs = 4\n'
    )
    commands.losswatch("train", folder=found)
    return found


def test_a_version_is_trained_again_to_the_bit(folder: Path) -> None:
    found = json.loads(commands.losswatch("reproduce", "--json", folder=folder))
    assert (found["differing"], found["changed"]) == (0, [])
    assert found["loss"] == found["loss_again"]


def test_what_has_changed_since_is_named_and_the_command_fails(folder: Path) -> None:
    path = folder / "losswatch.toml"
    written = path.read_text()
    path.write_text(written + "learning_rate = 0.01\n")
    try:
        told = commands.losswatch("reproduce", folder=folder, code=1)
    finally:
        path.write_text(written)
    assert "weights differ, by " in told
    assert "losswatch.toml has changed since: +learning_rate = 0.01" in told
