"""docs/usage.md, written by hand, names every field of the record, every column and metric that there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from engine.observe.metrics import Metrics
from engine.runtime.record import AttemptRecord, BudgetUse, DecisionRecord
from engine.usage.export import COLUMNS
from engine.usage.sums import FIXED
from engine.wire.pricing import Cost

PAGE = (Path(__file__).parents[2] / "docs" / "usage.md").read_text()
NAMED = frozenset(re.findall(r"`([a-z_0-9]+)`", PAGE))


@pytest.mark.parametrize(
    "kind", [DecisionRecord, AttemptRecord, BudgetUse, Cost], ids=lambda kind: kind.__name__
)
def test_every_field_of_the_record(kind: type) -> None:
    assert {field.name for field in dataclasses.fields(kind)} <= NAMED


def test_every_column_and_every_name_of_by() -> None:
    assert set(COLUMNS) <= NAMED
    assert set(FIXED) <= NAMED


def test_the_columns_are_those_of_its_table() -> None:
    table = PAGE.split("| column | |")[2].split("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", "".join(row.split("|")[1] for row in table.splitlines() if "`" in row))
    assert sorted(named) == sorted(COLUMNS)


def test_its_metrics_exist() -> None:
    assert "engine_cost_usd_total" in PAGE
    assert b"engine_requests_without_room" in Metrics().exposition()
