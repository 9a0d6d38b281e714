"""How the command ends: the exit statuses that scripts rely on."""

from typing import Final

NOT_SO: Final = 1
"""The exit status for an answer of no: nothing has that ID, a handler is missing, a webhook was refused."""

USER_MISTAKE: Final = 2
"""The exit status for what the user can mend: an argument, a setting, credentials, a port that is taken."""

FAILED: Final = 3
"""The exit status for a bank, an endpoint or a network that failed."""

INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as shells have it; commands that run until Ctrl-C end with 0."""

PIPE_CLOSED: Final = 141
"""The exit status when the reader of our output has gone, as shells have it."""
