"""Signing and verifying: golden vectors, and forgeries."""

import base64
import hmac
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leadpay.errors import ConfigurationError, InvalidRequestError, SignatureError
from leadpay.webhooks.signature import HEADER, MAX_HEADER_LENGTH, Verified, Verifier, sign, verify

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "signatures.json").read_text())
SECRET = "whsec_demo"
NOW = 1_656_328_953_000
BODY = b'{"id":"event_abc123"}'
SIGNED = sign(BODY, SECRET, NOW)
FORGERIES = 10_000 if os.environ.get("LEADPAY_PROOFS") == "all" else 300
"""How many made-up webhooks each proof tries to get accepted."""


def reason_of(body: Any, header: Any, secrets: Any = SECRET, **kwargs: Any) -> str:
    """Find the reason for which a webhook is refused."""
    with pytest.raises(SignatureError) as caught:
        verify(body, header, secrets, **{"now_ms": NOW, **kwargs})
    return caught.value.reason


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["what"]))
def test_golden_signatures_are_made_and_accepted(vector: dict[str, Any]) -> None:
    """OpenSSL's signatures are ours, byte for byte.

    Each was computed by hand:
    printf "$TIME.$BODY" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY -binary | base64
    """
    body, secret = bytes.fromhex(vector["body_hex"]), bytes.fromhex(vector["secret_hex"])
    header = f"t={vector['timestamp_ms']},v0={vector['signature']}"
    assert sign(body, secret, vector["timestamp_ms"]) == header
    assert verify(body, header, secret, now_ms=vector["timestamp_ms"]) == Verified(vector["timestamp_ms"], 0)


def test_the_header_has_the_bank_s_name() -> None:
    """The header is spelled as the bank spells it."""
    assert HEADER == "Lead-Signature"


@example(body=b"", secret=b"k" * 64, time=0)
@example(body=b"", secret=b"k" * 65, time=0)
@given(body=st.binary(max_size=300), secret=st.binary(min_size=1, max_size=130), time=st.integers(0, 10**16 - 1))
def test_prepared_keys_give_what_the_standard_library_gives(body: bytes, secret: bytes, time: int) -> None:
    """Short secrets, long ones that are hashed first, and those of exactly a block: HMAC-SHA256 every time."""
    digest = hmac.digest(secret, b"%d.%b" % (time, body), "sha256")
    assert sign(body, secret, time) == f"t={time},v0={base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_kind_of_bytes_is_signed_and_accepted(kind: Any) -> None:
    """Frameworks that give a bytearray or a memoryview need no copy."""
    assert sign(kind(BODY), SECRET.encode(), NOW) == SIGNED
    assert verify(kind(BODY), SIGNED, SECRET, now_ms=NOW).timestamp_ms == NOW


def test_rotation_says_which_secret_matched() -> None:
    """With several secrets, the index of the one that matched is given."""
    assert verify(BODY, SIGNED, ["new", SECRET], now_ms=NOW).secret_index == 1
    assert verify(BODY, SIGNED, (SECRET, b"old"), now_ms=NOW).secret_index == 0
    assert Verifier([b"a", "b", SECRET]).verify(BODY, SIGNED, now_ms=NOW).secret_index == 2


def test_other_versions_spaces_and_second_signatures_do_no_harm() -> None:
    """Signatures of unknown versions are ignored, and one good signature among several is enough."""
    time, good = SIGNED.split(",")
    for header in (f"{good},{time}", f"{time}, v1=abc=, {good}", f"{time},v0=AAAA,{good}", f"{time},{good},x="):
        assert verify(BODY, header, SECRET, now_ms=NOW).timestamp_ms == NOW


