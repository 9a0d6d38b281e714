"""``leadpay demo`` and ``leadpay sandbox``: the pretend bank."""

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from leadpay.cli.screen import say, until_stopped
from leadpay.demo import play
from leadpay.errors import ConfigurationError
from leadpay.sandbox import ManualClock, Sandbox, describe, describe_faults

SANDBOX_HELP: Final = f"""Run the pretend bank until Ctrl-C, and print the environment variables to paste.

While it runs, type a line: `+30`, `+5m`, `+3h` or `+10d` lets time pass (with --clock manual), `release ID` lets a
payment that is held go on, `refuse ID [REASON]` has it rejected, `next OUTCOME [incoming]` chooses what becomes of
the next one.

{describe()}

Faults (--fault KIND[:OPERATION][:TIMES][:PROBABILITY%][:value=VALUE]):
{describe_faults()}
"""

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds in a unit of time as it is typed."""


async def demo(*, delay: float = 0.1) -> int:
    """Play the main job on the pretend bank, over real sockets, in a few seconds.

    Args:
        delay: Seconds between the bank's steps.
    """
    return 0 if await play(say, delay=delay) else 1


async def sandbox(
    *,
    host: Annotated[str, Parameter(env_var="LEAD_SANDBOX_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_SANDBOX_PORT")] = 8765,
    webhook_url: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_URL")] = None,
    webhook_secret: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")] = None,
    client_id: Annotated[str | None, Parameter(env_var="LEAD_CLIENT_ID")] = None,
    client_secret: Annotated[str | None, Parameter(env_var="LEAD_CLIENT_SECRET")] = None,
    delay: Annotated[float, Parameter(env_var="LEAD_SANDBOX_DELAY")] = 1.0,
    clock: Literal["real", "manual"] = "real",
    strict: bool = False,
    seed: int | None = None,
    fault: Sequence[str] = (),
) -> None:
    """Run the pretend bank.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        webhook_url: Where to send webhooks.
        webhook_secret: The secret to sign them with; made up if left out.
        client_id: The OAuth2 client ID to accept; made up if left out.
        client_secret: Its secret; made up if left out.
        delay: Seconds between a payment's changes of state.
        clock: Whether time passes by itself, or only when a line such as +3h is typed.
        strict: Answer 403 for account numbers that nobody has opened.
        seed: Makes IDs and faults repeatable.
        fault: What goes wrong, such as response_lost:send:3; may be given several times.
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
    async with bank, until_stopped() as stopped:
        say(f"export LEAD_BASE_URL={bank.url}")
        say(f"export LEAD_CLIENT_ID={bank.client_id}")
        say(f"export LEAD_CLIENT_SECRET={bank.client_secret}")
        say(f"export LEAD_WEBHOOK_SECRETS={bank.webhook_secret}")
        obeying = asyncio.create_task(_obey(bank, sys.stdin.fileno()))
        await stopped.wait()
        obeying.cancel()
        await asyncio.wait([obeying])


async def _obey(bank: Sandbox, descriptor: int) -> None:
    async for line in _lines(descriptor):
        if line:
            try:
                say(await command(bank, line))
            except Exception as error:  # noqa: BLE001 - whatever was typed, the bank goes on
                say(f"? {error}")


async def command(bank: Sandbox, line: str) -> str:
    """Do what was typed, and say what was done.

    Raises:
        ValueError: it makes no sense.
        Refused: the bank does not allow it.
    """
    word, *rest = line.split()
    if passed := re.fullmatch(r"\+(\d+(?:\.\d+)?)([smhd]?)", word):
        if not isinstance(bank.clock, ManualClock):
            raise ValueError("time passes by itself here: start with --clock manual")
        await bank.clock.advance(float(passed[1]) * UNITS[passed[2]])
        return f"it is {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(bank.clock.now()))} UTC"
    if word == "release" and len(rest) == 1:
        bank.release(rest[0])
    elif word == "refuse" and 1 <= len(rest) <= 2:  # noqa: PLR2004 - an ID and perhaps a reason
        bank.refuse(*rest)
    elif word == "next" and rest and rest[1:] in ([], ["incoming"], ["outgoing"]):
        bank.next_payment(rest[0], direction=rest[1] if rest[1:] else "outgoing")
    else:
        raise ValueError("type +30, +5m, +3h, +10d, release ID, refuse ID [REASON], or next OUTCOME [incoming]")
    return "done"


async def _lines(descriptor: int) -> AsyncIterator[str]:
    """Give the lines that are typed. A thread reads them: not every standard input can be waited for otherwise."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        rest = b""
        # The input may be closed under it, and the loop may have ended when a line comes: then nobody waits for it.
        with suppress(OSError, RuntimeError):
            while chunk := os.read(descriptor, 4096):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(queue.put_nowait, line.decode(errors="replace").strip())

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield await queue.get()
