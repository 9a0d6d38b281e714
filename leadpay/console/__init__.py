"""Console: a page on which people see, and work on, what an inbox, an outbox and a simulated bank hold.

It needs the extra ``console``. See "Console" in the documentation.
"""

from leadpay.console.access import Auth as Auth
from leadpay.console.access import TokenAuth as TokenAuth
from leadpay.console.access import User as User
from leadpay.console.access import loopback as loopback
from leadpay.console.app import mount_console as mount_console

__all__ = ["Auth", "TokenAuth", "User", "loopback", "mount_console"]
