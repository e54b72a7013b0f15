"""Figures as people write them: their names, and numbers in a sentence."""

from __future__ import annotations

import math

_NAMES = {"auc": "AUC", "f1": "F1", "r2": "R²", "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "mape": "MAPE"}


def in_words(name: str) -> str:
    """A figure's name as people write it; a user's own, "module:name", stays as it is.

    >>> in_words("balanced_accuracy"), in_words("auc"), in_words("pinball_10")
    ('balanced accuracy', 'AUC', 'pinball loss of 10 %')
    """
    if ":" in name:
        return name
    if name.startswith("pinball_"):
        return f"pinball loss of {name.removeprefix('pinball_')} %"
    return _NAMES.get(name, name.replace("f1_", "F1 ").replace("_", " "))


def written(value: float, digits: int = 4) -> str:
    """A number in a sentence: so many digits, all of a large one's, and no power of ten between a million and 1e-5.

    >>> written(0.526249), written(49_026.3), written(-0.00123456, 2), written(3e9), written(5.0)
    ('0.5262', '49,026', '-0.0012', '3e+09', '5')
    """
    if not math.isfinite(value):
        return "unknown"
    size = abs(value)
    if size >= 10**digits and size < 1e7:
        return f"{value:,.0f}"
    if 1e-5 <= size < 1:
        decimals = digits - 1 - math.floor(math.log10(size))
        text = f"{value:.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits}g}" if size >= 1e7 or size < 1 else f"{value:,.{digits}g}"
