"""Signing secrets by their fingerprints: when each last verified a webhook, and whether it is safe to drop.

A fingerprint is the first eight hex digits of a SHA-256. It tells a secret from another and doesn't show it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from leadpay.clock import Clock, utc_datetime
from leadpay.instrumentation import Observer, SecretMatched, notify

logger = logging.getLogger("leadpay.webhooks")

RETRY_PERIOD: Final = timedelta(hours=72)
"""How long the bank repeats a webhook that failed: up to 24 attempts, three hours apart (its page on webhooks)."""

WRITE_SECONDS: Final = 1.0
"""How long verifications are collected before they are written, in seconds, so that a busy receiver writes little."""

FINGERPRINT_DIGITS: Final = 8
"""Enough to tell a handful of secrets apart, and far too few to find one."""

SecretState: TypeAlias = Literal["in use", "unproven", "needed", "wait", "safe to drop", "removed"]
"""Of a secret.

``in use``: it is the first one, and has verified webhooks. ``unproven``: it is the first one, and has verified nothing
yet. ``needed``: it is an older one, and the first has verified nothing since. ``wait``: the first has taken over, and
the bank may still repeat what was signed with the older one. ``safe to drop``: that time is over. ``removed``: it is no
longer configured.
"""


def fingerprint(secret: str | bytes) -> str:
    """Name a secret without showing it."""
    key = secret.encode() if isinstance(secret, str) else secret
    return sha256(b"leadpay signing secret " + key).hexdigest()[:FINGERPRINT_DIGITS]


@attrs.frozen(kw_only=True)
class SecretUse:
    """What an inbox knows of a secret, from all its receivers."""

    fingerprint: str
    first_seen_at: datetime
    """When a receiver was first configured with it."""
    last_verified_at: datetime | None = None
    """When it last verified a webhook; None if never."""
    verified: int = 0
    """How many webhooks it has verified, duplicates too."""


@runtime_checkable
class SecretStore(Protocol):
    """The part of an inbox that keeps the use of secrets."""

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Add to what is known: counts are summed up, and the latest time counts."""
        ...

    async def secrets(self) -> Sequence[SecretUse]:
        """List what is known of every secret."""
        ...


@attrs.frozen(kw_only=True)
class SecretStatus:
    """One secret, and what may be done with it."""

    fingerprint: str
    position: int | None
    """Its place among the configured ones, counted from 1; None if it is not configured."""
    state: SecretState
    verified: int
    first_seen_at: datetime | None
    """None if no receiver with this inbox has been configured with it."""
    last_verified_at: datetime | None
    safe_since: datetime | None
    """From when on it is safe to drop; None if that cannot be said yet."""


def secret_statuses(configured: Sequence[str], uses: Sequence[SecretUse], now: datetime) -> list[SecretStatus]:
    """Judge each secret.

    Args:
        configured: the fingerprints of the configured secrets, the newest first.
        uses: what the inbox knows.
        now: the present time.

    Returns:
        The configured secrets in their order, then those that are configured no more.
    """
    known = {use.fingerprint: use for use in uses}
    first = known.get(configured[0]) if configured else None
    found = [_status(name, position, known, first, now) for position, name in enumerate(configured, 1)]
    return [*found, *(_status(name, None, known, first, now) for name in sorted(known) if name not in configured)]


def _status(
    name: str, position: int | None, known: Mapping[str, SecretUse], first: SecretUse | None, now: datetime
) -> SecretStatus:
    use = known.get(name)
    proven_at = None if first is None else first.last_verified_at
    last = None if use is None else use.last_verified_at
    since = None if use is None else last or use.first_seen_at
    safe_since = None
    state: SecretState
    if position is None:
        state = "removed"
    elif position == 1:
        state = "unproven" if last is None else "in use"
    elif since is None or proven_at is None or proven_at <= since:
        state = "needed"
    else:
        safe_since = since + RETRY_PERIOD
        state = "safe to drop" if safe_since <= now else "wait"
    return SecretStatus(
        fingerprint=name,
        position=position,
        state=state,
        verified=0 if use is None else use.verified,
        first_seen_at=None if use is None else use.first_seen_at,
        last_verified_at=last,
        safe_since=safe_since,
    )


class SecretRecorder:
    """Counts verifications, and writes them to an inbox within a second, in the background.

    Args:
        secrets: the configured ones, the newest first.
        store: an inbox, or None to keep nothing.
        clock: tells the time.
        observer: a function that is told of every verification.
    """

    def __init__(
        self, secrets: Sequence[str | bytes], *, store: SecretStore | None, clock: Clock, observer: Observer | None
    ) -> None:
        self.fingerprints = tuple(fingerprint(secret) for secret in secrets)
        self._store = store
        self._clock = clock
        self._observer = observer
        self._pending: dict[str, SecretUse] = {}
        self._writing: asyncio.Task[None] | None = None
        self._only_older = len(self.fingerprints) > 1
        self._warned = False
        self._keeps = store is not None or observer is not None
        self.is_needed = self._keeps or self._only_older
        """Whether a verification by the first secret must be recorded."""

    def record(self, index: int, now: float) -> None:
        """Count a verification by a secret, and warn once if only an older one matches."""
        if index == 0:
            self._only_older = False
            self.is_needed = self._keeps
        elif self._only_older and not self._warned:
            self._warned = True
            logger.warning(
                "webhooks match only an older signing secret (number %d, %s), and none has matched the first (%s): see "
                "'leadpay secrets'",
                index + 1,
                self.fingerprints[index],
                self.fingerprints[0],
            )
        if self._observer is not None:
            notify(self._observer, SecretMatched(self.fingerprints[index], index + 1))
        if self._store is not None:
            self._add(self.fingerprints[index], utc_datetime(now), 1)
            if self._writing is None or self._writing.done():
                self._writing = asyncio.get_running_loop().create_task(self._write_all(self._store))

    async def start(self) -> None:
        """Tell the inbox which secrets are configured."""
        if self._store is not None:
            for name in self.fingerprints:
                self._add(name, utc_datetime(self._clock.now()), 0)
            await self._write(self._store)

    async def stop(self) -> None:
        """Write what has been counted."""
        if self._store is not None:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)
            await self._write(self._store)

    def _add(self, name: str, time: datetime, count: int) -> None:
        use = self._pending.get(name) or SecretUse(fingerprint=name, first_seen_at=time)
        last = time if count else use.last_verified_at
        self._pending[name] = attrs.evolve(use, last_verified_at=last, verified=use.verified + count)

    async def _write_all(self, store: SecretStore) -> None:
        while self._pending:
            await self._write(store)
            await self._clock.sleep(WRITE_SECONDS)

    async def _write(self, store: SecretStore) -> None:
        """Write what is pending; if the inbox fails, it is written the next time."""
        uses, self._pending = self._pending, {}
        if not uses:
            return
        try:
            await asyncio.shield(store.record_secrets(list(uses.values())))
        except Exception as error:  # noqa: BLE001 - a webhook counts more than its statistics
            logger.error("the use of signing secrets was not stored: %s", type(error).__name__)  # noqa: TRY400 - may quote the row
            for name, use in uses.items():
                later = self._pending.get(name)
                last = use.last_verified_at if later is None else later.last_verified_at or use.last_verified_at
                count = use.verified + (0 if later is None else later.verified)
                self._pending[name] = attrs.evolve(use, last_verified_at=last, verified=count)
