"""Sandbox: a simulated bank on your own machine. It keeps state, checks every request, and signs and sends webhooks."""

from leadpay.sandbox.bank import Bank as Bank
from leadpay.sandbox.clock import ManualClock as ManualClock
from leadpay.sandbox.delivery import post_webhook as post_webhook
from leadpay.sandbox.faults import Fault as Fault
from leadpay.sandbox.faults import describe as describe_faults
from leadpay.sandbox.samples import sample as sample
from leadpay.sandbox.scenarios import account_number as account_number
from leadpay.sandbox.scenarios import describe as describe
from leadpay.sandbox.server import Sandbox as Sandbox

__all__ = [
    "Bank",
    "Fault",
    "ManualClock",
    "Sandbox",
    "account_number",
    "describe",
    "describe_faults",
    "post_webhook",
    "sample",
]
