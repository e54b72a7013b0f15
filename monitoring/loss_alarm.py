"""The loss alarm: has the loss of the deployed version risen, against its reference or against itself?

Two sequential tests share one budget of false alarms. The *fixed-reference* test compares every window with
the loss on held-out rows from before the deployment and allows a tolerance: a slow decline cannot be learned as
normal, and it speaks from the first window. The *self-starting* test compares every window with the windows
before it, lags included, so that it needs no good reference and forgives autocorrelation.

Both are mixture e-detectors of Shiryaev-Roberts type (Shin, Ramdas, Rinaldo, "E-detectors", 2022); the
self-starting one runs on recursive residuals (Brown, Durbin, Evans 1975); the tolerance follows Podkopaev and
Ramdas, "Tracking the risk of a deployed model" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# a single window cannot be an alarm by itself: 3.5 leaves the largest evidence of one window below the threshold
CLIP = 3.5
# small rates look far back (a slow decline), large ones see a jump; the spacing of shared/detection literature:
# Shin et al. take a geometric grid over the shifts worth seeing, here 0.15 to 4 standard deviations of a window
RATES = (0.15, 0.3, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0)
# threshold = 0.53 x run length gives that average run length (simulation on independent Gaussian residuals)
THRESHOLD_PER_RUN_LENGTH = 0.53


@dataclass(frozen=True)
class AlarmConfig:
    """How much harm counts, and how often silence may be broken for nothing."""

    tolerance: float = field(
        default=0.05,
        metadata={"doc": "rise of the loss over its reference, as a share, where harm begins", "range": (0.0, 10.0)},
    )
    run_length: int = field(
        default=1000,
        metadata={"doc": "windows between two false alarms, on average, while nothing changes", "range": (20, 1e9)},
    )
