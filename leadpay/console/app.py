"""The console as an aiohttp application: what its pages share, and mounting them."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import attrs
from aiohttp import web

from leadpay.clock import Clock, SystemClock
from leadpay.console import access
from leadpay.console.access import Auth, TokenAuth, host_of, is_loopback
from leadpay.console.changes import Changes, Source
from leadpay.console.counts import Counts
from leadpay.console.forms import FormTokens
from leadpay.console.guard import HEADERS, LOGIN, LOGOUT, POLICY, TOKEN_FIELD, Form, Guard, Handler, RefusedError, visit
from leadpay.console.render import STATIC, Renderer, query_url, style_hash
from leadpay.masking import Field

if TYPE_CHECKING:
    from leadpay.client import LeadClient
    from leadpay.inbox import Inbox
    from leadpay.outbox import Outbox
    from leadpay.sandbox import Sandbox

logger: Final = logging.getLogger("leadpay.console")

PATH: Final = "/console"
"""Where the console is mounted by default."""

T = TypeVar("T")

MAX_REASON: Final = 300
"""Characters of a reason that are kept."""

NOTICES: Final = {
    "approved": "Approved: a sender takes it next.",
    "discarded": "Discarded.",
    "first_approval": "Approved. Another person must approve it, too.",
    "requested": "The bank has been asked.",
    "resolved": "Resolved.",
    "responded": "The response is on its way to the bank.",
    "withdrawn": "Withdrawn.",
    "replayed": "Replayed: a worker takes it next.",
    "resent": "Sent again.",
    "told": "The bank has been told.",
}
"""What a page says after an action, by the name in its URL: no text of a URL is ever shown."""


class Section(NamedTuple):
    """A page of the menu."""

    path: str
    title: str
    icon: str
    """The name of a symbol in ``icons.html``."""
    group: str = ""
    """The heading above it."""
    waiting: Callable[[], Awaitable[int]] | None = None
    """How many things wait for a person there."""


class ActionError(Exception):
    """An action was not done; its text is for the person who tried."""


class Choice(NamedTuple):
    """A field of an action's form: a choice, or a text if there are no options."""

    name: str
    label: str
    options: Sequence[str] = ()


@attrs.frozen(kw_only=True)
class Action:
    """Something that a person does, behind a confirmation, with a reason."""

    title: str
    will: Sequence[str]
    """What will happen, one sentence each."""
    button: str
    back: str
    """The path of the page to go on with."""
    log: str
    """What the log says, after the person's name."""
    do: Callable[[str, Form], Awaitable[str]]
    """Takes the reason and the form, and returns the name of a notice; raises an :class:`ActionError`."""
    choices: Sequence[Choice] = ()
    is_dangerous: bool = False


class Pages(Protocol):
    """A group of pages: its part of the menu, its routes, and what tells that it has changed."""

    sections: Sequence[Section] = ()
    sources: Sequence[Source] = ()
    lifespan: Callable[[web.Application], AsyncIterator[None]] | None = None
    """Runs while the application does."""

    def routes(self) -> list[web.RouteDef]:
        """List the routes, below the console's path."""
        ...


