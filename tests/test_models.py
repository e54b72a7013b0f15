"""The package's public names exist, and asking for the package starts nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import models


@pytest.mark.parametrize("name", models.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(models, name) is not None
    assert name in dir(models)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'models' has no attribute 'nothing'"):
        _ = models.nothing


def test_the_package_and_its_light_modules_load_no_library_but_numpy() -> None:
    code = (
        "import sys, models, models.schema, models.losses, models.split, models.rows, models.evaluation, "
        "models.baselines, models.leakage, models.recipe, models.history; "
        "sys.exit(','.join({'pandas', 'keras', 'tensorflow', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.stderr == "\n"
