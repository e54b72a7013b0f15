"""What MLflow's loaders run for a version: this file is stored with it, as code, so nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class BundleModel(PythonModel):
    """Answers a raw frame of the user's columns.

    One number for each row, shape (n,): the value for a regression, the probability of the second class for
    two classes; for k classes their probabilities, shape (n, k), in the order of the schema's classes.
    """

    def load_context(self, context: PythonModelContext) -> None:
        from pipelines.scoring import Scorer  # here: MLflow runs this file whenever a version is made, too

        self.scorer = Scorer(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        prediction = self.scorer.predict(cast(Mapping[str, Any], model_input))
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction


set_model(BundleModel())
