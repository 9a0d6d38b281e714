"""The pages of an inbox: its events, and replaying or discarding them."""

from collections.abc import Sequence
from functools import partial
from typing import Final, get_args

from aiohttp import web

from leadpay.clock import utc_datetime
from leadpay.console.app import Action, ActionError, Choice, Console, Pages, Section
from leadpay.console.counts import Counts
from leadpay.console.events_view import fields_of, payment_of, runs_of
from leadpay.console.guard import Form, RefusedError, visit
from leadpay.console.render import path_of, query_url, words
from leadpay.errors import ConfigurationError
from leadpay.inbox import EventState, Inbox, Note, Stats, StoredEvent

PAGE: Final = 50
"""Rows of a list."""

STATES: Final[Sequence[EventState]] = get_args(EventState)

NEEDS_PERSON: Final[Sequence[EventState]] = ("dead", "unhandled", "unreadable")
"""The states in which an event waits for a person."""

EXPLANATIONS: Final = {
    "waiting": "A worker takes it when it is due.",
    "done": "Every handler that takes it is done with it.",
    "dead": "A handler failed at its last attempt. It runs again only after a replay.",
    "discarded": "A person took it out of the way.",
    "unhandled": "No handler took it. Replay it once there is one.",
    "unreadable": "It is authentic, but this version cannot read it. Replay it after an upgrade.",
}
"""What each state means."""

ALL: Final = "all handlers that are not done"


