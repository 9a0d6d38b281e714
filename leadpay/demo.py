"""``leadpay demo``: the main job on the pretend bank, over real sockets, told as it happens."""

from collections.abc import Callable

from leadpay.client import LeadClient
from leadpay.enums import CounterpartyStatus, ReturnRequestStatus, Status
from leadpay.models import Agent, Event, InstantPayment, InstantPaymentEvent, Party
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

ACCOUNT = "account_number_demo"
BANK = Agent(routing_number="111000111")
ALEX = Party(name="Alex Smith", account_number="1234567890")
CLOSED = Party(name="Casey Jones", account_number="9900003001")
BOUNCING = Party(name="Robin Brown", account_number="9900004001")

Print = Callable[[str], object]


class Story:
    """Six things that a partner sees, and whether each went as it should."""

    def __init__(self, bank: Sandbox, lead: LeadClient, say: Print) -> None:
        self.bank = bank
        self.lead = lead
        self.say = say
        self.heard: list[str] = []
        self.failures: list[str] = []

    def router(self) -> WebhookRouter:
        """Make the handlers, which print what they hear."""
        router = WebhookRouter("demo")

        @router.on("instant_payment.*")
        async def hear(event: Event) -> None:
            assert isinstance(event, InstantPaymentEvent)  # noqa: S101 - the pattern takes nothing else
            self.heard.append(str(event.type))
            self.say(f"   <- webhook  {event.type.removeprefix('instant_payment.'):31} {describe(event.payment)}")

        return router

    async def notify(self) -> bool:
        """Play all six; say whether everything that should have happened did."""
        paid = await self._sent()
        await self._rejected()
        await self._returned()
        received = await self._received()
        await self._asked(received)
        await self._asking(paid)
        self.say("")
        for failure in self.failures:
            self.say(f"FAILED: {failure}")
        self.say("Something is wrong." if self.failures else "Everything that should have happened did.")
        return not self.failures

    async def _sent(self) -> InstantPayment:
        self.say("\n1. A payment out: created, posted on our side, then arrived on the other")
        payment = await self._send(ALEX, 5000)
        latest = await self._expect("posted", "counterparty_status_updated", payment=payment)
        self._check(latest.has_arrived, "the payment arrived")
        return payment

    async def _rejected(self) -> None:
        self.say("\n2. A payment out that the counterparty rejects: no funds move")
        payment = await self._send(CLOSED, 2500)
        latest = await self._expect("rejected", payment=payment)
        self._check(latest.status == Status.REJECTED and latest.rejection is not None, "the payment was rejected")

    async def _returned(self) -> None:
        self.say("\n3. A payment out that posts, is rejected on the other side, and comes back as another payment")
        payment = await self._send(BOUNCING, 1999)
        latest = await self._expect("posted", "counterparty_status_updated", "posted", payment=payment)
        self._check(
            latest.counterparty_status == CounterpartyStatus.REJECTED and len(latest.return_payment_ids) == 1,
            "the payment was returned",
        )

    async def _received(self) -> InstantPayment:
        self.say("\n4. A payment in: the customer must be told")
        self.say("   -> simulate an incoming payment of $75.00")
        await self.lead.simulate.incoming(account_number_id=ACCOUNT, amount=7500, debtor=ALEX, debtor_agent=BANK)
        await self._expect("posted")
        page = await self.lead.instant_payments.list(direction="incoming", status="posted", limit=1)
        self._check([one.amount for one in page.objects] == [7500], "the payment came in")
        return page.objects[0]

    async def _asked(self, received: InstantPayment) -> None:
        self.say("\n5. The counterparty wants it back: we answer before the deadline, by returning it")
        await self.lead.simulate.incoming_return_request(received.id, reason="duplication")
        latest = await self._expect("return_request_response_needed", payment=received)
        request = latest.active_return_request
        self._check(request is not None and request.deadline is not None, "there is a deadline")
        returned = await self.lead.instant_payments.return_payment(received.id, reason="honor_return_request")
        self._called("return", returned)
        await self._expect("posted", "counterparty_status_updated", payment=returned)
        latest = await self.lead.instant_payments.retrieve(received.id)
        self._check(latest.return_requests[-1].status == ReturnRequestStatus.ACCEPTED, "the request was accepted")

    async def _asking(self, paid: InstantPayment) -> None:
        self.say("\n6. We want the first payment back: we ask, the counterparty accepts, and the money comes in")
        latest = await self.lead.instant_payments.request_return(paid.id, reason="fraud_suspected")
        self._check(latest.active_return_request is not None, "the request is pending")
        self._called("request_return", latest)
        await self.lead.simulate.incoming_return_request_acceptance(paid.id)
        await self._expect("return_request_status_updated")
        await self.lead.simulate.incoming_return(paid.id, amount=paid.amount, reason="honor_return_request")
        latest = await self._expect("posted", payment=paid)
        self._check(len(latest.return_payment_ids) == 1, "the money came back")

    async def _send(self, creditor: Party, amount: int) -> InstantPayment:
        payment = await self.lead.instant_payments.send(
            account_number_id=ACCOUNT, amount=amount, creditor=creditor, creditor_agent=BANK
        )
        self._called("send", payment)
        return payment

    def _called(self, call: str, payment: InstantPayment) -> None:
        self.say(f"   -> {call:40} {describe(payment)}")

    async def _expect(self, *types: str, payment: InstantPayment | None = None) -> InstantPayment:
        """Wait for the bank to come to rest, compare what was heard, and read the payment again."""
        await self.bank.wait_idle()
        heard, self.heard = self.heard, []
        wanted = sorted(f"instant_payment.{name}" for name in types)
        self._check(sorted(heard) == wanted, f"heard {', '.join(wanted)}")
        if payment is None:
            payment = (await self.lead.instant_payments.list(limit=1)).objects[0]
        return await self.lead.instant_payments.retrieve(payment.id)

    def _check(self, held: bool, what: str) -> None:
        if not held:
            self.failures.append(what)


async def play(say: Print = print, *, delay: float = 0.1) -> bool:
    """Start the bank and an application that hears it, and play the story.

    Args:
        say: takes each line as it happens.
        delay: seconds between the bank's steps.

    Returns:
        Whether everything that should have happened did.
    """
    async with Sandbox(delay=delay) as bank, bank.client() as lead:
        story = Story(bank, lead, say)
        async with listening(WebhookReceiver(story.router(), secrets=bank.webhook_secret)) as url:
            bank.webhook_url = url
            say(f"The pretend bank is at {bank.url}, and its webhooks go to {url}")
            return await story.notify()


def describe(payment: InstantPayment) -> str:
    """Say what a payment is, for somebody who has never seen the API; without names and account numbers."""
    words = [dollars(payment.amount), str(payment.direction), "return" if payment.is_return else "payment"]
    text = f"{' '.join(words)}: {payment.status}"
    if payment.counterparty_status is not None:
        text += f", {payment.counterparty_status} on the other side"
    if payment.rejection is not None:
        text += f" ({payment.rejection.reason}, by {payment.rejection.rejected_by})"
    if payment.return_requests:
        text += f"; return request {payment.return_requests[-1].status}"
    return text


def dollars(cents: int) -> str:
    """Write cents as dollars."""
    return f"${cents // 100:,}.{cents % 100:02}"
