"""What a suite found: a table for people, a JSON for programs, and whether targets were met."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Report:
    """Rows of one table, with what stands behind them."""

    suite: str
    """Its name."""
    columns: Sequence[str]
    """In order of the table; a column holds one unit, said last in its name."""
    rows: list[Mapping[str, object]] = field(default_factory=list)
    """What was measured; a column may be absent in a row."""
    notes: list[str] = field(default_factory=list)
    """How it was measured, below the table."""
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else belongs into the JSON."""
    missed: list[str] = field(default_factory=list)
    """Targets that were not met, in words; any makes the exit code 1."""
    quiet: bool = False
    """Say nothing while working."""

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row."""
        unknown = set(row) - set(self.columns)
        assert not unknown, f"{unknown} are no columns"
        self.rows.append(row)

    def target(self, name: str, value: float, least: float) -> None:
        """Note a target that `value` does not reach."""
        if not value >= least:
            self.missed.append(f"{name} is {value:.2f}, the target is at least {least:g}")

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Say on stderr what is going on."""
        console = Console(stderr=True, quiet=self.quiet)
        if console.is_terminal:
            with console.status(f"{self.suite}: {what}"):
                yield
            return
        console.print(f"{self.suite}: {what} ...", highlight=False)
        yield

    def document(self) -> dict[str, Any]:
        """The JSON's part of this; NaN becomes null."""
        return {
            "suite": self.suite,
            "columns": list(self.columns),
            "rows": [jsonable(dict(row)) for row in self.rows],
            "notes": list(self.notes),
            "details": jsonable(self.details),
            "targets_missed": list(self.missed),
        }

    def show(self, console: Console) -> None:
        """Draw the table, the notes and what was missed."""
        used = [c for c in self.columns if any(c in row for row in self.rows)]
        table = Table(title=f"suite={self.suite}", title_justify="left")
        for column in used:
            words = any(isinstance(row.get(column), str) for row in self.rows)
            table.add_column(column.replace("_", " "), justify="left" if words else "right")
        for row in self.rows:
            table.add_row(*(_cell(row.get(c)) for c in used))
        console.print(table)
        for note in self.notes:
            console.print(note, style="dim", highlight=False)
        for miss in self.missed:
            console.print(f"target missed: {miss}", style="bold red", highlight=False)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return str(value)


def jsonable(value: Any) -> Any:
    """The same in what JSON can hold: NaN and infinities as null, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value
