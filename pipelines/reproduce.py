"""A version trained again from what it was made of, and compared with what was registered."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monitoring.decision import RetrainDecision
from pipelines import steps
from pipelines.config import StoreConfig
from pipelines.errors import UserError
from pipelines.making import differences, made_of, read_made_of
from pipelines.network import user_objects
from pipelines.receivers import AlertsConfig
from pipelines.retraining import learn_again
from pipelines.service import RETRAINING, bundle_of, current_service
from pipelines.stores import Stores, open_stores
from pipelines.watch import watch

if TYPE_CHECKING:
    import keras

    from pipelines.log import Event
    from pipelines.project import Project
    from pipelines.registry import ModelVersion

Say = Callable[[str], None]
Array = npt.NDArray[Any]

SHORTEST = timedelta(microseconds=1)  # the moments of the log are counted in these


@dataclass(frozen=True)
class Reproduced:
    """A version beside one that was trained again now.

    weights: how many numbers the network is made of. differing: how many of them came out otherwise; largest: by how
    much at most. loss, loss_again: of the best epoch. data, data_again: digests of all rows. changed: what of the
    circumstances is not as it was, a sentence each; None where the version does not know how it was made.
    """

    version: int
    kind: str
    weights: int
    differing: int
    largest: float
    loss: float
    loss_again: float
    data: str
    data_again: str
    changed: tuple[str, ...] | None

    @property
    def same(self) -> bool:
        """Whether every weight is the same to the bit."""
        return self.differing == 0

    @property
    def failed(self) -> bool:
        return not self.same

    def lines(self) -> list[str]:
        return [self._verdict(), *self._reasons(), *self._next()]

    def _verdict(self) -> str:
        if self.same:
            return (
                f"version {self.version} trained again: all {self.weights:,} weights are the same to the bit"
            )
        return (
            f"version {self.version} trained again: {self.differing:,} of {self.weights:,} weights differ, "
            f"by {self.largest:.3g} at most; its loss was {self.loss:.6g} and is {self.loss_again:.6g} now"
        )

    def _reasons(self) -> list[str]:
        told = []
        if self.data != self.data_again:
            told.append(f"the rows are others: {self.data} then, {self.data_again} now")
        if self.changed is None:
            told.append("the version does not say what it was made of: an older losswatch made it")
        return [*told, *(self.changed or ())]

    def _next(self) -> list[str]:
        if self.same:
            return []
        if self._reasons():
            return ["next: go back to what has changed, and run losswatch reproduce again"]
        return [
            "nothing that is written down has changed: more than one thread, another processor or a GPU add up in "
            'another order. Set TF_NUM_INTRAOP_THREADS=1 and device = "cpu", and train once more'
        ]


def reproduce(project: Project, version: int | None = None, *, progress: Say | None = None) -> Reproduced:
    """Trains a version again, beside everything else and without registering it, and compares the weights.

    version: its number; None takes the champion, or the newest where none serves. UserError where the version, its
    rows or what it was updated from are gone.
    """
    stores = open_stores(project)
    found = _version(stores, version)
    say = progress or (lambda text: None)
    train_again = _fit_again if found.kind == "fit" else _update_again
    again = train_again(stores, found, say)
    return dataclasses.replace(again, changed=_changed(stores, found))


def _version(stores: Stores, number: int | None) -> ModelVersion:
    if number is not None:
        return stores.registry.version(number)
    champion = stores.registry.alias("champion")
    if champion is not None:
        return champion
    versions = stores.registry.versions()
    if not versions:
        raise UserError(f"{stores.project.name}: no version to train again. Train one with losswatch train")
    return max(versions, key=lambda found: found.version)


def _changed(stores: Stores, version: ModelVersion) -> tuple[str, ...] | None:
    then = read_made_of(bundle_of(stores, version.version).settings)
    return None if then is None else differences(then, made_of(stores.project))


def _fit_again(stores: Stores, version: ModelVersion, say: Say) -> Reproduced:
    """The whole first training, from the user's data, in a store that is thrown away."""
    from models.export import load_keras

    project = stores.project
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(project.config, store=StoreConfig(), alerts=AlertsConfig())
        apart = open_stores(dataclasses.replace(project, config=config, state=Path(folder)))
        trained = steps.train(
            apart.project,
            on_epoch=lambda epoch: say(f"epoch {epoch.epoch + 1}: loss {epoch.loss:.4g}"),
            progress=say,
        )
        again = bundle_of(apart, trained.version)
        model = load_keras(again.keras, objects=user_objects(project))
        curve, curve_again = stores.registry.curve(version.run_id), apart.registry.curve(trained.run_id)
        settings = again.settings
    return _compared(stores, version, model, _best(curve), _best(curve_again), str(settings["data"]))


def _update_again(stores: Stores, version: ModelVersion, say: Say) -> Reproduced:
    """A retraining from what the log and the registry knew when it took place."""
    event = _retraining_of(stores, version.version)
    say("reading what was known then")
    service = current_service(stores, event.known_at - SHORTEST)
    if service is None:
        raise UserError(f"version {version.version}: the log no longer says what served before it")
    number = event.payload["window"]
    judgements = watch(stores, service, event.known_at, after=number - 1)
    if not judgements:
        raise UserError(
            f"version {version.version}: the log no longer holds window {number}, which caused it"
        )
    say(f"training version {version.version} again")
    decision = RetrainDecision(event.payload["action"], ())
    learned = learn_again(stores, service, judgements[0], decision, event.known_at)
    curve = stores.registry.curve(version.run_id)
    champion = bundle_of(stores, service.version)
    return _compared(
        stores,
        version,
        learned.model,
        _best(curve),
        learned.history.best_loss,
        str(champion.settings["data"]),
    )


def _retraining_of(stores: Stores, number: int) -> Event:
    for event in stores.log.events(kind=RETRAINING):
        if event.payload["challenger"] == number:
            return event
    raise UserError(
        f"version {number}: the log holds no retraining that made it. Restore the log from its backup, "
        "or train a first version with losswatch train"
    )


def _best(curve: Any) -> float:
    return min((epoch.judged for epoch in curve), default=float("nan"))


def _compared(
    stores: Stores, version: ModelVersion, again: keras.Model, loss: float, loss_again: float, data: str
) -> Reproduced:
    from models.export import load_keras

    bundle = bundle_of(stores, version.version)
    kept = load_keras(bundle.keras, objects=user_objects(stores.project))
    pairs = list(_pairs(kept.get_weights(), again.get_weights()))
    apart = [np.abs(one.astype(float) - other.astype(float)) for one, other in pairs]
    return Reproduced(
        version=version.version,
        kind=version.kind,
        weights=sum(one.size for one, _ in pairs),
        differing=sum(int((one != other).sum()) for one, other in pairs),
        largest=max((float(gap.max()) for gap in apart if gap.size), default=0.0),
        loss=loss,
        loss_again=loss_again,
        data=str(bundle.settings["data"]),
        data_again=data,
        changed=None,
    )


def _pairs(kept: list[Array], again: list[Array]) -> list[tuple[Array, Array]]:
    shapes = [[weights.shape for weights in model] for model in (kept, again)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"the network has another form now: {shapes[0]} then, {shapes[1]} now. Restore [network] "
            "and the columns of the data as they were"
        )
    return list(zip(kept, again, strict=True))
