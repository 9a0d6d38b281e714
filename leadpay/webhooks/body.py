"""Read bodies within limits of size, time and number, whatever strangers send."""

import asyncio
from collections.abc import AsyncIterable
from typing import Final

import attrs

MAX_BODY_BYTES: Final = 1_048_576
"""Largest webhook that is read, in bytes: some seven hundred times a usual one, and a limit on a stranger's work."""

BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive, in seconds: a webhook has two kilobytes, so that a slower sender is none."""

MAX_BODIES: Final = 1000
"""How many bodies are read at once. With one more, the one that has taken longest is given up: it is a stranger's."""

MAX_BYTES_IN_FLIGHT: Final = 16_777_216
"""How many bytes of unfinished bodies are held at once. Beyond it the largest is given up; the bank's are small."""


class BodyRefusedError(Exception):
    """Internal: a body that was not read to its end. ``status`` is for the sender, ``result`` is what it counts as."""

    def __init__(self, status: int, result: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.result = result


@attrs.define(eq=False)
class _Reading:
    timeout: asyncio.Timeout
    size: int = 0
    given_up: bool = False


class BodyReader:
    """Reads the bodies of one receiver.

    Args:
        max_bytes: the largest body, in bytes.
        seconds: how long one body may take.
        max_bodies: how many bodies are read at once.
        max_bytes_in_flight: how many bytes of unfinished bodies are held.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        seconds: float = BODY_SECONDS,
        max_bodies: int = MAX_BODIES,
        max_bytes_in_flight: int = MAX_BYTES_IN_FLIGHT,
    ) -> None:
        self.max_bytes = max_bytes
        self._seconds = seconds
        self._max_bodies = max_bodies
        self._max_bytes_in_flight = max_bytes_in_flight
        self._readings: dict[_Reading, None] = {}
        self._bytes_in_flight = 0

    async def read(self, chunks: AsyncIterable[bytes]) -> bytes:
        """Read a body to its end.

        Raises:
            BodyRefusedError: it is too large, too slow, or was given up for others.
            Exception: whatever the chunks raise.
        """
        reading = _Reading(asyncio.timeout(self._seconds))
        try:
            async with reading.timeout:
                self._readings[reading] = None
                if len(self._readings) > self._max_bodies:
                    self._give_up(next(iter(self._readings)))
                return await self._collect(reading, chunks)
        except TimeoutError:
            if reading.given_up:
                raise _crowded() from None
            raise BodyRefusedError(408, "too_slow", f"its body took more than {self._seconds:g} seconds") from None
        finally:
            self._forget(reading)

    async def _collect(self, reading: _Reading, chunks: AsyncIterable[bytes]) -> bytes:
        parts: list[bytes] = []
        async for chunk in chunks:
            if reading.size + len(chunk) > self.max_bytes:
                raise BodyRefusedError(413, "too_large", f"larger than {self.max_bytes} bytes")
            if not reading.given_up:
                reading.size += len(chunk)
                self._bytes_in_flight += len(chunk)
                if self._bytes_in_flight > self._max_bytes_in_flight:
                    self._give_up(max(self._readings, key=lambda one: one.size))
            if reading.given_up:
                # The cancellation comes at the next await only, and there may be none.
                raise _crowded()
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _give_up(self, reading: _Reading) -> None:
        """Have the task that reads it raise at its next step."""
        self._forget(reading)
        reading.given_up = True
        if not reading.timeout.expired():
            reading.timeout.reschedule(asyncio.get_running_loop().time())

    def _forget(self, reading: _Reading) -> None:
        if reading in self._readings:
            del self._readings[reading]
            self._bytes_in_flight -= reading.size


def _crowded() -> BodyRefusedError:
    return BodyRefusedError(503, "crowded", "given up, since very many bodies were being read")
