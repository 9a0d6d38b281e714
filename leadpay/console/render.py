"""Pages: templates, with everything that is shown escaped; times, amounts and states in one form."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from leadpay.masking import mask

FOLDER: Final = Path(__file__).parent

STATIC: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Our own files, and their types."""

TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("posted", "done", "accepted", "arrived", "alive"), "good"),
    **dict.fromkeys(("rejected", "dead", "unreadable", "refused", "failed", "in_doubt"), "bad"),
    **dict.fromkeys(("under_review", "response_needed", "pending", "unhandled", "held", "returned"), "warn"),
    **dict.fromkeys(("waiting", "created", "queued", "sending"), "busy"),
}
"""The color of a state; other states are gray."""

MAX_SHOWN: Final = 300
"""Characters of a value in a table or a list; the rest is on the page of the payment or the event."""


def money(cents: int, currency: str = "USD") -> str:
    """Write cents as an amount."""
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}${cents // 100:,}.{cents % 100:02}" if currency == "USD" else f"{sign}{cents} {currency}"


def clock_time(time: datetime | None) -> Markup:
    """Write a time in UTC, to the second, for people and for machines."""
    if time is None:
        return Markup("-")
    time = time.astimezone(UTC)
    return Markup('<time datetime="{}">{:%b} {} <span class="hms">{:%H:%M:%S}</span></time>').format(
        time.isoformat(), time, time.day, time
    )


def from_seconds(seconds: float | None) -> datetime | None:
    """Make a time of seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def duration(seconds: float | None) -> str:
    """Write a duration with its one or two largest units."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    total = int(seconds)
    units = ((total // 86_400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "m"), (total % 60, "s"))
    first = next(index for index, (count, _) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count)


def words(name: str) -> str:
    """Write the name of a state, a reason or an event type as words."""
    return name.removeprefix("instant_payment.").replace("_", " ").replace(".", " ")


def shorten(text: str) -> str:
    """Cut a text that is too long for a table."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def short_id(name: str) -> str:
    """Write the part of an ID that tells it from others in a list."""
    return shorten(name.removeprefix("instant_payment_").removeprefix("event_"))[:12]


def badge(state: object) -> Markup:
    """Write a state as a colored label."""
    name = str(state)
    return Markup('<span class="badge {}">{}</span>').format(TONES.get(name, "quiet"), shorten(words(name)))


def query_url(path: str, query: Mapping[str, object]) -> str:
    """Write a URL with the parts of a query that have a value."""
    known = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}{'&' if '?' in path else '?'}{urlencode(known)}" if known else path


def path_of(*parts: str) -> str:
    """Write a path below the console, whatever characters its parts have."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Renderer:
    """Renders the templates.

    Args:
        now: the time in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.static = {name: (FOLDER / "static" / name).read_bytes() for name in STATIC}
        digest = hashlib.sha256(b"".join(self.static.values())).hexdigest()
        self.static_version = digest[:12]
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(now=now, query_url=query_url, path_of=path_of)
        filters: Mapping[str, Callable[..., Any]] = {
            "badge": badge,
            "duration": duration,
            "from_seconds": from_seconds,
            "mask": mask,
            "money": money,
            "short_id": short_id,
            "shorten": shorten,
            "time": clock_time,
            "words": words,
        }
        self._environment.filters.update(filters)

    def page(self, template: str, **context: Any) -> str:
        """Render a page."""
        # A lone surrogate of the bank's JSON has no place in UTF-8.
        text = self._environment.get_template(template).render(**context)
        return text.encode(errors="replace").decode()


def style_hash(page: str) -> str:
    """Name the one inline style of a page, as a Content-Security-Policy does."""
    style = page.partition("<style>")[2].partition("</style>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
