"""How many lines strangers can cause."""

from leadpay.webhooks.log_limiter import LogLimiter


def test_a_window_admits_so_many_lines_of_each_kind() -> None:
    """The first ones are logged; each kind has its own window."""
    limiter = LogLimiter(lines=2, seconds=60)
    assert [limiter.admit("a", "line", 0.0) for _ in range(4)] == ["line", "line", None, None]
    assert limiter.admit("b", "other", 59.0) == "other"


def test_the_next_window_says_what_was_left_out() -> None:
    """Its first line has the number; a window that left out nothing adds nothing."""
    limiter = LogLimiter(lines=1, seconds=60)
    for _ in range(4):
        limiter.admit("a", "line", 0.0)
    assert limiter.admit("a", "line", 60.0) == "line (and 3 more lines like this one were left out)"
    assert limiter.admit("a", "line", 120.0) == "line"
