"""Figures in the text format of Prometheus."""

from __future__ import annotations

import re

from pipelines.serving_figures import Figures


def text_of(figures: Figures, version: int | None = 3) -> str:
    return figures.text({"connections": ("connections that are open", 2.0)}, version)


def test_answers_are_counted_by_path_and_status_and_those_of_rows_by_time() -> None:
    figures = Figures()
    for path, status, seconds in (
        ("/invocations", 200, 0.0003),
        ("/invocations", 400, 3.0),
        ("/ping", 200, 1.0),
    ):
        figures.answered(path, status, seconds)
    text = text_of(figures)
    assert 'losswatch_requests_total{path="/invocations",status="200"} 1' in text
    assert 'losswatch_requests_total{path="/ping",status="200"} 1' in text
    buckets = dict(re.findall(r'bucket\{le="([^"]+)"\} (\d+)', text))
    assert (buckets["0.00025"], buckets["0.0005"], buckets["2.5"], buckets["+Inf"]) == ("0", "1", "1", "2")
    assert "losswatch_request_seconds_sum 3.000300" in text
    assert "losswatch_request_seconds_count 2" in text


def test_every_line_is_of_the_format() -> None:
    figures = Figures()
    figures.rows = 5
    for line in text_of(figures).splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.e\d]+', line), (
            line
        )
    assert "losswatch_rows_total 5" in text_of(figures)
    assert 'losswatch_version_info{version="3"} 1' in text_of(figures)
    assert "version_info{" not in text_of(figures, None)
