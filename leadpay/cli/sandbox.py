"""``leadpay sandbox``: run the simulated bank."""

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from leadpay.cli.console import has_console, sandbox_console
from leadpay.cli.options import ClientSecret, WebhookSecret
from leadpay.cli.output import print_line
from leadpay.cli.signals import stop_event
from leadpay.errors import ConfigurationError
from leadpay.sandbox import ManualClock, Sandbox, describe, describe_faults
from leadpay.sandbox.delivery import Attempt
from leadpay.sandbox.faults import FORM

HELP: Final = f"""Run the simulated bank until Ctrl-C, and print the environment variables that connect to it.

While it runs, it reads commands from standard input: `+30`, `+5m`, `+3h` or `+10d` moves the clock (with
--clock manual), `release ID` continues a held payment, `refuse ID [REASON]` rejects it, `next OUTCOME [incoming]`
chooses the outcome of the next payment.

{describe()}

Faults (--fault {FORM}):
{describe_faults()}
"""

SECONDS_PER_UNIT: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


async def sandbox(
    *,
    host: Annotated[str, Parameter(env_var="LEAD_SANDBOX_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_SANDBOX_PORT")] = 8765,
    webhook_url: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_URL")] = None,
    webhook_secret: WebhookSecret = None,
    client_id: Annotated[str | None, Parameter(env_var="LEAD_CLIENT_ID")] = None,
    client_secret: ClientSecret = None,
    delay: Annotated[float, Parameter(env_var="LEAD_SANDBOX_DELAY")] = 1.0,
    clock: Literal["real", "manual"] = "real",
    strict: bool = False,
    seed: int | None = None,
    fault: Sequence[str] = (),
    console: bool | None = None,
    console_port: Annotated[int | None, Parameter(env_var="LEAD_SANDBOX_CONSOLE_PORT")] = None,
) -> None:
    """Run the simulated bank.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for any free port.
        webhook_url: The URL to send webhooks to.
        webhook_secret: The secret to sign webhooks with; generated if it is left out.
        client_id: The OAuth2 client ID to accept; generated if it is left out.
        client_secret: The OAuth2 client secret to accept; generated if it is left out.
        delay: Seconds between a payment's status changes.
        clock: real, or manual: time only passes when you type a line such as +3h.
        strict: Respond 403 for account numbers that have not been opened.
        seed: Makes IDs and faults reproducible.
        fault: A fault to inject, such as response_lost:send:3; can be repeated.
        console: Serve a page that shows what happens; on where leadpay[console] is installed.
        console_port: Port of the page: the next one, or any free one, if it is left out.
    """
    try:
        bank = Sandbox(
            host=host,
            port=port,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            client_id=client_id,
            client_secret=client_secret,
            delay=delay,
            clock=ManualClock(time.time()) if clock == "manual" else None,
            strict=strict,
            seed=seed,
            faults=fault,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bank)
        stopped = await stack.enter_async_context(stop_event())
        print_line(f"export LEAD_BASE_URL={bank.url}")
        print_line(f"export LEAD_CLIENT_ID={bank.client_id}")
        print_line(f"export LEAD_CLIENT_SECRET={bank.client_secret}")
        print_line(f"export LEAD_WEBHOOK_SECRETS={bank.webhook_secret}")
        if has_console() if console is None else console:
            page = sandbox_console(bank, host=host, port=console_port, next_to=port)
            print_line(f"# what happens: {await stack.enter_async_context(page)}")
        bank.on_attempt(print_attempt)
        reading = asyncio.create_task(_run_commands(bank, sys.stdin.fileno()))
        await stopped.wait()
        reading.cancel()
        await asyncio.wait([reading])


def print_attempt(attempt: Attempt) -> None:
    """Print an attempt to deliver a webhook, with the endpoint's response, and why it failed."""
    result = f"{attempt.status or 'no response'} in {attempt.seconds:.2f} s"
    failed = "" if attempt.error is None else f": {attempt.error}"
    print_line(f"# webhook {attempt.type} {attempt.event_id} attempt {attempt.number} -> {result}{failed}")


async def run_command(bank: Sandbox, line: str) -> str:
    """Run one line of standard input and describe the result.

    Raises:
        ValueError: the line is not a command.
        ApiProblem: the bank refuses it.
    """
    name, *arguments = line.split()
    if match := re.fullmatch(r"\+(\d+(?:\.\d+)?)([smhd]?)", name):
        if not isinstance(bank.clock, ManualClock):
            raise ValueError("the clock is real: start the sandbox with --clock manual")
        await bank.clock.advance(float(match[1]) * SECONDS_PER_UNIT[match[2]])
        return f"it is {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(bank.clock.now()))} UTC"
    if name == "release" and len(arguments) == 1:
        bank.release(arguments[0])
    elif name == "refuse" and 1 <= len(arguments) <= 2:  # noqa: PLR2004 - an ID and an optional reason
        bank.refuse(*arguments)
    elif name == "next" and arguments and arguments[1:] in ([], ["incoming"], ["outgoing"]):
        bank.next_payment(arguments[0], direction=arguments[1] if arguments[1:] else "outgoing")
    else:
        raise ValueError("type +30, +5m, +3h, +10d, release ID, refuse ID [REASON], or next OUTCOME [incoming]")
    return "done"


async def _run_commands(bank: Sandbox, descriptor: int) -> None:
    async for line in _lines(descriptor):
        if line:
            try:
                print_line(await run_command(bank, line))
            except Exception as error:  # noqa: BLE001 - a wrong line must not stop the bank
                print_line(f"? {error}")


async def _lines(descriptor: int) -> AsyncIterator[str]:
    """Yield lines of standard input. A thread reads them: the event loop cannot wait for every kind of input."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        rest = b""
        # OSError: the input was closed meanwhile. RuntimeError: the event loop was closed meanwhile.
        with suppress(OSError, RuntimeError):
            while chunk := os.read(descriptor, 4096):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(queue.put_nowait, line.decode(errors="replace").strip())

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield await queue.get()
