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
    "FitConfig": "recipe",
    "Fitted": "fit",
    "Interval": "intervals",
    "KNOWN_LOSSES": "losses",
    "LossHistory": "history",
    "NetworkConfig": "recipe",
    "NotExportable": "export",
    "NumberColumn": "schema",
    "OnnxExport": "export",
    "Recipe": "recipe",
    "Resampling": "intervals",
    "Rows": "rows",
    "Schema": "schema",
    "SchemaError": "schema",
    "Scores": "evaluation",
    "SimpleModel": "baselines",
    "Slice": "slices",
    "Split": "split",
    "Target": "schema",
    "best_constant": "baselines",
    "check_loss": "losses",
    "default_loss": "losses",
    "evaluate": "evaluation",
    "export_onnx": "export",
    "fit_forest": "baselines",
    "fit_last_values": "baselines",
    "fit_simple": "baselines",
    "fit_svm": "baselines",
    "fit_trees": "baselines",
    "infer_task": "schema",
    "integrated_gradients": "importance",
    "load_keras": "export",
    "mean_intervals": "intervals",
    "permutation_importance": "importance",
    "predict": "fit",
    "recipe_from": "recipe",
    "rehearsal": "rows",
    "resampling": "intervals",
    "row_losses": "losses",
    "save_keras": "export",
    "score_models": "evaluation",
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