@pytest.mark.parametrize("digits", range(11, 17))
def test_a_time_of_any_length_is_the_one_that_was_signed(digits: int) -> None:
    """No other than the whole time is signed, and neither a second signature nor a second secret changes that."""
    time = int("1702345678901234"[:digits])
    start, good = sign(BODY, SECRET, time).split(",")
    for header in (f"{start},{good}", f"{start},v0=AAAA,{good}"):
        for secrets, index in ((SECRET, 0), (["new", SECRET], 1), ([SECRET, "old"], 0)):
            assert verify(BODY, header, secrets, now_ms=time) == (time, index)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing_header"),
        ("", "malformed_header"),
        ("t", "malformed_header"),
        (f"{SIGNED},", "malformed_header"),
        (SIGNED.encode(), "malformed_header"),
        (f"t={NOW},v0=é", "malformed_header"),
        (f"t=²,{SIGNED}", "malformed_header"),
        (f"t={NOW},{SIGNED}", "malformed_header"),
        (SIGNED.replace("t=", "t=-"), "malformed_header"),
        (SIGNED.replace("t=", "t= "), "malformed_header"),
        (SIGNED.replace("t=", "t=0000"), "malformed_header"),
        (SIGNED.replace("t=", "x="), "malformed_header"),
        (SIGNED + ",x=" + "a" * MAX_HEADER_LENGTH, "malformed_header"),
        (SIGNED.replace("v0=", "v1="), "no_known_version"),
        (f"t={NOW}", "no_known_version"),
        (f"t={NOW},v0=", "mismatch"),
        (SIGNED.replace("t=", "t=0"), "mismatch"),
        (SIGNED.rstrip("="), "mismatch"),
        (SIGNED + "=", "mismatch"),
    ],
)
def test_headers_are_refused_with_a_reason(header: Any, reason: str) -> None:
    """Each kind of wrong header has its own reason."""
    assert reason_of(BODY, header) == reason


@pytest.mark.parametrize("body", [BODY.decode(), None, 7, ["x"]])
def test_a_body_that_is_not_bytes_is_refused(body: Any) -> None:
    """Text and parsed JSON are refused: only raw bytes were signed."""
    assert reason_of(body, SIGNED) == "body_not_bytes"


@pytest.mark.parametrize("secrets", ["", b"", [], [""], [SECRET, ""], [None], None, "\ud800"])
def test_without_a_secret_nothing_is_accepted(secrets: Any) -> None:
    """A missing or an empty secret refuses everything, and cannot be built into a Verifier."""
    assert reason_of(BODY, SIGNED, secrets) == "no_secret"
    with pytest.raises(ConfigurationError, match=r"^secrets: "):
        Verifier(secrets)


@pytest.mark.parametrize(("offset", "reason"), [(-300_001, "too_new"), (300_001, "too_old")])
def test_time_is_limited_both_ways(offset: int, reason: str) -> None:
    """Five minutes either way are accepted, one millisecond more is not, unless the tolerance says so."""
    edge = offset - (1 if offset > 0 else -1)
    assert verify(BODY, SIGNED, SECRET, now_ms=NOW + edge).timestamp_ms == NOW
    assert reason_of(BODY, SIGNED, now_ms=NOW + offset) == reason
    assert verify(BODY, SIGNED, SECRET, now_ms=NOW + offset, tolerance_ms=300_001).timestamp_ms == NOW


def test_an_age_is_reported_only_if_the_signature_matches() -> None:
    """A forged signature with an old time is a mismatch: too_old always means an authentic webhook."""
    assert reason_of(BODY + b" ", SIGNED, now_ms=NOW + 10**9) == "mismatch"


@pytest.mark.parametrize(
    ("body", "time", "parameter"),
    [
        ("text", NOW, "body"),
        (BODY, -1, "timestamp_ms"),
        (BODY, 1.5, "timestamp_ms"),
        (BODY, True, "timestamp_ms"),
        (BODY, 10**16, "timestamp_ms"),
    ],
)
def test_signing_refuses_what_could_not_be_verified(body: Any, time: Any, parameter: str) -> None:
    """Only bytes and whole milliseconds can be signed."""
    with pytest.raises(InvalidRequestError) as caught:
        sign(body, SECRET, time)
    assert [problem.parameter for problem in caught.value.problems] == [parameter]


