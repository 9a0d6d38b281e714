"""Settings: where the bank is, how to be known to it, and how long to wait."""

from typing import Any

import pytest

from leadpay.config import BASE_URLS, SCOPES, Credentials, Settings, Timeouts, base_url
from leadpay.errors import ConfigurationError


@pytest.mark.parametrize("name", sorted(BASE_URLS))
def test_environments_have_addresses_with_tls(name: str) -> None:
    """Both of the bank's environments are known by name, and are called over TLS."""
    assert base_url(name, None) == BASE_URLS[name]
    assert BASE_URLS[name].startswith("https://")


@pytest.mark.parametrize("name", ["Production", "prod", "", None])
def test_an_unknown_environment_is_refused(name: str | None) -> None:
    """A name that is not on the list is an error that lists the names."""
    with pytest.raises(ConfigurationError, match="environment: must be one of production, sandbox"):
        base_url(name, None)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://bank.example/", "https://bank.example"),
        ("https://bank.example:8443/api/", "https://bank.example:8443/api"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_another_base_url_is_accepted(url: str, wanted: str) -> None:
    """An address overrides the environment, and loses the slash at its end."""
    assert base_url("no such environment", url) == wanted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bank.example",
        "//bank.example",
        "ftp://bank.example",
        "https://",
        "https://bank.example?x=1",
        "https://bank.example?",
        "https://bank.example#top",
        "https://bank.example/#",
        "https://user:word@bank.example",
        "https://@bank.example",
        " https://bank.example",
        "https://bank.example\n",
        "https://bank.example:99999",
        "https://bank.example:port",
        "https://[::1",
        "http://bank.example",
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "http://localhost.example",
    ],
)
def test_an_address_that_could_leak_or_mislead_is_refused(url: str) -> None:
    """Only absolute addresses with TLS or a loopback host are taken, and nothing beside a path."""
    with pytest.raises(ConfigurationError, match=r"^base_url: ") as caught:
        base_url("sandbox", url)
    assert "word" not in str(caught.value)


def test_waiting_has_defaults_and_can_be_set() -> None:
    """Each wait has a default in seconds, and takes whole and broken numbers."""
    assert (Timeouts().connect, Timeouts().read, Timeouts().deadline) == (5.0, 20.0, 60.0)
    assert Timeouts(connect=1, read=0.25, deadline=3).read == 0.25


@pytest.mark.parametrize("value", [0, -1, True, None, "5", float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
def test_waiting_for_ever_or_for_nothing_is_refused(name: str, value: Any) -> None:
    """A wait that is not a positive, finite number is an error that names it."""
    with pytest.raises(ConfigurationError, match=f"{name}: must be a positive number of seconds"):
        Timeouts(**{name: value})


def test_the_environment_is_read_whole() -> None:
    """Every variable has its place; the secrets are split at commas."""
    settings = Settings.from_env(
        {
            "LEAD_CLIENT_ID": "id",
            "LEAD_CLIENT_SECRET": "hush-1",
            "LEAD_ENVIRONMENT": "production",
            "LEAD_BASE_URL": "http://localhost:1",
            "LEAD_WEBHOOK_SECRETS": " hush-2 ,, hush-3",
            "LEAD_INBOX": "postgresql://me:hush-4@db/x",
        }
    )
    assert settings == Settings(
        client_id="id",
        client_secret="hush-1",
        environment="production",
        base_url="http://localhost:1",
        webhook_secrets=("hush-2", "hush-3"),
        inbox="postgresql://me:hush-4@db/x",
    )


def test_an_empty_variable_counts_as_missing() -> None:
    """An empty variable counts as none at all."""
    assert Settings.from_env({"LEAD_CLIENT_ID": "", "LEAD_ENVIRONMENT": ""}) == Settings()


def test_without_a_mapping_the_process_s_own_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.environ is the default."""
    monkeypatch.setenv("LEAD_CLIENT_ID", "from the process")
    assert Settings.from_env().client_id == "from the process"


def test_no_repr_shows_a_secret() -> None:
    """Neither settings nor credentials print what must not be known."""
    settings = Settings(client_secret="hush", webhook_secrets=("hush",), inbox="postgresql://me:hush@db")
    assert "hush" not in repr(settings)
    assert "hush" not in repr(Credentials(client_id="id", client_secret="hush"))
    assert Credentials(client_id="id", client_secret="x").scope == SCOPES
