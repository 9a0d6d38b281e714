"""How times, amounts and states are written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from leadpay.console.render import Renderer, badge, clock_time, duration, money, query_url, short_id, shorten, words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3, "0 ms"),
        (0.0123, "12 ms"),
        (1, "1 s"),
        (61, "1 m 1 s"),
        (3600, "1 h"),
        (3600 + 59, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_duration_has_its_largest_units(seconds: float | None, text: str) -> None:
    """Two of them at most."""
    assert duration(seconds) == text


def test_amounts_have_their_currency() -> None:
    """Dollars have separators; another currency is not taken for dollars."""
    assert [money(5), money(123456789), money(-250), money(100, "XXX")] == [
        "$0.05",
        "$1,234,567.89",
        "-$2.50",
        "100 XXX",
    ]


def test_times_are_utc() -> None:
    """For machines with their date, for people to the second."""
    time = datetime(2026, 3, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    text = clock_time(time)
    assert text == '<time datetime="2026-02-28T23:02:03+00:00">Feb 28 <span class="hms">23:02:03</span></time>'
    assert clock_time(None) == "-"
    assert clock_time(datetime(2026, 1, 1, tzinfo=UTC)).startswith('<time datetime="2026-01-01')


def test_states_are_labels() -> None:
    """An unknown state is gray and escaped."""
    assert badge("posted") == '<span class="badge good">posted</span>'
    assert badge("a<b_c") == '<span class="badge quiet">a&lt;b c</span>'
    assert words("instant_payment.return_request_response_needed") == "return request response needed"


def test_long_texts_are_cut_in_lists() -> None:
    """The rest is on the page of the payment."""
    assert shorten("x" * 300) == "x" * 300
    assert shorten("x" * 301) == "x" * 300 + "…"
    assert short_id("instant_payment_0123456789abcdef") == "0123456789ab"


def test_a_url_has_only_what_is_known() -> None:
    """An empty part is left out."""
    assert query_url("/a", {"b": None, "c": ""}) == "/a"
    assert query_url("/a", {"b": "x y", "c": 1}) == "/a?b=x+y&c=1"
    assert query_url("/a?b=1", {"c": 2}) == "/a?b=1&c=2"


def test_a_lone_surrogate_does_not_break_a_page() -> None:
    """It has no place in UTF-8."""
    text = Renderer(lambda: 0.0).page("refusal.html", root="", status=404, sentence="\ud800", asks=False)
    assert "?" in text
