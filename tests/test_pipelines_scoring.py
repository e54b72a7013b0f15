"""A version answers rows as it did when it was made, quickly, and without what it does not need."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import versions

from models.schema import SchemaError, Task
from pipelines.bundle import BrokenBundle, read_bundle
from pipelines.scoring import Scorer, last_layer_of


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.load(versions.write_version(tmp_path_factory.mktemp("scoring") / "binary"))


@pytest.mark.parametrize(("task", "outputs"), [("binary", 1), ("multiclass", 3), ("regression", 1)])
def test_there_is_a_row_of_outputs_for_each_row(task: Task, outputs: int, tmp_path: Path) -> None:
    scorer = Scorer.load(versions.write_version(tmp_path / task, task))
    answers = scorer.predict(versions.frame(5))
    assert answers.shape == (5, outputs)
    assert answers.dtype == np.float32
    assert scorer.engine == "onnx"
    assert scorer.golden_ok()


def test_a_frame_and_a_mapping_give_the_same_answers(scorer: Scorer) -> None:
    rows = versions.frame(20)
    np.testing.assert_array_equal(scorer.predict(rows), scorer.predict(pd.DataFrame(rows)))


def test_many_rows_are_answered_as_a_few_are(scorer: Scorer) -> None:
    rows = versions.frame(20_000)
    few = {name: values[8190:8195] for name, values in rows.items()}
    np.testing.assert_allclose(scorer.predict(rows)[8190:8195], scorer.predict(few), rtol=1e-6)


def test_activations_are_those_of_keras_and_depend_on_no_row_beside(tmp_path: Path) -> None:
    import keras

    from models.export import export_onnx

    folder = versions.write_version(tmp_path / "deep")
    inputs = read_bundle(folder).schema.inputs(versions.frame(700))
    rows = keras.Input((inputs.shape[1],))
    hidden = keras.layers.Dense(37, activation="tanh")(keras.layers.Dense(64, activation="relu")(rows))
    model = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(hidden))
    assert export_onnx(model, folder / "model.onnx", inputs[:50]).faithful
    activations = last_layer_of(read_bundle(folder))
    assert activations is not None
    whole = activations(inputs)
    np.testing.assert_allclose(whole, np.asarray(keras.Model(rows, hidden)(inputs)), rtol=1e-4, atol=1e-5)
    for start, end in ((0, 1), (1, 300), (300, 700)):
        np.testing.assert_array_equal(activations(inputs[start:end]), whole[start:end])
    assert activations(inputs[:0]).shape == (0, 37)
    assert Scorer.load(folder).predict(versions.frame(3)).shape == (3, 1)  # the answers are what they were


def test_a_version_without_a_last_layer_or_without_onnx_has_no_activations(tmp_path: Path) -> None:
    folder = versions.write_version(tmp_path / "linear")
    assert last_layer_of(read_bundle(folder)) is None
    (folder / "model.onnx").unlink()
    assert last_layer_of(read_bundle(folder)) is None


def test_no_rows_give_no_answers(scorer: Scorer) -> None:
    none: dict[str, list[Any]] = {name: [] for name in versions.frame(1)}
    assert scorer.predict(none).shape == (0, 1)


def test_a_column_that_is_missing_is_named(scorer: Scorer) -> None:
    rows = versions.frame(2)
    del rows["wind"]
    with pytest.raises(SchemaError, match="column 'wind' is missing"):
        scorer.predict(rows)


def test_threads_may_share_a_scorer(scorer: Scorer) -> None:
    rows = versions.frame(200)
    alone = scorer.predict(rows)
    with ThreadPoolExecutor(8) as threads:
        for answers in threads.map(lambda _: scorer.predict(rows), range(40)):
            np.testing.assert_array_equal(answers, alone)


def test_a_version_that_answers_otherwise_than_when_it_was_made_is_found_out(tmp_path: Path) -> None:
    assert not Scorer.load(versions.write_version(tmp_path / "wrong", golden_shift=0.01)).golden_ok()


def test_a_version_without_known_answers_is_not_in_order(tmp_path: Path) -> None:
    folder = versions.write_version(tmp_path / "none")
    (folder / "golden.json").write_text('{"rows": [], "predictions": []}')
    assert not Scorer.load(folder).golden_ok()


def test_a_folder_that_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenBundle, match=r"golden\.json missing"):
        Scorer.load(tmp_path)


def test_scoring_imports_neither_pandas_nor_keras(tmp_path: Path) -> None:
    folder = versions.write_version(tmp_path / "version")
    code = (
        "import sys; from pathlib import Path; from pipelines.scoring import Scorer\n"
        "assert Scorer.load(Path(sys.argv[1])).golden_ok()\n"
        "assert not {'pandas', 'keras', 'tensorflow', 'mlflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


@pytest.mark.slow
def test_a_network_that_could_not_be_exported_is_answered_by_keras(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "import keras\n"
        "from models.export import save_keras\n"
        "from pipelines.scoring import Scorer\n"
        "folder = Path(sys.argv[1])\n"
        "onnx = Scorer.load(folder)\n"
        "rows = {name: [row[name] for row in onnx.bundle.golden.rows] for name in onnx.schema.column_names}\n"
        "inputs = keras.Input((onnx.schema.width,))\n"
        "model = keras.Model(inputs, keras.layers.Dense(1, 'sigmoid')(inputs))\n"
        "save_keras(model, folder / 'model.keras')\n"
        "(folder / 'model.onnx').unlink()\n"
        "scorer = Scorer.load(folder)\n"
        "answers = scorer.predict(rows)\n"
        "assert scorer.engine == 'keras'\n"
        "assert answers.shape == (8, 1) and answers.dtype == np.float32\n"
        "expected = np.asarray(model(onnx.schema.inputs(rows)))\n"
        "np.testing.assert_allclose(answers, expected, rtol=1e-5)\n"
        "assert not scorer.golden_ok()\n"
    )
    folder = versions.write_version(tmp_path / "version")
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
