"""What the command prints: lines for people, tables, and JSON for programs."""

import signal
import sys
from asyncio import FIRST_COMPLETED, Event, create_task, get_running_loop, wait
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from leadpay.converter import encode, unstructure

PIPE_WIDTH: Final = 1000
"""How wide a table may be where no terminal bounds it, in characters: wider than any row."""


def say(text: str, *, file: Any = None) -> None:
    """Print a line at once."""
    print(text, file=file, flush=True)


def say_json(data: Any) -> None:
    """Print one object on one line, for programs."""
    say(encode(data).decode())


def say_model(model: Any) -> None:
    """Print a model on one line, as the bank has it."""
    say_json(unstructure(model))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for a person; nothing is cut off, and in a pipe each row is one line."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if is_terminal else PIPE_WIDTH, markup=False, highlight=False)
    console.print(shown)


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """Show on a terminal's standard error that something goes on; the value takes how far it is."""
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda count: bar.update(task, completed=count)


@asynccontextmanager
async def until_stopped() -> AsyncIterator[Event]:
    """Give an event that Ctrl-C and SIGTERM set."""
    stopped = Event()
    loop = get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def unless(stopped: Event, work: Coroutine[Any, Any, None]) -> None:
    """Do something, however long it takes, but drop it once the event is set."""
    doing, waiting = create_task(work), create_task(stopped.wait())
    try:
        await wait([doing, waiting], return_when=FIRST_COMPLETED)
    finally:
        dropped = doing.cancel()
        waiting.cancel()
        await wait([doing, waiting])
    if not dropped:
        doing.result()


def masked(text: str) -> str:
    """Hide all but the last four characters of an account number; of a name, all."""
    return f"…{text[-4:]}" if text.isdigit() and len(text) > len("1234") else "…"
