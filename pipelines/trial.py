"""A trial: one batch through the network, its loss, one step of training, and storing."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from models.devices import device_remarks
from models.last_layer import last_layer
from models.loss_advice import Probe, advice
from models.losses import canonical
from models.optimizers import optimizer_remarks
from models.schedules import schedule_remark
from pipelines.errors import UserError
from pipelines.network import fit_config_of, recipe_of, user_objects
from pipelines.problem import Problem, Trouble, trying

if TYPE_CHECKING:
    import keras

    from models.recipe import Recipe
    from models.rows import Rows
    from models.schema import Schema
    from pipelines.learning import Examples
    from pipelines.objective import Objective
    from pipelines.project import Project

Say = Callable[[str], None]

_REGISTER = "Put @keras.saving.register_keras_serializable() above every layer and loss of your own"
_ABOUT = {"loss": "network.loss", "network": "network.build"}  # what advice is about, as a key
TRIED = 256  # rows: more than a batch of most networks
_SAME = 1e-6  # of the answers' size: a network that was saved and loaded computes the very same


@dataclass(frozen=True)
class Trial:
    """What a network did with one batch.

    weights: how many numbers it learns. loss: mean over the batch, before any step. engine: what will serve it;
    None where the trial ended before. largest_difference: between ONNX and Keras.
    """

    rows: int
    loss_name: str
    weights: int | None = None
    loss: float | None = None
    engine: Literal["onnx", "keras"] | None = None
    largest_difference: float | None = None

    def line(self) -> str:
        told = [f"{self.weights:,} weights" if self.weights is not None else "no network"]
        told += [f"{self.loss_name} {self.loss:.4g} before training"] if self.loss is not None else []
        told += [f"served by {'ONNX' if self.engine == 'onnx' else 'Keras'}"] if self.engine else []
        return f"network: {', '.join(told)}; tried on {self.rows:,} rows"


def try_network(
    project: Project, goal: Objective, schema: Schema, batch: Rows, say: Say
) -> tuple[Trial, list[Problem]]:
    """Builds the network and takes one batch all the way; stops where nothing further can be tried.

    batch: rows with a target, prepared.
    """
    trial = _Trial(project, goal, schema, batch, say)
    try:
        trial.run()
    except Trouble as trouble:
        trial.problems.append(trouble.problem)
    return trial.found, trial.problems


def refuse_unfit(project: Project, goal: Objective, schema: Schema, train: Examples) -> None:
    """Raises UserError with all faults of a user's own network or loss: better now than after hours of training.

    train: of its rows a few are tried.
    """
    if project.config.code.build is None and goal.user_loss is None:
        return
    places = np.linspace(0, len(train) - 1, min(TRIED, len(train))).astype(np.intp)
    _, problems = try_network(project, goal, schema, train.take(places).rows, lambda text: None)
    faults = [f"  {problem.text}" for problem in problems if problem.severity == "fault"]
    if faults:
        listed = "\n".join(faults)
        raise UserError(f"the network cannot be trained:\n{listed}\nmend it, and try it with losswatch check")


class _Trial:
    """The stages of a trial, each on what the one before left."""

    def __init__(self, project: Project, goal: Objective, schema: Schema, batch: Rows, say: Say) -> None:
        self.project, self.goal, self.schema, self.batch, self.say = project, goal, schema, batch, say
        self.found = Trial(len(batch), goal.name)
        self.problems: list[Problem] = []

    def run(self) -> None:
        self.say("building the network")
        recipe, model = self._build()
        self._remark(recipe)
        answers = self._answer(model)
        self._advise(model, answers)
        self._judge(answers)
        self.say("one step of training")
        self._learn(recipe, model)
        self.say("storing and loading")
        with tempfile.TemporaryDirectory() as folder:
            self._store(model, Path(folder))
            self._export(model, Path(folder))

    def _trying(self, about: str, what: str) -> Any:
        return trying(about, what, self.project.folder)

    def _build(self) -> tuple[Recipe, keras.Model]:
        written = self.project.config.code.build
        what = f"network.build = {written!r}" if written else "[network]"
        with self._trying("network.build", what):
            recipe = recipe_of(self.project, self.goal, self.schema.target.task)
            built = _Built(recipe.build)
            model = dataclasses.replace(recipe, build=built).compiled(
                self.schema, seed=self.project.config.project.seed
            )
        self._find(weights=int(sum(np.prod(weight.shape) for weight in model.trainable_variables)))
        if built.compiled and (odd := _other_loss(model, self.goal)):
            self._warn("network.build", f"{what} {odd}")
        return recipe, model

    def _answer(self, model: keras.Model) -> npt.NDArray[np.float64]:
        from models.fit import predict

        with self._trying("network.build", "the network"):
            answers = predict(model, self.batch.inputs).astype(np.float64)
        if not np.isfinite(answers).all():
            text = "the network answers NaN or infinite numbers before any training. Look at its weights"
            raise _trouble("network.build", text)
        return answers

    def _remark(self, recipe: Recipe) -> None:
        """What is odd about the optimiser and its course, before any step."""
        network = self.project.config.network
        linear = not self.project.config.code.build and not network.hidden
        for text in optimizer_remarks(recipe.optimizing, linear=linear):
            self.problems.append(Problem("warning", "network.optimizer", text))
        for text in device_remarks(network.device, network.precision):
            self.problems.append(Problem("note", "network.device", text))
        if remark := schedule_remark(recipe.schedule, network.epochs, network.patience):
            self.problems.append(Problem("note", "network.schedule", remark))

    def _advise(self, model: keras.Model, answers: npt.NDArray[np.float64]) -> None:
        """What speaks against the loss for this target and this network; ends with the first fault."""
        if self.goal.user_loss is not None:
            return
        weighted = self.project.config.network.class_weights is not None
        probe = Probe(
            self.goal.name,
            self.schema.target.task,
            self.batch.targets,
            answers,
            last_layer(model),
            self.goal.parameters,
            weighted,
        )
        found = [Problem(one.severity, _ABOUT[one.about], one.text) for one in advice(probe)]
        fatal = [problem for problem in found if problem.severity == "fault"]
        self.problems += found[1:] if fatal else found
        if fatal:
            raise Trouble(found[0])

    def _judge(self, answers: npt.NDArray[np.float64]) -> None:
        what, target = f"network.loss = {self.goal.name!r}", self.batch.targets.astype(np.float64)
        with self._trying("network.loss", what):
            losses = self.goal.row_losses(target, answers)
        if not np.isfinite(losses).all():
            row = int(np.argmin(np.isfinite(losses)))
            raise _trouble(
                "network.loss",
                f"{what} is {losses[row]} for target {target[row]:g} and answer {answers[row].tolist()}; "
                "expected a finite number for every row",
            )
        self._find(loss=float(np.mean(losses)))

    def _learn(self, recipe: Recipe, model: keras.Model) -> None:
        from models.fit import fit
        from models.recipe import FitConfig

        config = fit_config_of(self.project, self.schema, seed=self.project.config.project.seed)
        config = FitConfig(epochs=1, seed=config.seed, class_weights=config.class_weights)
        with self._trying("network", "one step of training"):
            fit(
                dataclasses.replace(recipe, build=lambda schema: model),
                self.schema,
                self.batch,
                self.batch,
                config,
            )

    def _store(self, model: keras.Model, folder: Path) -> None:
        from models.export import load_keras, save_keras
        from models.fit import predict

        path = folder / "model.keras"
        try:
            with self._trying("network.build", "the network, saved and loaded again"):
                save_keras(model, path)
                loaded = load_keras(path, objects=user_objects(self.project))
                before, after = predict(model, self.batch.inputs), predict(loaded, self.batch.inputs)
                kept = _same_loss(model, loaded, self.batch.targets, before)
        except Trouble as trouble:
            raise _trouble("network.build", self._own_advice(trouble.problem.text, folder)) from trouble
        largest = float(np.abs(after - before).max())
        if not largest <= _SAME * max(1.0, float(np.abs(before).max())):
            raise _trouble(
                "network.build",
                f"the network, saved and loaded again, answers otherwise, by up to {largest:.3g}. Make every "
                "weight with self.add_weight or in a layer, so that Keras saves it",
            )
        if not kept:
            raise _trouble(
                "network.loss",
                "the loss, saved and loaded again, gives other numbers, and an update would learn by them. Leave "
                "compiling to losswatch and write loss and loss_parameters in [network], or give a class of your own "
                "a get_config with all its settings",
            )

    def _export(self, model: keras.Model, folder: Path) -> None:
        from models.export import NotExportable, export_onnx

        with self._trying("network.build", "the export to ONNX"):
            try:
                export = export_onnx(model, folder / "model.onnx", self.batch.inputs)
            except NotExportable as error:
                self._serve_by_keras(str(error), folder / "model.keras")
                return
        self._find(engine="onnx", largest_difference=export.largest_difference)

    def _serve_by_keras(self, why: str, path: Path) -> None:
        """The server has the version's files and none of the user's modules."""
        from models.export import load_keras

        try:
            load_keras(path, compiled=False)
        except ValueError:
            text = (
                f"{why} Keras would have to serve it, and the server does not know layers of your own. "
                "Build it from Keras's layers, or so that ONNX can hold it"
            )
            raise _trouble("network.build", text) from None
        self._find(engine="keras")
        self._warn("network.build", f"{why} It will be served by Keras, slower, and all else works")

    def _own_advice(self, text: str, folder: Path) -> str:
        """The text, and how Keras finds layers and a loss of the user's own where there are any."""
        own = [self.project.config.code.build, self.project.config.network.loss]
        advice = f". {_REGISTER}" if any(":" in (reference or "") for reference in own) else ""
        return f"{text.replace(f'{folder}/', '').rstrip('.')}{advice}"

    def _find(self, **facts: Any) -> None:
        self.found = dataclasses.replace(self.found, **facts)

    def _warn(self, about: str, text: str) -> None:
        self.problems.append(Problem("warning", about, text))