class InboxPages(Pages):
    """The pages.

    Args:
        console: what all pages share.
        inbox: the stored events.
    """

    def __init__(self, console: Console, inbox: Inbox) -> None:
        self._console = console
        self._inbox = inbox
        self._consumers = console.counts("consumers", inbox.consumers)
        self.sections = (Section("/events", "Events", "events"),)
        self.sources = (inbox.revision,)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/events", self._events),
            web.get("/events/replay", self._replay_all),
            web.post("/events/replay", self._replay_all),
            web.get("/events/{id}", self._event),
            web.post("/events/{id}", self._event),
            web.get("/events/{id}/replay", self._replay),
            web.post("/events/{id}/replay", self._replay),
            web.get("/events/{id}/discard", self._discard),
            web.post("/events/{id}/discard", self._discard),
        ]

    def _counts(self, consumer: str) -> Counts[Stats]:
        return self._console.counts(consumer, partial(self._inbox.stats, consumer=consumer))

    # Looking.

    async def _events(self, request: web.Request) -> web.StreamResponse:
        query, consumer = request.query, await self._consumer(request)
        stats = await self._counts(consumer).get()
        state: EventState | None = next((one for one in STATES if one == query.get("state")), None)
        event_type = query.get("type") if query.get("type") in stats.by_type else None
        before = query.get("before", "")
        wanted = self._inbox.events(
            state=state,
            event_type=event_type,
            before=int(before) if before.isdecimal() else None,
            limit=PAGE + 1,
            consumer=consumer,
        )
        events = [event async for event in wanted]
        older = {**query, "before": events[PAGE - 1].number, "done": None} if len(events) > PAGE else None
        return await self._console.page(
            request,
            "events.html",
            events=[(event, payment_of(event)) for event in events[:PAGE]],
            state=state,
            states=STATES,
            explanation=EXPLANATIONS[state] if state else "",
            event_type=event_type,
            types=sorted(stats.by_type),
            counts=stats.by_state,
            consumer=consumer,
            consumers=[one.name for one in await self._consumers.get()],
            older=query_url(request.path, older) if older else "",
        )

    async def _event(self, request: web.Request) -> web.StreamResponse:
        event, consumer = await self._get(request), await self._consumer(request)
        found = fields_of(event)
        revealed = self._console.reveal(found or [], event.event_id)
        return await self._console.page(
            request,
            "event.html",
            event=event,
            payment=payment_of(event),
            runs=runs_of(event),
            explanation=EXPLANATIONS[event.state],
            fields=found,
            consumer=consumer,
            consumers=[one.name for one in await self._consumers.get()],
            notes=await self._inbox.notes(event.number),
            revealed=revealed,
            **({"is_static": True} if revealed else {}),
        )

    async def _get(self, request: web.Request) -> StoredEvent:
        event = await self._inbox.get(request.match_info["id"], consumer=await self._consumer(request))
        if event is None:
            raise RefusedError(404, "The inbox has no event with this ID.")
        return event

    async def _consumer(self, request: web.Request) -> str:
        """The consumer whose progress is shown: the one named, or the first."""
        names = [one.name for one in await self._consumers.get()]
        wanted = request.query.get("consumer")
        return wanted if wanted is not None and wanted in names else names[0] if names else "default"

    # Acting.

    async def _replay(self, request: web.Request) -> web.StreamResponse:
        event, consumer = await self._get(request), await self._consumer(request)

        async def do(reason: str, form: Form) -> str:
            handler = form.get("handler", ALL)
            name = None if handler == ALL else handler
            try:
                found = await self._inbox.replay(
                    event.event_id, handler=name, now=self._console.clock.now(), consumer=consumer
                )
            except ConfigurationError as error:
                raise ActionError(str(error)) from None
            if not found:
                raise ActionError("There is nothing to replay: its body was purged, or every handler is done.")
            await self._note(event, "replayed" if name is None else f"replayed for {name}", consumer, reason)
            return "replayed"

        known = next((one.handlers for one in await self._consumers.get() if one.name == consumer), {})
        action = Action(
            title="Replay this event",
            will=(
                f"{words(event.type).capitalize()} ({event.event_id}) waits again, and a worker takes it next.",
                "Handlers that gave up run again, and count their attempts from the beginning.",
                "A handler that you name runs whatever its state: it then sees the event once more.",
            ),
            button="Replay",
            back=self._path(event, consumer),
            log=f"replayed event {event.event_id} for {consumer}",
            do=do,
            choices=(Choice("handler", "Which handlers?", (ALL, *known)),),
        )
        return await self._console.confirm(request, action)

    async def _discard(self, request: web.Request) -> web.StreamResponse:
        event, consumer = await self._get(request), await self._consumer(request)

        async def do(reason: str, _: Form) -> str:
            why = f"{visit().user.name}: {reason}"
            now = self._console.clock.now()
            if not await self._inbox.discard(event.event_id, reason=why, now=now, consumer=consumer):
                raise ActionError("It is done or discarded already.")
            await self._note(event, "discarded", consumer, reason)
            return "discarded"

        action = Action(
            title="Discard this event",
            will=(
                f"No handler of {consumer} runs with {words(event.type)} ({event.event_id}) any more.",
                "Its row is kept, with the reason. A replay brings it back until its body is purged.",
            ),
            button="Discard",
            back=self._path(event, consumer),
            log=f"discarded event {event.event_id} for {consumer}",
            do=do,
            is_dangerous=True,
        )
        return await self._console.confirm(request, action)

    async def _replay_all(self, request: web.Request) -> web.StreamResponse:
        """Replay every event that matches the filter of the list."""
        consumer, wanted = await self._consumer(request), request.query
        states: dict[str, EventState] = {one: one for one in NEEDS_PERSON}
        state = states.get(wanted.get("state", ""))
        stats = await self._counts(consumer).get()
        event_type = wanted.get("type") if wanted.get("type") in stats.by_type else None
        if state is None:
            raise RefusedError(404, "Choose the state of the events that are to be replayed.")
        types = [event_type] if event_type else list(stats.by_type)
        count = sum(stats.by_type[one].get(state, 0) for one in types)
        about = f"{count:,} {state} event{'' if count == 1 else 's'}" + (f" of type {event_type}" if event_type else "")

        async def do(reason: str, _: Form) -> str:
            async for event in self._inbox.events(state=state, event_type=event_type, consumer=consumer):
                if await self._inbox.replay(event.event_id, now=self._console.clock.now(), consumer=consumer):
                    await self._note(event, "replayed with others", consumer, reason)
            return "replayed"

        action = Action(
            title=f"Replay {about}",
            will=(
                f"{about} will wait again, and workers take them, the oldest of each payment first.",
                "Handlers that gave up run again, and count their attempts from the beginning.",
            ),
            button="Replay all",
            back="/events",
            log=f"replayed {about} for {consumer}",
            do=do,
        )
        return await self._console.confirm(request, action)

    async def _note(self, event: StoredEvent, action: str, consumer: str, reason: str) -> None:
        """Keep who did it and why, and count anew."""
        action = action if consumer == "default" else f"{action} ({consumer})"
        at = utc_datetime(self._console.clock.now())
        await self._inbox.note(event.number, Note(at=at, action=action, by=visit().user.name, reason=reason))
        self._counts(consumer).forget()
        self._consumers.forget()

    def _path(self, event: StoredEvent, consumer: str) -> str:
        return query_url(path_of("events", event.event_id), {"consumer": consumer})
