"""Form tokens: for one person, for some hours, and once."""

from leadpay.console.access import User
from leadpay.console.forms import LIFETIME, FormTokens

ANN = User("ann", "operator")


class Time:
    """A time that is moved by hand."""

    now = 0.0


def test_a_form_is_used_once() -> None:
    """By the person it was made for, in the role it was made for, before it is too old."""
    forms = FormTokens(now=lambda: Time.now)
    token = forms.make(ANN)
    assert not forms.use(token, User("bob", "operator"))
    assert not forms.use(token, User("ann"))
    assert forms.use(token, ANN)
    assert not forms.use(token, ANN)
    old = forms.make(ANN)
    Time.now = LIFETIME
    assert not forms.use(old, ANN)
    assert forms.use(forms.make(ANN), ANN)
    assert len(forms._used) == 1


def test_a_forged_token_is_no_token() -> None:
    """Nor is one of another process, or what is not a token at all."""
    forms = FormTokens()
    token = forms.make(ANN)
    later = f"9{token}"
    for forged in ("", ".", "..", "1.2", "ü.ö", "\ud800", later, token[:-1], FormTokens().make(ANN)):
        assert not forms.use(forged, ANN)
    assert forms.use(token, ANN)
