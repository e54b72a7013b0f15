"""The last rate range test of a project, kept to be shown with the trainings of the same network."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from models.rate_range import RateRange
from pipelines.answer import to_json
from pipelines.document import write_whole

if TYPE_CHECKING:
    from pipelines.project import Project

logger = logging.getLogger(__name__)

FILE = "rates.json"  # in the project's state
# what may change after a test of all rates, and leaves its answer as it is
FREE = {"learning_rate", "schedule", "schedule_parameters", "warmup", "metrics", "epochs", "patience"}
FREE |= {"target_loss", "accept_overfit", "restarts", "device"}


@dataclasses.dataclass(frozen=True)
class KeptRates:
    """A test, with the words above its picture and the keys of [network] that it was of."""

    title: str
    found: RateRange
    network: Mapping[str, Any]


def keep_rates(project: Project, found: RateRange, title: str) -> None:
    """Puts a test in the place of the one before."""
    network = dataclasses.asdict(project.config.network)
    write_whole(to_json(KeptRates(title, found, network)) + "\n", project.state / FILE)


def read_rates(project: Project, network: Mapping[str, Any]) -> KeptRates | None:
    """The last test, if it was of a network with these keys but for those that it leaves free; else None."""
    path = project.state / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        found = content["found"]
        series = {name: np.array(found[name], np.float64) for name in ("rates", "losses", "smoothed")}
        rates = RateRange(**found | series | {"reasons": tuple(found["reasons"])})
        kept = KeptRates(content["title"], rates, content["network"])
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read: %s", path, error)
        return None
    return kept if network and _bound(kept.network) == _bound(network) else None


def _bound(network: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a test depends on, as JSON has them."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(network), default=str))
    return {key: value for key, value in plain.items() if key not in FREE}
