"""The incomplete gamma function and its inverse, against SciPy."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from scipy.special import gammaincc, gammainccinv

from monitoring.gamma import upper_gamma, upper_gamma_inverse


def test_the_tail_is_scipys_from_the_smallest_shapes_to_large_ones() -> None:
    rng = np.random.default_rng(1)
    shape = 10 ** rng.uniform(-2, 5, 5000)
    x = shape * 10 ** rng.uniform(-1.5, 0.5, 5000)
    expected = gammaincc(shape, x)
    np.testing.assert_allclose(upper_gamma(shape, x), expected, rtol=1e-10, atol=1e-290)


def test_at_nothing_the_tail_is_everything() -> None:
    np.testing.assert_array_equal(upper_gamma([0.5, 3.0], 0.0), [1.0, 1.0])


def test_of_one_degree_of_two_it_is_the_exponential() -> None:
    np.testing.assert_allclose(upper_gamma(1.0, [0.1, 1.0, 30.0]), np.exp([-0.1, -1.0, -30.0]), rtol=1e-14)


@pytest.mark.parametrize("probability", [0.5, 0.05, 1e-4, 1e-9, 1e-30])
def test_the_inverse_is_scipys(probability: float) -> None:
    shape = 10 ** np.random.default_rng(2).uniform(-1, 4, 400)
    found = upper_gamma_inverse(shape, probability)
    np.testing.assert_allclose(found, gammainccinv(shape, probability), rtol=1e-11)


@pytest.mark.parametrize("probability", [0.0, 0.6, -1.0, math.nan])
def test_another_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match=r"at most 0\.5"):
        upper_gamma_inverse(1.0, probability)


def test_neither_scipy_nor_pandas_is_loaded_to_compare_two_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        parquet.write_table(
            pa.table({"x": [0.5, 1.5, 2.5] * 40, "c": ["u", "v", None] * 40}), tmp_path / name
        )
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipelines.drift import drift\n"
        "folder = Path(sys.argv[1])\n"
        "drift(folder / 'a', folder / 'b').lines()\n"
        "print(*{'scipy', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
