"""Printing: lines and tables for people, JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from leadpay.converter import encode, unstructure
from leadpay.masking import fields

PIPE_WIDTH: Final = 1000
"""The width of a table in a pipe or file, in characters: wider than any row, so that each row is one line."""


def print_line(text: str, *, file: Any = None) -> None:
    """Print a line and flush it."""
    print(text, file=file, flush=True)


def print_json(data: Any) -> None:
    """Print an object as one line of JSON."""
    print_line(encode(data).decode())


def print_model(model: Any) -> None:
    """Print a model as one line of JSON, as the bank sends it."""
    print_json(unstructure(model))


def print_fields(data: Any) -> None:
    """Print nested JSON, one field per line, with personal data masked."""
    for path, value in flatten(data):
        print_line(f"{path:<41} {value}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Each row is one line, so that an ID can be copied: a narrow terminal wraps it by itself."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console = Console(file=sys.stdout, width=PIPE_WIDTH, markup=False, highlight=False)
    console.print(shown)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int], None]]:
    """Show a counter on standard error while the context is open, if it is a terminal; yields its setter."""
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda count: bar.update(task, completed=count)


def flatten(data: Any) -> list[tuple[str, str]]:
    """Convert nested JSON to pairs of path and text; names, account numbers and free text are masked."""
    return [(field.path, field.shown) for field in fields(data)]


def csv_cell(text: str | None) -> str:
    """Write a text that a user chose, so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""


def format_cents(cents: int) -> str:
    """Format cents as dollars."""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def format_time(time: datetime) -> str:
    """Format a time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}"
