"""NannyML on the runs of `benchmarks.estimate`, in the peers' environment: estimate_peer.py RUNS.npz ANSWERS.json.

RUNS.npz holds for each run r: r/reference/inputs, answers, targets and r/windows/..., windows one after the other.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from nannyml import CBPE, DLE  # noqa: E402


def frame_of(stored, place, part, classes):
    inputs, answers, targets = (stored[f"{place}/{part}/{name}"] for name in ("inputs", "answers", "targets"))
    frame = pd.DataFrame(inputs, columns=[f"x{column}" for column in range(inputs.shape[1])])
    if not classes:
        return frame.assign(answer=answers[:, 0], target=targets)
    chances = np.column_stack([1 - answers[:, 0], answers[:, 0]]) if classes == 2 else answers
    frame = frame.assign(**{f"chance{one}": chances[:, one] for one in range(classes)})
    frame["answer"] = chances.argmax(axis=1)
    frame["target"] = targets.astype(int)
    if classes > 2:
        frame["answer"], frame["target"] = frame["answer"].astype(str), frame["target"].astype(str)
    return frame


def losses_of_classes(before, after, classes, rows):
    chances = "chance1" if classes == 2 else {str(one): f"chance{one}" for one in range(classes)}
    estimator = CBPE(
        metrics=["accuracy"],
        y_pred="answer",
        y_pred_proba=chances,
        y_true="target",
        problem_type="classification_binary" if classes == 2 else "classification_multiclass",
        chunk_size=rows,
    ).fit(before)
    found = estimator.estimate(after).filter(period="analysis").to_df()["accuracy"]
    answers = {"error": {"loss": (1 - found["value"]).tolist(), "sampling": found["sampling_error"].tolist()}}
    if classes == 2:  # it has no log loss: the mean of -log under the chances that it calibrated
        raw = np.clip(after["chance1"].to_numpy(), 1e-7, 1 - 1e-7)
        own = estimator.calibrator.calibrate(raw) if estimator.needs_calibration else raw
        losses = -(own * np.log(raw) + (1 - own) * np.log1p(-raw))
        answers["log"] = {"loss": losses.reshape(-1, rows).mean(axis=1).tolist()}
    return answers


def losses_of_numbers(before, after, rows):
    estimator = DLE(
        feature_column_names=[name for name in before if name.startswith("x")],
        y_pred="answer",
        y_true="target",
        metrics=["mse", "mae"],
        chunk_size=rows,
        hyperparameters={"n_jobs": 1, "verbose": -1},  # the defaults, on one core and silent
    ).fit(before)
    found = estimator.estimate(after).filter(period="analysis").to_df()
    return {
        loss: {"loss": found[name]["value"].tolist(), "sampling": found[name]["sampling_error"].tolist()}
        for loss, name in (("squared", "mse"), ("absolute", "mae"))
    }


def main(runs, answers):
    stored = np.load(runs)
    classes, rows = int(stored["classes"]), int(stored["rows"])
    found = []
    for place in range(int(stored["runs"])):
        before, after = (frame_of(stored, place, part, classes) for part in ("reference", "windows"))
        after = after.drop(columns="target")
        found.append(
            losses_of_classes(before, after, classes, rows)
            if classes
            else losses_of_numbers(before, after, rows)
        )
    with open(answers, "w", encoding="utf-8") as file:
        json.dump(found, file)


main(*sys.argv[1:])
