"""What a suite found: tables for people, a JSON for programs, and whether targets were met."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rich.table
from rich.console import Console

FILE_WIDTH = 160
"""How wide tables are drawn where no terminal says how wide it is."""


@dataclass(slots=True)
class Table:
    """Rows of one kind."""

    title: str
    """What is measured, in which unit."""
    columns: Sequence[str]
    """In order; a column holds one unit, said last in its name."""
    rows: list[Mapping[str, object]] = field(default_factory=list)
    """What was measured; a column may be absent in a row."""

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row."""
        unknown = set(row) - set(self.columns)
        assert not unknown, f"{unknown} are no columns"
        self.rows.append(row)

    def drawn(self) -> rich.table.Table:
        """For a terminal."""
        table = rich.table.Table(title=self.title, title_justify="left")
        measured = [c for c in self.columns if any(c in row for row in self.rows)]
        for column in measured:
            words = any(isinstance(row.get(column), str) for row in self.rows)
            table.add_column(column.replace("_", " "), justify="left" if words else "right")
        for row in self.rows:
            table.add_row(*(_cell(row.get(c)) for c in measured))
        return table


@dataclass(slots=True)
class Report:
    """Everything that a suite hands back."""

    suite: str
    """Its name."""
    tables: list[Table] = field(default_factory=list)
    """What was measured."""
    notes: list[str] = field(default_factory=list)
    """How it was measured, below the tables."""
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else belongs into the JSON."""
    missed: list[str] = field(default_factory=list)
    """Targets that were not met, in words; any makes the exit code 1."""

    def table(self, title: str, columns: Sequence[str]) -> Table:
        """Begin a table."""
        self.tables.append(Table(title, columns))
        return self.tables[-1]

    def target(
        self, name: str, value: float, least: float = -math.inf, most: float = math.inf
    ) -> None:
        """Note a target that `value` does not reach."""
        if not value >= least:
            self.missed.append(f"{name} is {value:.2f}, the target is at least {least:g}")
        elif not value <= most:
            self.missed.append(f"{name} is {value:.2f}, the target is at most {most:g}")

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Say on stderr what is going on."""
        console = Console(stderr=True)
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
            "tables": [
                {"title": t.title, "columns": list(t.columns), "rows": jsonable(t.rows)}
                for t in self.tables
            ],
            "notes": list(self.notes),
            "details": jsonable(self.details),
            "targets_missed": list(self.missed),
        }

    def show(self, console: Console | None = None) -> None:
        """Draw the tables, the notes and what was missed on stdout."""
        out = console if console is not None else stdout()
        for table in self.tables:
            out.print(table.drawn())
        for note in self.notes:
            out.print(note, style="dim", highlight=False)
        for miss in self.missed:
            out.print(f"target missed: {miss}", style="bold red", highlight=False)


def stdout() -> Console:
    """Where results go; wide enough for the tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


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
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
