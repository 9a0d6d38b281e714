"""Commands that run in processes of their own until a signal."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def running(*arguments: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """Start a command, yield its standard input and output, and stop it with SIGTERM: its exit code must be 0."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "leadpay", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin, process.stdout:
            yield process.stdin, process.stdout
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


def request_status(url: str, method: str) -> int:
    """Send an HTTP request without a body and return the status of the response."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
