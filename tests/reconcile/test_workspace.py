"""The temporary database."""

from contextlib import closing

from leadpay.reconcile.workspace import Workspace, told_row
from tests.support.inbox import event_of


def test_an_event_about_something_else_belongs_to_no_account_number() -> None:
    """It is kept by its ID and type."""
    event, _ = event_of("event_1")
    assert told_row(event) == ("event_1", "account.created", None, None)


def test_rows_are_read_one_by_one() -> None:
    """In the order of the query."""
    with closing(Workspace()) as space:
        space.add("checked", [("b",), ("a",)])
        assert list(space.stream("SELECT id FROM checked ORDER BY id")) == [("a",), ("b",)]
