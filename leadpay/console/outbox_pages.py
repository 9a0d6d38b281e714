"""The pages of an outbox: its instructions, and approving, withdrawing or resolving them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, get_args

from aiohttp import web

from leadpay.console.app import Action, ActionError, Choice, Console, Pages, Section, root_of
from leadpay.console.events_view import log_entries
from leadpay.console.guard import Form, RefusedError, visit
from leadpay.console.render import money, path_of, query_url
from leadpay.console.timeline import in_order
from leadpay.errors import LeadError
from leadpay.masking import fields
from leadpay.outbox import Instruction, InstructionState

if TYPE_CHECKING:
    from leadpay.outbox import Outbox

PAGE: Final = 50
"""Rows of a list."""

STATES: Final[Sequence[InstructionState]] = get_args(InstructionState)

EXPLANATIONS: Final = {
    "held": "A limit holds it, or it looks like a duplicate. It is sent once it is approved.",
    "queued": "A sender takes it when it is due.",
    "sending": "A sender works on it.",
    "accepted": "The bank has it.",
    "refused": "The bank refused it: nothing moved.",
    "withdrawn": "It was taken back before it left.",
    "in_doubt": "It may or may not have been executed. It is asked again with the same key while the key lives.",
}
"""What each state means."""

NOTHING_HAPPENED: Final = "it was surely not executed"


class OutboxPages(Pages):
    """The pages.

    Args:
        console: what all pages share.
        outbox: the instructions.
    """

    def __init__(self, console: Console, outbox: "Outbox") -> None:
        self._console = console
        self._outbox = outbox
        self._stats = console.counts("outbox", outbox.stats)
        self.sections = (Section("/instructions", "Instructions", "outbox"),)
        self.sources = (self._revision,)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        found = [
            web.get("/instructions", self._instructions),
            web.get("/instructions/{reference}", self._instruction),
            web.post("/instructions/{reference}", self._instruction),
        ]
        for name in ("approve", "withdraw", "resolve"):
            path = f"/instructions/{{reference}}/{{action:{name}}}"
            found += [web.get(path, self._act), web.post(path, self._act)]
        return found

    async def _revision(self) -> object:
        newest = [one.number async for one in self._outbox.instructions(limit=1)]
        return newest, await self._stats.get()

    # Looking.

    async def _instructions(self, request: web.Request) -> web.StreamResponse:
        query, stats = request.query, await self._stats.get()
        state = next((one for one in STATES if one == query.get("state")), None)
        needs_person = True if query.get("needs") == "person" else None
        if needs_person:
            state = "in_doubt"
        before = query.get("before", "")
        wanted = self._outbox.instructions(
            state=state,
            needs_person=needs_person,
            before=int(before) if before.isdecimal() else None,
            limit=PAGE + 1,
        )
        found = [one async for one in wanted]
        older = {**query, "before": found[PAGE - 1].number, "done": None} if len(found) > PAGE else None
        return await self._console.page(
            request,
            "instructions.html",
            instructions=found[:PAGE],
            state=state,
            states=STATES,
            explanation=EXPLANATIONS[state] if state else "",
            needs_person=needs_person,
            stats=stats,
            older=query_url(request.path, older) if older else "",
        )

    async def _instruction(self, request: web.Request) -> web.StreamResponse:
        instruction = await self._get(request)
        content = dict(instruction.content or {})
        found = [field for field in fields(content) if field.text]
        revealed = self._console.reveal(found, instruction.reference)
        log = await self._outbox.history(instruction.reference)
        return await self._console.page(
            request,
            "instruction.html",
            instruction=instruction,
            explanation=EXPLANATIONS[instruction.state],
            entries=in_order(log_entries(instruction, log, root_of(request))),
            fields=found,
            evidence=[field for field in fields(dict(instruction.evidence or {})) if field.text],
            revealed=revealed,
            **({"is_static": True} if revealed else {}),
        )

    async def _get(self, request: web.Request) -> Instruction:
        instruction = await self._outbox.get(request.match_info["reference"])
        if instruction is None:
            raise RefusedError(404, "The outbox has no instruction with this reference.")
        return instruction

    # Acting.

    async def _act(self, request: web.Request) -> web.StreamResponse:
        instruction = await self._get(request)
        actions = {"approve": self._approve, "withdraw": self._withdraw, "resolve": self._resolve}
        return await self._console.confirm(request, actions[request.match_info["action"]](instruction))

    def _approve(self, instruction: Instruction) -> Action:
        async def do(reason: str, _: Form) -> str:
            try:
                done = await self._outbox.approve(instruction.reference, by=visit().user.name, reason=reason)
            except LeadError as error:
                raise ActionError(str(error)) from None
            self._stats.forget()
            return "approved" if done.state != "held" else "first_approval"

        return Action(
            title="Approve this instruction",
            will=(f"{_about(instruction)} is sent, whatever the limits say.",),
            button="Approve",
            back=path_of("instructions", instruction.reference),
            log=f"approved instruction {instruction.number}",
            do=do,
        )

    def _withdraw(self, instruction: Instruction) -> Action:
        async def do(reason: str, _: Form) -> str:
            try:
                await self._outbox.withdraw(instruction.reference, by=visit().user.name, reason=reason)
            except LeadError as error:
                raise ActionError(str(error)) from None
            self._stats.forget()
            return "withdrawn"

        return Action(
            title="Withdraw this instruction",
            will=(f"{_about(instruction)} is never sent.", "Its reference stays used."),
            button="Withdraw",
            back=path_of("instructions", instruction.reference),
            log=f"withdrew instruction {instruction.number}",
            do=do,
            is_dangerous=True,
        )

    def _resolve(self, instruction: Instruction) -> Action:
        async def do(reason: str, form: Form) -> str:
            payment_id = form.get("payment_id", "").strip()
            nothing = form.get("verdict") == NOTHING_HAPPENED
            if nothing is bool(payment_id):
                raise ActionError("Either name the payment that it became, or say that it was surely not executed.")
            try:
                await self._outbox.resolve(
                    instruction.reference,
                    by=visit().user.name,
                    payment_id=payment_id or None,
                    nothing_happened=nothing,
                    reason=reason,
                )
            except LeadError as error:
                raise ActionError(str(error)) from None
            self._stats.forget()
            return "resolved"

        return Action(
            title="Resolve this instruction",
            will=(
                f"What you say counts as the outcome of: {_about(instruction)}.",
                "It is not asked again. If you are wrong, a payment is lost or made twice.",
            ),
            button="Resolve",
            back=path_of("instructions", instruction.reference),
            log=f"resolved instruction {instruction.number}",
            do=do,
            choices=(
                Choice("verdict", "What happened?", ("it became this payment", NOTHING_HAPPENED)),
                Choice("payment_id", "ID of the payment, if it became one"),
            ),
            is_dangerous=True,
        )


def _about(instruction: Instruction) -> str:
    """Name an instruction without its key, a name or an account number."""
    what = instruction.operation.replace("_", " ").capitalize()
    amount = "" if instruction.amount is None else f" of {money(instruction.amount)}"
    return f"{what}{amount} ({instruction.reference})"
