"""Networks and arrays: what a row is, what a network learns from it, and how good the answers are.

The public names are loaded when they are first used, so that importing the package never starts Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Answers": "evaluation",
    "CategoryColumn": "schema",
    "Contest": "evaluation",
    "Diverged": "fit",
    "EpochLoss": "history",
    "Evaluation": "evaluation",
    "Fault": "schema",
    "Finding": "loss_advice",
    "FitConfig": "recipe",
    "Fitted": "fit",
    "Interval": "intervals",
    "KNOWN_LOSSES": "losses",
    "LossHistory": "history",
    "LossScale": "loss_scale",
    "NamedLoss": "losses",
    "NetworkConfig": "recipe",
    "NotExportable": "export",
    "NumberColumn": "schema",
    "OnnxExport": "export",
    "OptimizerConfig": "optimizers",
    "OutputLosses": "outputs",
    "Probe": "loss_advice",
    "RateRange": "rate_range",
    "Recipe": "recipe",
    "Resampling": "intervals",
    "Restarted": "restarts",
    "Rows": "rows",
    "Schedule": "schedules",
    "Schema": "schema",
    "SchemaError": "schema",
    "Scores": "evaluation",
    "SimpleModel": "baselines",
    "Slice": "slices",
    "Sparsity": "sparsity",
    "Split": "split",
    "Target": "schema",
    "advice": "loss_advice",
    "best_constant": "baselines",
    "check_loss": "losses",
    "default_loss": "losses",
    "evaluate": "evaluation",
    "export_onnx": "export",
    "fit_forest": "baselines",
    "fit_last_values": "baselines",
    "fit_restarts": "restarts",
    "fit_simple": "baselines",
    "fit_svm": "baselines",
    "fit_trees": "baselines",
    "infer_task": "schema",
    "integrated_gradients": "importance",
    "load_keras": "export",
    "mean_intervals": "intervals",
    "permutation_importance": "importance",
    "predict": "fit",
    "predict_each": "outputs",
    "recipe_from": "recipe",
    "rehearsal": "rows",
    "resampling": "intervals",
    "row_losses": "losses",
    "row_losses_each": "outputs",
    "save_keras": "export",
    "score_models": "evaluation",
    "sign_fault": "losses",
    "split_at_random": "split",
    "split_in_time": "split",
    "update": "fit",
    "weakest_slices": "slices",
}  # public name -> its module; `fit` and `leakage` the functions stay in the modules that have their names

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
