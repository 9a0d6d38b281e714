"""``leadpay demo``: send, receive and return payments at the simulated bank, over real sockets."""

from collections.abc import Callable

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.output import format_cents, print_line
from leadpay.client import LeadClient
from leadpay.enums import CounterpartyStatus, ReturnRequestStatus, Status
from leadpay.models import Agent, Event, InstantPayment, InstantPaymentEvent, Party
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

ACCOUNT = "account_number_demo"
AGENT = Agent(routing_number="111000111")
ALEX = Party(name="Alex Smith", account_number="1234567890")
CLOSED = Party(name="Casey Jones", account_number="9900003001")
BOUNCING = Party(name="Robin Brown", account_number="9900004001")

Print = Callable[[str], object]


async def demo(*, delay: float = 0.1) -> int:
    """Send, receive and return payments at the simulated bank, over real sockets, in a few seconds.

    Args:
        delay: Seconds between a payment's status changes.
    """
    return OK if await run_demo(print_line, delay=delay) else NEGATIVE


async def run_demo(print_: Print, *, delay: float = 0.1) -> bool:
    """Start the simulated bank and an application that receives its webhooks, and run all steps.

    Args:
        print_: Takes each line of the output.
        delay: Seconds between a payment's status changes.

    Returns:
        Whether every check passed.
    """
    async with Sandbox(delay=delay) as bank, bank.client() as lead:
        steps = Demo(bank, lead, print_)
        async with listening(WebhookReceiver(steps.router(), secrets=bank.webhook_secret)) as url:
            bank.webhook_url = url
            print_(f"The simulated bank listens at {bank.url}, and sends webhooks to {url}")
            return await steps.run()


class Demo:
    """Six things that a partner of the bank sees, each with checks."""

    def __init__(self, bank: Sandbox, lead: LeadClient, print_: Print) -> None:
        self.bank = bank
        self.lead = lead
        self.print = print_
        self.received: list[str] = []
        self.failures: list[str] = []

    def router(self) -> WebhookRouter:
        """Create the handler, which prints each webhook."""
        router = WebhookRouter("demo")

        @router.on("instant_payment.*")
        async def receive(event: Event) -> None:
            assert isinstance(event, InstantPaymentEvent)  # noqa: S101 - the pattern matches no other class
            self.received.append(str(event.type))
            self.print(f"   <- webhook  {event.type.removeprefix('instant_payment.'):31} {describe(event.payment)}")

        return router

    async def run(self) -> bool:
        """Run all steps; return whether every check passed."""
        paid = await self._send_payment()
        await self._send_rejected()
        await self._send_returned()
        received = await self._receive_payment()
        await self._return_on_request(received)
        await self._request_return(paid)
        self.print("")
        for failure in self.failures:
            self.print(f"FAILED: {failure}")
        self.print("Some checks failed." if self.failures else "All checks passed.")
        return not self.failures

    async def _send_payment(self) -> InstantPayment:
        self.print("\n1. Send a payment: created, posted on our side, then posted on the other side")
        payment = await self._send(ALEX, 5000)
        latest = await self._expect("posted", "counterparty_status_updated", payment=payment)
        self._check(latest.has_arrived, "the payment arrived")
        return payment

    async def _send_rejected(self) -> None:
        self.print("\n2. Send a payment that the counterparty rejects: no funds move")
        payment = await self._send(CLOSED, 2500)
        latest = await self._expect("rejected", payment=payment)
        self._check(latest.status == Status.REJECTED and latest.rejection is not None, "the payment was rejected")

    async def _send_returned(self) -> None:
        self.print("\n3. Send a payment that posts, is rejected on the other side, and comes back as another payment")
        payment = await self._send(BOUNCING, 1999)
        latest = await self._expect("posted", "counterparty_status_updated", "posted", payment=payment)
        self._check(
            latest.counterparty_status == CounterpartyStatus.REJECTED and len(latest.return_payment_ids) == 1,
            "the payment was returned",
        )

    async def _receive_payment(self) -> InstantPayment:
        self.print("\n4. Receive a payment: the customer is credited")
        self.print("   -> simulate an incoming payment of $75.00")
        await self.lead.simulate.incoming(account_number_id=ACCOUNT, amount=7500, debtor=ALEX, debtor_agent=AGENT)
        await self._expect("posted")
        page = await self.lead.instant_payments.list(direction="incoming", status="posted", limit=1)
        self._check([one.amount for one in page.objects] == [7500], "the payment came in")
        return page.objects[0]

    async def _return_on_request(self, received: InstantPayment) -> None:
        self.print("\n5. The counterparty requests that payment back: we return it before the deadline")
        await self.lead.simulate.incoming_return_request(received.id, reason="duplication")
        latest = await self._expect("return_request_response_needed", payment=received)
        request = latest.active_return_request
        self._check(request is not None and request.deadline is not None, "there is a deadline")
        returned = await self.lead.instant_payments.return_payment(received.id, reason="honor_return_request")
        self._print_call("return", returned)
        await self._expect("posted", "counterparty_status_updated", payment=returned)
        latest = await self.lead.instant_payments.retrieve(received.id)
        self._check(latest.return_requests[-1].status == ReturnRequestStatus.ACCEPTED, "the request was accepted")

    async def _request_return(self, paid: InstantPayment) -> None:
        self.print("\n6. We request the first payment back: the counterparty accepts, and the funds come in")
        latest = await self.lead.instant_payments.request_return(paid.id, reason="fraud_suspected")
        self._check(latest.active_return_request is not None, "the request is pending")
        self._print_call("request_return", latest)
        await self.lead.simulate.incoming_return_request_acceptance(paid.id)
        await self._expect("return_request_status_updated")
        await self.lead.simulate.incoming_return(paid.id, amount=paid.amount, reason="honor_return_request")
        latest = await self._expect("posted", payment=paid)
        self._check(len(latest.return_payment_ids) == 1, "the funds came back")

    async def _send(self, creditor: Party, amount: int) -> InstantPayment:
        payment = await self.lead.instant_payments.send(
            account_number_id=ACCOUNT, amount=amount, creditor=creditor, creditor_agent=AGENT
        )
        self._print_call("send", payment)
        return payment

    def _print_call(self, name: str, payment: InstantPayment) -> None:
        self.print(f"   -> {name:40} {describe(payment)}")

    async def _expect(self, *types: str, payment: InstantPayment | None = None) -> InstantPayment:
        """Wait until the bank is idle, check the webhooks received since the last call, and read the payment."""
        await self.bank.wait_idle()
        received, self.received = self.received, []
        expected = sorted(f"instant_payment.{name}" for name in types)
        self._check(sorted(received) == expected, f"received {', '.join(expected)}")
        if payment is None:
            payment = (await self.lead.instant_payments.list(limit=1)).objects[0]
        return await self.lead.instant_payments.retrieve(payment.id)

    def _check(self, passed: bool, expectation: str) -> None:
        if not passed:
            self.failures.append(expectation)


def describe(payment: InstantPayment) -> str:
    """Describe a payment for readers who do not know the API, without names and account numbers."""
    kind = "return" if payment.is_return else "payment"
    text = f"{format_cents(payment.amount)} {payment.direction} {kind}: {payment.status}"
    if payment.counterparty_status is not None:
        text += f", {payment.counterparty_status} on the other side"
    if payment.rejection is not None:
        text += f" ({payment.rejection.reason}, by {payment.rejection.rejected_by})"
    if payment.return_requests:
        text += f"; return request {payment.return_requests[-1].status}"
    return text
