"""A command that runs in the background, as in a terminal of its own."""

import os
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Timer

# A fork of a process that has imported the command: starting Python for each command would take most of the time.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["leadpay.cli", "leadpay.inbox.sqlite", "leadpay.inbox.postgres", "pytest"])

TIMEOUT = 20.0
"""How long to wait for a command to print what is expected, or to end, in seconds."""


class Terminal:
    """Runs ``leadpay`` with some arguments, in this environment and in a folder, until it is closed."""

    def __init__(self, arguments: Sequence[str], folder: str) -> None:
        reader, writer = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_run, args=(writer, list(arguments), folder, dict(os.environ)))
        self._process.start()
        writer.close()
        self._output = os.fdopen(os.dup(reader.fileno()), closefd=True)
        reader.close()

    def read(self, lines: int) -> str:
        """Wait for this number of lines and return them; fewer if the command ends or is too slow."""
        timer = Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            return "".join(self._output.readline() for _ in range(lines))
        finally:
            timer.cancel()

    def close(self) -> None:
        """Stop the command, as Ctrl-C would."""
        self._process.terminate()
        self._process.join(TIMEOUT)
        self._output.close()


def _run(writer: Connection, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    from leadpay.cli import run  # noqa: PLC0415 - the fork server has imported it already

    os.environ.clear()  # the fork server has the environment of the first terminal
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(writer.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    run(arguments)
