"""Several programs of the bank in one process, each with its client, its secrets and its inbox. Nothing crosses.

::

    async with Programs({"cards": Settings(...), "payroll": Settings(...)}) as programs:
        await programs["cards"].client.instant_payments.send(...)
        mount(app, programs.receiver({"cards": cards_router, "payroll": payroll_router}))
"""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import attrs

from leadpay.client import LeadClient
from leadpay.config import Settings
from leadpay.errors import ConfigurationError, SignatureError
from leadpay.inbox import Inbox, Worker, open_inbox
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER


@attrs.frozen(kw_only=True, eq=False)
class Program:
    """One program, with what belongs to it alone."""

    name: str
    settings: Settings
    client: LeadClient
    inbox: Inbox | None
    """Where its events are stored, if its settings name a place."""


class Programs(Mapping[str, Program]):
    """Programs by name; enter it to open their clients and inboxes.

    Args:
        settings: the settings of each program, by its name. ``inbox`` is optional, and each one's own.
        client_options: further arguments of every :class:`leadpay.LeadClient`, such as ``timeouts``.

    Raises:
        ConfigurationError: a setting is missing or contradictory, or two programs share a signing secret, credentials
            or an inbox.
    """

    def __init__(self, settings: Mapping[str, Settings], **client_options: Any) -> None:
        if not settings:
            raise ConfigurationError("programs: name at least one")
        self._owners = _owners(settings)
        self._programs = {
            name: Program(
                name=name,
                settings=one,
                client=LeadClient(
                    client_id=one.client_id,
                    client_secret=one.client_secret,
                    scope=one.scope,
                    environment=one.environment,
                    base_url=one.base_url,
                    **client_options,
                ),
                inbox=None if one.inbox is None else open_inbox(one.inbox),
            )
            for name, one in settings.items()
        }

    def __repr__(self) -> str:
        return f"Programs({', '.join(self._programs)})"

    def __getitem__(self, name: str) -> Program:
        return self._programs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)

    def receiver(self, routers: Mapping[str, WebhookRouter], **options: Any) -> "ProgramsReceiver":
        """Make a receiver for one endpoint: the secret that matched names the program, in ``context.program``.

        Args:
            routers: the handlers of each program, by its name.
            options: further arguments of every :class:`leadpay.WebhookReceiver`.

        Raises:
            ConfigurationError: a program has no router or no signing secret, or a router belongs to no program.
        """
        if set(routers) != set(self._programs):
            raise ConfigurationError(f"routers: one for each of {', '.join(self._programs)}")
        return ProgramsReceiver(self, routers, self._owners, options)

    async def __aenter__(self) -> Self:
        """Open the clients and the inboxes."""
        async with AsyncExitStack() as stack:
            for program in self._programs.values():
                await stack.enter_async_context(program.client)
                if program.inbox is not None:
                    await stack.enter_async_context(program.inbox)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close them."""
        await self._stack.aclose()


class ProgramsReceiver(WebhookReceiver):
    """One endpoint for several programs: each webhook goes to the receiver whose secret matches.

    ``counts`` has what no secret matched; each program's own counts are at ``receivers[name].counts``.
    """

    def __init__(
        self,
        programs: Programs,
        routers: Mapping[str, WebhookRouter],
        owners: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(WebhookRouter("programs"), secrets=list(owners), **options)
        self._names = tuple(owners.values())
        self._programs = programs
        self.receivers: dict[str, WebhookReceiver] = {}
        """The receiver of each program."""
        work = bool(options.get("work", True))
        for name, program in programs.items():
            receiver = WebhookReceiver(
                routers[name],
                secrets=program.settings.webhook_secrets,
                inbox=program.inbox,
                client=program.client,
                **{**options, "work": False},
            )
            receiver.dispatcher.program = name
            self.receivers[name] = receiver
        self._works = work

    async def receive(self, *, body: bytes, headers: Mapping[str, str]) -> int:
        """Receive one webhook, by the program whose secret matches.

        Args:
            body: the raw bytes as they came.
            headers: the request's headers; their case doesn't matter.

        Returns:
            The HTTP status to respond with.

        Raises:
            ConfigurationError: the receiver was not entered, and a program has an inbox or a router with a lifespan.
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        now_ms = int(self._clock.now() * 1000)
        try:
            verified = self._verifier.verify(
                body, lowered.get(HEADER.lower()), now_ms=now_ms, tolerance_ms=self._tolerance_ms
            )
        except SignatureError:
            return await super().receive(body=body, headers=headers)
        return await self.receivers[self._names[verified.secret_index]].receive(body=body, headers=headers)

    async def __aenter__(self) -> Self:
        """Enter the receiver of each program and, where it has an inbox, start to handle what is stored."""
        async with AsyncExitStack() as stack:
            for name, receiver in self.receivers.items():
                await stack.enter_async_context(receiver)
                program = self._programs[name]
                if program.inbox is not None and self._works:
                    dispatcher = receiver.dispatcher
                    worker = Worker(program.inbox, dispatcher, consumer=name, client=program.client)
                    await stack.enter_async_context(worker)
            self._own_stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop, in the opposite order."""
        await self._own_stack.aclose()


def _owners(settings: Mapping[str, Settings]) -> dict[str, str]:
    """Map each signing secret to its program, and refuse what two programs share.

    Raises:
        ConfigurationError: two programs share a secret, credentials or an inbox; the message names the programs only.
    """
    owners: dict[str, str] = {}
    seen: dict[tuple[str, object], str] = {}
    for name, one in settings.items():
        if not one.webhook_secrets:
            raise ConfigurationError(f"{name}: at least one signing secret is needed")
        parts: list[tuple[str, object]] = [("a signing secret", secret) for secret in one.webhook_secrets]
        parts += [("an inbox", one.inbox), ("credentials", one.client_id)]
        for what, value in parts:
            other = seen.setdefault((what, value), name)
            if value is not None and other != name:
                raise ConfigurationError(f"{other} and {name} share {what}: nothing may cross between programs")
        owners |= dict.fromkeys(one.webhook_secrets, name)
    return owners
