"""What every request goes through: who, from where, with which form; and the headers of every response."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from leadpay.console.access import Auth, User, host_of, is_loopback, loopback
from leadpay.console.forms import FormTokens

logger: Final = logging.getLogger("leadpay.console")

MAX_FORM: Final = 16_384
"""Largest form in bytes: the longest that the console has is a reason of a few sentences."""

LOGIN: Final = "login"
LOGOUT: Final = "logout"
"""The names of the two routes that may be posted to without a form token, by a stranger too."""

MAX_FIELDS: Final = 50
"""Most fields of a form."""

TOKEN_FIELD: Final = "form_token"  # noqa: S105 - a field's name

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src {style}; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script and no inline style, nothing from another place, and no frame."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY.format(style="'self'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer a browser would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
"""The headers of every response, unless it has its own."""

Form: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Show: TypeAlias = Callable[[web.Request, int, str], web.StreamResponse]
"""Make the page of a refusal, from its status and one sentence."""


STRANGER: Final = User("")
"""Who signs in."""


class Visit(NamedTuple):
    """One request that the guard has let through."""

    user: User
    form: Form


_visit: ContextVar[Visit] = ContextVar("leadpay.console.visit")


def visit() -> Visit:
    """The request that is being worked on."""
    return _visit.get()


class RefusedError(Exception):
    """A request is refused."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Guard:
    """Lets a request through to its page, or refuses it.

    Args:
        auth: who may look.
        hosts: the names under which the console is reached; empty for any. With :func:`~leadpay.console.loopback`,
            only names of this machine, because another name would be an attack by DNS rebinding.
        forms: makes the form tokens.
        show: makes the page of a refusal.
    """

    def __init__(self, auth: Auth, hosts: Collection[str], forms: FormTokens, show: Show) -> None:
        self._auth = auth
        self._hosts = {host.lower() for host in hosts}
        self._forms = forms
        self._show = show

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Respond to a request; used as a middleware."""
        try:
            response = await self._respond(request, handler)
        except RefusedError as refused:
            response = self._show(request, refused.status, refused.sentence)
        except web.HTTPException as known:
            if known.status >= web.HTTPBadRequest.status_code:
                response = self._show(request, known.status, f"{known.reason}.")
            else:
                response = web.Response(status=known.status, headers={"Location": known.headers["Location"]})
        except Exception as error:  # noqa: BLE001 - a store that fails, or a mistake of ours
            # Its text may hold names; its class says enough to look further.
            logger.error("%s %s failed: %s", request.method, request.rel_url.raw_path, type(error).__name__)  # noqa: TRY400
            response = self._show(request, 500, f"The page could not be made: {type(error).__name__}.")
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        user = await self._auth(request)
        is_open = request.match_info.route.name in {LOGIN, LOGOUT}
        if user is None and not is_open:
            raise RefusedError(401, "Sign in first.")
        try:
            form = await self._check(request, user, is_open=is_open)
        except RefusedError as refused:
            # A stranger learns nothing from the status.
            raise RefusedError(401 if user is None else refused.status, refused.sentence) from None
        _visit.set(Visit(user or STRANGER, form))
        return await handler(request)

    async def _check(self, request: web.Request, user: User | None, *, is_open: bool) -> Form:
        self._check_host(request)
        if request.method in {"GET", "HEAD"}:
            return {}
        self._check_origin(request)
        form = await read_form(request)
        if not is_open:
            self._check_form(form, user)
        return form

    def _check_host(self, request: web.Request) -> None:
        host = host_of(request.host)
        is_ours = host in self._hosts if self._hosts else self._auth is not loopback or is_loopback(host)
        if not is_ours:
            raise RefusedError(403, "The console is not reached under this name; see hosts= of mount_console.")

    def _check_origin(self, request: web.Request) -> None:
        """Refuse a form that another site sends, or that does not say where it comes from."""
        origin = request.headers.get("Origin", "")
        if origin.lower().partition("://")[2] != request.host.lower():
            raise RefusedError(403, "This request does not come from a page of the console.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise RefusedError(403, "This request comes from another site.")

    def _check_form(self, form: Form, user: User | None) -> None:
        if user is None or not user.may_act:
            raise RefusedError(403, "Your access is read-only.")
        if not self._forms.use(form.get(TOKEN_FIELD, ""), user):
            raise RefusedError(403, "This form has been used already, or is too old. Open the page again.")


async def read_form(request: web.Request) -> Form:
    """Read the fields of a form.

    Raises:
        RefusedError: it is not a form, or is too large.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise RefusedError(415, "Only forms can be sent here.")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_FORM:
            raise RefusedError(413, f"A form has at most {MAX_FORM} bytes.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise RefusedError(400, "The form cannot be read.") from None
    return dict(pairs)