def test_signing_with_an_empty_secret_is_refused() -> None:
    """With an empty secret anyone could sign."""
    with pytest.raises(ConfigurationError):
        sign(BODY, "", NOW)


@pytest.mark.parametrize("position", range(len(BODY) * 8))
def test_one_bit_of_the_body_is_enough(position: int) -> None:
    """Whichever bit of the body is flipped, the webhook is refused."""
    flipped = bytearray(BODY)
    flipped[position // 8] ^= 1 << position % 8
    assert reason_of(bytes(flipped), SIGNED) == "mismatch"


def test_one_bit_of_the_header_is_enough() -> None:
    """Whichever bit of the header is flipped, the webhook is refused, with the widest tolerance too."""
    raw = SIGNED.encode()
    for position in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        assert reason_of(BODY, flipped.decode("latin-1"), tolerance_ms=10**16) in {
            "malformed_header",
            "no_known_version",
            "mismatch",
        }


def _splice(text: str, edit: tuple[int, int, str]) -> str:
    start, length, new = edit
    start %= len(text) + 1
    return text[:start] + new + text[start + length :]


def _spliced(many: list[tuple[int, int, str]]) -> str:
    text = SIGNED
    for edit in many:
        text = _splice(text, edit)
    return text


edits = st.tuples(st.integers(0, 200), st.integers(0, 6), st.text("tv01=,. 9Aa\x00é²", max_size=6))
headers = st.one_of(
    st.none(),
    st.text(max_size=80),
    st.lists(edits, min_size=1, max_size=4).map(_spliced),
    st.builds(
        lambda time, mac: f"t={time},v0={base64.b64encode(mac).decode()}",
        st.integers(NOW - 10, NOW + 10),
        st.binary(min_size=32, max_size=32),
    ),
)


@settings(max_examples=FORGERIES, deadline=None)
@given(header=headers, body=st.one_of(st.just(BODY), st.binary(max_size=60)))
def test_no_stranger_gets_in_and_nothing_else_is_raised(header: str | None, body: bytes) -> None:
    """Changed and made-up headers and bodies are refused with SignatureError and nothing else."""
    try:
        verified = verify(body, header, SECRET, now_ms=NOW)
    except SignatureError:
        return
    # Only what really was signed may arrive here: a splice can leave the meaning of the header as it was.
    parts = {part.strip(" ") for part in str(header).split(",")}
    assert body == BODY
    assert set(SIGNED.split(",")) <= parts
    assert verified == (NOW, 0)


def test_small_changes_are_refused() -> None:
    """Seeded changes of one to three letters or bytes: SignatureError each time."""
    dice = random.Random(20_240_301)  # noqa: S311 - forgeries that can be repeated, not secrets
    for _ in range(10 * FORGERIES):
        header, body = bytearray(SIGNED.encode()), bytearray(BODY)
        target = dice.choice((header, body))
        for place in dice.sample(range(len(target)), dice.randint(1, 3)):
            target[place] ^= dice.randint(1, 255)
        with pytest.raises(SignatureError):
            verify(bytes(body), header.decode("latin-1"), SECRET, now_ms=NOW, tolerance_ms=10**16)


@settings(max_examples=500, deadline=None)
@given(body=st.binary(), secret=st.binary(min_size=1), time=st.integers(0, 10**16 - 1))
def test_what_was_signed_is_accepted(body: bytes, secret: bytes, time: int) -> None:
    """verify() accepts what sign() made."""
    assert verify(body, sign(body, secret, time), [b"another", secret], now_ms=time).timestamp_ms == time


def test_verify_is_a_small_import() -> None:
    """Importing verify loads no aiohttp, attrs, cattrs or asyncio, for programs with another web framework."""
    code = (
        "import sys; from leadpay.webhooks import verify; "
        "print(sorted({'aiohttp', 'attr', 'attrs', 'cattrs', 'asyncio', 'msgspec', 'orjson'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert found.stdout.strip() == "[]"
