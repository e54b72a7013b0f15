"""The page of a training: what it embeds, what it says, and what it never lets in."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from trainings import made_training as made

from models.history import EpochLoss
from pipelines.curve_page import description, page_data, render, write_curve_page
from pipelines.curve_view import CurveView
from pipelines.diagnosis import TrainingDiagnosis
from pipelines.kept_curve import NO_STEPS, KeptCurve, TrainingRecord


class Text(HTMLParser):
    """The text of each element that has an id or a heading, and the cells of the rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self._inside in ("th", "td") and data.strip():
            self.rows[-1].append(data)
        if self._inside not in ("script", "style"):
            self.words.append(data)


def embedded(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    return found


def words(page: str) -> str:
    return " ".join(" ".join(Text(page).words).split())


def with_record(kept: KeptCurve, **more: Any) -> KeptCurve:
    return dataclasses.replace(kept, record=dataclasses.replace(kept.record, **more))


# --- numbers ---


def test_the_script_gets_every_epoch_and_every_step() -> None:
    kept = made(3, 32)
    data = embedded(render(kept))
    assert data["epochs"] == [0, 1, 2]
    assert data["training"] == pytest.approx([epoch.loss for epoch in kept.epochs], rel=1e-5)
    assert data["validation"] == pytest.approx([epoch.validation_loss for epoch in kept.epochs], rel=1e-5)
    assert data["rate"] == pytest.approx([1e-3, 7e-4, 4.9e-4])
    assert (data["count"], data["steps"]["size"], len(data["steps"]["x"])) == (96, 1, 96)
    assert data["steps"]["high"] == pytest.approx(kept.steps.loss.tolist(), rel=1e-5)
    assert data["levels"][1] == {"name": "simple model", "loss": 0.53, "style": "simple"}
    assert data["best"] == {"epoch": 2, "loss": pytest.approx(kept.epochs[2].validation_loss, rel=1e-5)}
    assert data["metrics"][0]["name"] == "auc"
    assert data["curves"][1] == {
        "name": "F1 macro",
        "rows": [3125, 6250, 12500],
        "seen": [0.4, 0.42, 0.44],
        "unseen": [0.6, 0.575, 0.55],
        "lowest": [0.59, 0.565, 0.54],
        "highest": [0.62, 0.595, 0.57],
    }


def test_spikes_are_embedded_by_their_numbers() -> None:
    data = embedded(render(made()))
    assert [(spike["step"], spike["x"], spike["value"]) for spike in data["spikes"]] == [
        (900, 3.505, 9.0),
        (1600, 7.005, 5.0),
    ]
    assert [spike["step"] for spike in data["gradient_spikes"]] == [896, 1600]


def test_what_is_no_number_is_embedded_as_none() -> None:
    epochs = (EpochLoss(0, float("inf"), float("nan"), float("nan"), 0.1),)
    kept = KeptCurve("x", "r", "fit", 1, "", TrainingRecord("mse", epochs))
    data = page_data(CurveView(kept), 3)
    assert (data["training"], data["validation"], data["rate"]) == ([None], [None], [None])
    assert (data["steps"], data["gradients"], data["best"], data["logarithmic"]) == (None, None, None, False)


def test_the_table_holds_every_epoch() -> None:
    rows = Text(render(made(9, 0))).rows
    assert rows[0] == [
        "epoch", "training", "validation", "learning rate", "gradient", "auc", "auc, validation", "seconds"
    ]  # fmt: skip
    assert len(rows) == 10
    assert rows[1] == ["0", "0.652", "0.700", "0.001", "–", "0.6700", "0.6500", "1.50"]
    assert [row[0] for row in rows if "kept" in row[0]] == ["7, kept"]


def test_the_chart_is_told_in_words() -> None:
    said = description(CurveView(made()), 3)
    assert said.startswith("flights: training of version 3. binary_crossentropy: 12 epochs")
    assert "Validation loss from 0.700 to 0.517. Kept is epoch 7 with 0.506. Best constant: 0.690." in said
    assert said.endswith("2 spikes.")


# --- the diagnosis ---


def test_every_finding_is_told_with_evidence_cause_and_remedies() -> None:
    page = render(made())
    said = words(page)
    assert "Diagnosis spikes" in said
    assert "evidence 2 of 2,400 steps cost far more" in said
    assert "likely some batches hold rows that are wrong; or single steps are too long" in said
    assert "[network] clip_norm = 1.0 (long steps are cut) [network] batch_size = 512" in said
    assert said.count("likely") == 1
    assert "epoch 7 is kept; after it the validation loss rose from 0.5 to 0.6" in said


def test_a_healthy_curve_is_told_so() -> None:
    healthy = TrainingDiagnosis("healthy", (), ("the loss curve is healthy (12 epochs)",))
    page = render(with_record(made(), diagnosis=healthy))
    assert '<span class="kind good">healthy</span>' in page
    assert "the loss curve is healthy (12 epochs)" in words(page)


def test_a_training_that_failed_says_why() -> None:
    failure = "nothing was registered: the training diverged\n  try: [network] learning_rate = 0.0001"
    diverged = TrainingDiagnosis("divergence", (), tuple(failure.splitlines()))
    failed = dataclasses.replace(with_record(made(), diagnosis=diverged), version=None, failure=failure)
    said = words(render(failed))
    assert "flights: training of run abcdef01" in said
    assert "Diagnosis divergence nothing was registered: the training diverged try: [network]" in said
    found = dataclasses.replace(made(), version=None, failure="nothing was registered: x\nspikes: y")
    assert "spikes nothing was registered: x" in words(render(found))
    assert "spikes: y" not in words(render(found))


def test_a_retraining_without_a_diagnosis_says_who_judges_it() -> None:
    page = render(with_record(made(4, 0), diagnosis=None))
    assert '<span class="kind quiet">not judged</span>' in page
    assert "a retraining is judged by the gate" in words(page)


# --- what is there, and what is not ---


def test_what_is_not_known_has_no_place() -> None:
    bare = dataclasses.replace(made(3, 0), learning_curves=(), verdicts=())
    page = render(bare)
    assert 'id="metrics-plot"' in page
    assert 'id="rows-plot"' not in page
    assert "By learning rate" not in page
    assert 'data-line="raw"' not in page


def test_a_rate_range_is_shown_where_there_is_one() -> None:
    page = render(made(), rates="<svg/>")
    assert "By learning rate" in page
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page


def test_a_training_of_which_nothing_is_known_has_a_page_all_the_same() -> None:
    nothing = KeptCurve("x", "r", "fit", None, "why", TrainingRecord("mse", ()), NO_STEPS)
    said = words(render(nothing))
    assert "No step of this training is known." in said
    assert "Diagnosis failed why" in said


def test_words_from_outside_stay_words() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    finding = {"kind": evil, "evidence": evil, "causes": [evil], "remedies": [evil]}
    record = {
        "loss_name": evil,
        "baselines": {evil: 0.6},
        "diagnosis": TrainingDiagnosis(evil, (finding,), (evil, f"  {evil}")),
        "epochs": (EpochLoss(0, 0.5, 0.5, 1e-3, 0.1, {evil: 0.5}),),
    }
    kept = dataclasses.replace(with_record(made(), **record), name=evil, failure=evil, verdicts=(evil,))
    page = render(kept)
    assert "<img src=x" not in page
    assert page.count("</script>") == 2


def test_a_long_training_fits_into_a_page(tmp_path: Path) -> None:
    path = write_curve_page(made(100, 1500), tmp_path / "training.html")
    assert path.stat().st_size < 250_000
    assert len(embedded(path.read_text("utf-8"))["steps"]["x"]) <= 2000
