"""The report: what a person sees, what a program reads, and missed targets."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from bench.report import Report, jsonable


def drawn(report: Report) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=120))
    return out.getvalue()


def test_a_table_shows_its_rows_and_a_dash_where_nothing_was_measured() -> None:
    report = Report("core", notes=["how it was done"])
    table = report.table("Time", ("system", "median_us", "coverage", "never"))
    table.add({"system": "tipoff", "median_us": 12.5})
    table.add({"system": "peer", "median_us": 7.0, "coverage": float("nan")})
    text = drawn(report)
    for part in ("Time", "median us", "tipoff", "12.5", "how it was done"):
        assert part in text
    assert text.count(" - ") == 2
    assert "never" not in text


def test_a_column_that_was_not_announced_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="other"):
        Report("core").table("Time", ("system",)).add({"other": 1})


def test_a_missed_target_is_said_and_one_that_is_met_is_not() -> None:
    report = Report("shelf")
    report.target("PCP", 95.0, 95.0)
    assert not report.missed
    report.target("PCP", 94.99, 95.0)
    report.target("PCP", float("nan"), 95.0)
    assert len(report.missed) == 2
    assert "target missed: PCP is 94.99" in drawn(report)


def test_the_document_is_json_whatever_numbers_are_in_it() -> None:
    report = Report("core")
    report.table("T", ("a", "b")).add({"a": np.float64(1.5), "b": float("nan")})
    report.details["x"] = {1: (np.int64(2), float("inf")), "y": [True, None, "text"]}
    text = json.dumps(report.document(), allow_nan=False)
    document = json.loads(text)
    assert document["tables"][0]["rows"] == [{"a": 1.5, "b": None}]
    assert document["details"]["x"] == {"1": [2, None], "y": [True, None, "text"]}
    assert jsonable(np.bool_(True)) is True