class Console:
    """What the pages share: who looks, the templates, the form tokens, the clock.

    Args:
        auth: who may look.
        hosts: the names under which the console is reached; empty for any.
        clock: the time.
    """

    def __init__(self, auth: Auth, *, hosts: Collection[str] = (), clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.forms = FormTokens(now=self.clock.now)
        self._auth = auth
        self._hosts = hosts
        self._renderer = Renderer(self.clock.now)
        self._pages: list[Pages] = []
        self._counts: dict[str, Counts[Any]] = {}
        self._changes = Changes((), self.clock)

    def add(self, pages: Pages) -> None:
        """Add a group of pages to the menu."""
        self._pages.append(pages)

    def application(self) -> web.Application:
        """Make the application, once every group of pages has been added."""
        guard = Guard(self._auth, self._hosts, self.forms, self._refusal)
        self._changes = Changes([source for pages in self._pages for source in pages.sources], self.clock)

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await guard.handle(request, handler)

        app = web.Application(middlewares=[guarded])
        app.router.add_get("/", self._home, name="home")
        app.router.add_get("", self._home)
        app.router.add_get("/static/{version}/{name}", self._static)
        app.router.add_get("/changes", self._changes.stream)
        if isinstance(self._auth, TokenAuth):
            app.router.add_get("/login", self._home)
            app.router.add_post("/login", self._login, name=LOGIN)
            app.router.add_post("/logout", self._logout, name=LOGOUT)
        for pages in self._pages:
            app.router.add_routes(pages.routes())
            if pages.lifespan is not None:
                app.cleanup_ctx.append(pages.lifespan)
        app.on_shutdown.append(self._changes.close)
        return app

    # What pages use.

    def counts(self, name: str, count: Callable[[], Awaitable[T]]) -> Counts[T]:
        """Give the counts of this name, which pages share."""
        return self._counts.setdefault(name, Counts(count, self.clock))

    async def page(self, request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """Render a page of the console."""
        sections = [section for pages in self._pages for section in pages.sections]
        root, user = root_of(request), visit().user
        path = request.path[len(root) :]
        active = max((one.path for one in sections if path.startswith(one.path)), key=len, default="")
        text = self._renderer.page(
            template,
            root=root,
            path=path,
            user=user,
            sections=[(one, await one.waiting() if one.waiting else 0) for one in sections],
            active=active,
            version=await self._changes.version(),
            static=f"{root}/static/{self._renderer.static_version}",
            form_token=self.forms.make(user) if user.may_act else "",
            token_field=TOKEN_FIELD,
            can_sign_out=isinstance(self._auth, TokenAuth),
            notice=NOTICES.get(request.query.get("done", ""), ""),
            query=defaultdict(str, request.query),
            **context,
        )
        return web.Response(text=text, content_type="text/html", status=status)

    async def confirm(self, request: web.Request, action: "Action") -> web.StreamResponse:
        """Say what an action will do; once a person has given a reason and pressed the button, do it."""
        if not visit().user.may_act:
            raise RefusedError(403, "Your access is read-only.")
        error, done, form = "", "", visit().form
        if request.method == "POST":
            reason = form.get("reason", "").strip()[:MAX_REASON]
            try:
                done = await action.do(reason, form) if reason else ""
            except ActionError as problem:
                error = str(problem)
            else:
                error = "" if reason else "Say why, in a few words."
            if not error:
                logger.warning("%s: %s", visit().user.name, action.log)
                raise web.HTTPSeeOther(query_url(root_of(request) + action.back, {"done": done}))
        return await self.page(
            request,
            "confirm.html",
            status=400 if error else 200,
            action=action,
            error=error,
            form=defaultdict(str, form),
        )

    def reveal(self, found: Sequence[Field], object_id: str) -> str:
        """Give the path of the field that this request asks to see, and log who looks at what, without its value."""
        path = visit().form.get("path", "")
        if not any(field.path == path and field.is_masked for field in found):
            return ""
        logger.warning("%s revealed %s of %s", visit().user.name, path, object_id)
        return path

    # Its own routes.

    async def _home(self, request: web.Request) -> web.StreamResponse:
        first = next((section.path for pages in self._pages for section in pages.sections), None)
        if first is None:
            raise web.HTTPNotFound
        raise web.HTTPSeeOther(root_of(request) + first)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound
        # The version is a part of the URL, so a browser may keep it.
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        return web.Response(
            body=self._renderer.static[name], content_type=STATIC[name], charset="utf-8", headers=headers
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(self._auth, TokenAuth)  # noqa: S101 - the route exists only then
        cookie = self._auth.login(visit().form.get("token", ""))
        if cookie is None:
            return self._refusal(request, 401, "This token is not known.")
        response = web.Response(status=303, headers={"Location": f"{root_of(request)}/"})
        is_local = is_loopback(host_of(request.host))
        response.set_cookie(
            access.COOKIE,
            cookie,
            max_age=access.SESSION_SECONDS,
            path=root_of(request) or "/",
            secure=not is_local,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={"Location": f"{root_of(request)}/"})
        response.del_cookie(access.COOKIE, path=root_of(request) or "/")
        return response

    def _refusal(self, request: web.Request, status: int, sentence: str) -> web.StreamResponse:
        """Make a page without anything of the console, with its style within: a stranger gets no file."""
        asks = status == web.HTTPUnauthorized.status_code and isinstance(self._auth, TokenAuth)
        text = self._renderer.page("refusal.html", root=root_of(request), status=status, sentence=sentence, asks=asks)
        headers = {**HEADERS, "Content-Security-Policy": POLICY.format(style=style_hash(text))}
        if status == web.HTTPUnauthorized.status_code:
            headers["WWW-Authenticate"] = "Bearer"
        return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def root_of(request: web.Request) -> str:
    """The path of the console in the user's application, without a slash at its end."""
    return request.match_info.apps[-1].router["home"].url_for().path.rstrip("/")


def mount_console(
    app: web.Application,
    *,
    inbox: "Inbox | None" = None,
    outbox: "Outbox | None" = None,
    lead: "LeadClient | None" = None,
    sandbox: "Sandbox | None" = None,
    auth: Auth | None = None,
    path: str = PATH,
    hosts: Collection[str] = (),
) -> None:
    """Mount the console on an application: pages about what is given.

    One process serves the console: a second one would not know the forms of the first.

    Args:
        app: the application, before it is started. What is shown must be open while it runs.
        inbox: the stored events.
        outbox: the instructions.
        lead: a client, with which the page of a payment asks the bank.
        sandbox: a simulated bank.
        auth: a function of yours that takes a request and returns a :class:`User`, or None to refuse it; or
            :func:`loopback`; or a :class:`TokenAuth`. Left out, the tokens in ``LEAD_CONSOLE_TOKEN`` and
            ``LEAD_CONSOLE_READ_ONLY_TOKEN``.
        path: where.
        hosts: the host names under which the console is reached; left out, any name. Name them if ``auth`` decides by
            the address of the caller.

    Raises:
        ConfigurationError: nothing is said about who may look.
    """
    console = make(inbox=inbox, outbox=outbox, lead=lead, sandbox=sandbox, auth=auth, hosts=hosts)
    app.add_subapp(path, console.application())


def make(
    *,
    inbox: "Inbox | None" = None,
    outbox: "Outbox | None" = None,
    lead: "LeadClient | None" = None,
    sandbox: "Sandbox | None" = None,
    auth: Auth | None = None,
    hosts: Collection[str] = (),
    clock: Clock | None = None,
) -> Console:
    """Make a console with the pages of what is given."""
    console = Console(access.choose(auth), hosts=hosts, clock=clock)
    if sandbox is not None:
        from leadpay.console.bank_pages import BankPages  # noqa: PLC0415 - a program has no sandbox

        console.add(BankPages(console, sandbox))
    if inbox is not None or outbox is not None:
        from leadpay.console.payment_pages import PaymentPages  # noqa: PLC0415 - loaded when it is used
        from leadpay.console.work_pages import WorkPages  # noqa: PLC0415 - the same

        console.add(PaymentPages(console, inbox, outbox, lead))
        console.add(WorkPages(console, inbox, outbox))
    if inbox is not None:
        from leadpay.console.inbox_pages import InboxPages  # noqa: PLC0415 - the same

        console.add(InboxPages(console, inbox))
    if outbox is not None:
        from leadpay.console.outbox_pages import OutboxPages  # noqa: PLC0415 - the same

        console.add(OutboxPages(console, outbox))
    return console


@asynccontextmanager
async def listening(console: Console, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a console on a port of its own while the context lasts, and yield its URL.

    Raises:
        OSError: the address or the port is not available.
    """
    runner = web.AppRunner(console.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
