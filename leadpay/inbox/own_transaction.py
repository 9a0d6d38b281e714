"""Record that a handler is done in a transaction of the user's own: ``context.complete_in``."""

import re
from collections.abc import Callable, Generator, Mapping
from functools import cache
from inspect import isawaitable
from typing import Any

from leadpay.errors import ConfigurationError
from leadpay.storage import Dialect
from leadpay.storage.foreign import execute


class OwnTransaction:
    """Executes the statements of a completion on the user's connection. Only the user commits them.

    Args:
        dialect: the kind of database of the inbox.
        completion: gives the statements, the check of the fencing token first.
        handler_connection: ``context.transaction``, which cannot be used beside it.
    """

    def __init__(
        self,
        dialect: Dialect,
        completion: Callable[[], Generator[tuple[str, Mapping[str, Any]], list[tuple[Any, ...]], Any]],
        handler_connection: Any,
    ) -> None:
        self.is_used = False
        """Whether a statement was executed. Whether it was committed too, only the store can tell."""
        self._dialect: Dialect = dialect
        self._completion = completion
        self._handler_connection = handler_connection

    async def complete(self, connection: Any) -> None:
        """Execute the statements.

        Raises:
            ConfigurationError: the connection cannot be joined, or ``context.transaction`` has been used.
            LeaseLostError: another worker has the payment now.
            RunFinishedError: the handler is done already.
            Exception: what the user's driver raises.
        """
        if self._handler_connection.is_begun:
            raise ConfigurationError(
                "context.complete_in: context.transaction is another transaction, and has been used: use one of them"
            )
        # It would be rolled back, so its statements are refused from now on.
        if isawaitable(ended := self._handler_connection.end()):
            await ended
        steps = self._completion()
        sql, parameters = next(steps)
        while True:
            rows = await execute(connection, _by_name(sql), parameters, dialect=self._dialect)
            self.is_used = True
            try:
                sql, parameters = steps.send(rows)
            except StopIteration:
                return


@cache
def _by_name(sql: str) -> str:
    """Write psycopg's parameters as ``:name``."""
    return re.sub(r"%\((\w+)\)s", r":\1", sql).replace("%%", "%")