def _trouble(about: str, text: str) -> Trouble:
    return Trouble(Problem("fault", about, text))


def _same_loss(model: keras.Model, loaded: keras.Model, targets: npt.NDArray[Any], answers: Any) -> bool:
    """Whether both learn by the same loss."""
    from models.recipe import row_losses_through_keras

    if model.loss is None:
        return True
    ours, theirs = (row_losses_through_keras(one.loss, targets, answers) for one in (model, loaded))
    return bool(np.allclose(ours, theirs, rtol=1e-5, equal_nan=True))


class _Built:
    """A build that remembers whether the network came compiled."""

    def __init__(self, build: Callable[[Schema], Any]) -> None:
        self._build, self.compiled = build, False

    def __call__(self, schema: Schema) -> Any:
        model = self._build(schema)
        self.compiled = bool(getattr(model, "compiled", False))
        return model


def _other_loss(model: keras.Model, goal: Objective) -> str | None:
    """What a network says that was compiled with another loss than the one by which it is judged."""
    loss = model.loss
    if not isinstance(loss, str) or ":" in goal.name:
        return None
    try:
        if canonical(loss) == canonical(goal.name):
            return None
    except ValueError:
        pass
    return (
        f"compiles the network with loss {loss!r} and it is judged by {goal.name!r}. "
        f'Write loss = "{loss}" in [network], or leave compiling to losswatch'
    )
