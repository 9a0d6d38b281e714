"""``leadpay drift``: what the bank sends, or describes, and this version does not know."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from leadpay import __version__
from leadpay import drift as drifts
from leadpay.cli import exit_codes
from leadpay.cli.inbox import opened
from leadpay.cli.options import TIMEOUTS, AsJson, InboxUrl
from leadpay.cli.output import format_time, print_json, print_line, print_table, progress
from leadpay.client import LeadClient
from leadpay.client.pagination import AsyncPager
from leadpay.client.validation import MAX_LIMIT
from leadpay.converter import decode
from leadpay.description import compare
from leadpay.drift import Drift, Radar, Tracked
from leadpay.errors import ConfigurationError, MalformedEventError
from leadpay.instrumentation import DriftSeen, Observation
from leadpay.models import Event, InstantPayment
from leadpay.webhooks.event import parse

DAYS: Final = 7
"""How many days of payments and events are looked through unless ``--since`` says otherwise."""


async def drift(
    *,
    description: Path | None = None,
    inbox_url: InboxUrl = None,
    since: datetime | None = None,
    as_json: AsJson = False,
) -> int:
    """List what the bank sends and this version does not know: words, fields, missing fields and wrong types.

    It looks through the events of the inbox or, without one, through the bank's payments and events. The exit code is 1
    if there is anything. The output holds no personal data: paste it into a report.

    Args:
        description: Compare a newer OpenAPI document of the bank's, in JSON, instead of looking at what it sends.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        since: Only what was created, or received, at or after this time; default: seven days ago.
        as_json: Print one JSON object per line.
    """
    start = datetime.now(UTC) - timedelta(days=DAYS) if since is None else since.astimezone()
    radar = Radar()
    if description is not None:
        source = f"{_described(description, radar)} of {description.name}"
    elif inbox_url is not None:
        source = f"{await _look_through_inbox(inbox_url, start, radar)} events of the inbox"
    else:
        source = f"{await _look_through_bank(start, radar)} of the bank's payments and events"
    if as_json:
        for one, where in radar.tracked.items():
            print_json({**one._asdict(), "count": where.count, "first_seen_at": where.at, "first_seen_in": where.where})
    else:
        _print_report(radar.tracked, source)
    return exit_codes.NEGATIVE if radar.tracked else exit_codes.OK


def _print_report(tracked: Mapping[Drift, Tracked], source: str) -> None:
    print_line(f"leadpay {__version__} does not know {len(tracked)} things in {source}")
    if tracked:
        rows = [
            (one.kind, one.owner, one.detail, str(where.count), format_time(where.at), where.where)
            for one, where in sorted(tracked.items())
        ]
        print_table(("KIND", "OF", "WHAT", "COUNT", "FIRST SEEN", "IN"), rows)


def _described(path: Path, radar: Radar) -> str:
    try:
        found = compare(decode(path.read_bytes()))
    except ValueError as error:
        raise ConfigurationError(f"{path.name}: {error}") from None
    for one in found:
        radar.add(one, path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return "the description"


async def _look_through_inbox(url: str, start: datetime, radar: Radar) -> int:
    count = 0
    async with opened(url) as inbox:
        with progress("events") as show:
            async for stored in inbox.events():
                if stored.received_at < start:
                    break
                if stored.body is not None:
                    count += 1
                    show(count)
                    _look_at(stored.body, stored.received_at, radar)
    return count


def _look_at(body: bytes, received_at: datetime, radar: Radar) -> None:
    drifts.take()
    with suppress(MalformedEventError):  # what is wrong with it is noted
        parse(body)
    for one, object_id in drifts.take():
        radar.add(one, object_id or "an event without an ID", received_at)


async def _look_through_bank(start: datetime, radar: Radar) -> int:
    seen: list[DriftSeen] = []

    def observe(observation: Observation) -> None:
        if isinstance(observation, DriftSeen):
            seen.append(observation)

    count = 0
    async with LeadClient.from_env(timeouts=TIMEOUTS, observer=observe) as lead:
        with progress("objects") as show:
            payments = lead.instant_payments.list(created_on_or_after=start, limit=MAX_LIMIT)
            events = lead.events.list(created_on_or_after=start, limit=MAX_LIMIT)
            for pager in (payments, events):
                async for size in _walk(pager, seen, radar):
                    count += size
                    show(count)
    return count


async def _walk(
    pager: AsyncPager[InstantPayment] | AsyncPager[Event], seen: list[DriftSeen], radar: Radar
) -> AsyncIterator[int]:
    """Walk through a list, give what was seen to the radar with the time of its object, and yield the pages' sizes."""
    async for page in pager.pages():
        times = {one.id: one.created_at for one in page.objects}
        for one in seen:
            # What cannot be read has no time of creation.
            at = times.get(one.object_id or "", datetime.now(UTC))
            radar.add(Drift(one.kind, one.owner, one.detail), one.object_id or "an object without an ID", at)
        seen.clear()
        yield len(page.objects) + len(page.unreadable)
