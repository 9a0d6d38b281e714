"""How many processes are spent on a proof, and how they begin."""

import multiprocessing
import os
from typing import Final

ALL: Final = os.environ.get("LEADPAY_PROOFS") == "all"
"""Whether to run as many as there are, which takes a quarter of an hour."""

PROCESSES: Final = multiprocessing.get_context("forkserver")
"""Children begin with everything imported, and share nothing else."""
PROCESSES.set_forkserver_preload(
    [
        "tests.crash.child",
        "tests.crash.sending_child",
        "tests.crash.receivers_and_workers",
        "leadpay.inbox.postgres",
    ]
)
