"""The time of imports, each in a new process."""

import subprocess
import sys
from typing import Final

from benchmarks.rounds import Report, compare

_BASE: Final = "import aiohttp, attrs, cattrs"
_CLIENT: Final = """
import asyncio
async def ready():
    async with LeadClient(client_id="id", client_secret="secret", base_url="http://127.0.0.1:1"):
        pass
from leadpay import LeadClient
asyncio.run(ready())
"""

PROGRAMS: Final = (
    (_BASE, _BASE, ""),
    ("leadpay and a client ready", _CLIENT, "<= 1.1"),
    ("from leadpay.webhooks import verify", "from leadpay.webhooks import verify", "<= 0.15"),
    ("standardwebhooks", "import standardwebhooks", ""),
    ("gidgethub.routing", "import gidgethub.routing", ""),
    ("svix", "import svix", ""),
    ("Stripe", "import stripe; stripe.StripeClient('sk_test')", ""),
    ("Modern Treasury", "import modern_treasury as m; m.AsyncModernTreasury(api_key='k', organization_id='o')", ""),
    ("Increase", "import increase; increase.AsyncIncrease(api_key='k')", ""),
)


def _cost(program: str) -> float | None:
    """Return the seconds that a program takes after Python has started; None if a library is missing."""
    code = f"from time import perf_counter as now\nstart = now()\n{program}\nprint(now() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def measure(*, quick: bool) -> list[Report]:
    """Measure."""
    programs = [one for one in PROGRAMS if _cost(one[1]) is not None]
    rounds = [[_cost(program) or 0.0 for _, program, _ in programs] for _ in range(5 if quick else 20)]
    results = compare([name for name, _, _ in programs], rounds, [goal for _, _, goal in programs])
    return [Report("imports", "seconds", results)]
