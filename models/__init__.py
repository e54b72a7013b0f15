"""Networks and arrays: what a row is, what a network learns from it, and how good the answers are.

The public names are loaded when they are first used, so that importing the package never starts Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Answers": "evaluation",
    "CategoryColumn": "schema",
    "CheckedRows": "row_checks",
    "Contest": "evaluation",
    "CrossValidation": "cross_validation",
    "Curve": "curve",
    "Diagnose": "diagnosis_callback",
    "Diagnosis": "diagnosis",
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
    "PrepareConfig": "preparation",
    "Probe": "loss_advice",
    "RateRange": "rate_range",
    "Recipe": "recipe",
    "Resampling": "intervals",
    "Restarted": "restarts",
    "RowWriter": "row_files",
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
    "checked": "row_checks",
    "cross_validate": "cross_validation",
    "default_loss": "losses",
    "diagnose": "diagnosis",
    "evaluate": "evaluation",
    "export_onnx": "export",
    "fit_forest": "baselines",
    "fit_last_values": "baselines",
    "fit_restarts": "restarts",
    "fit_simple": "baselines",
    "fit_svm": "baselines",
    "fit_trees": "baselines",
    "forward_folds": "cross_validation",
    "group_folds": "cross_validation",
    "infer_task": "schema",
    "integrated_gradients": "importance",
    "load_keras": "export",
    "may_register": "diagnosis",
    "mean_intervals": "intervals",
    "open_rows": "row_files",
    "permutation_importance": "importance",
    "plain_folds": "cross_validation",
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
    "split_by_group": "split",
    "split_in_time": "split",
    "split_stratified": "split",
    "stratified_folds": "cross_validation",
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
