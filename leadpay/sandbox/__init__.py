"""PRETENDING: a stateful bank on your own machine that signs and sends webhooks, and judges every client."""

from leadpay.sandbox.bank import Bank as Bank
from leadpay.sandbox.clock import ManualClock as ManualClock
from leadpay.sandbox.faults import Fault as Fault
from leadpay.sandbox.outcomes import account_number as account_number
from leadpay.sandbox.outcomes import describe as describe
from leadpay.sandbox.server import Sandbox as Sandbox
