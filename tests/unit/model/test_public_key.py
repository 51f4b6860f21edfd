"""C4: what is a public key, and what only looks like one."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model.public_key import flaw, is_private
from tests.support.examples import share

PAIRS = [
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 2048),
    *(ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)),
]
KEYS = [pair.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() for pair in PAIRS]
KIND, BLOB = KEYS[0].split()


def field(*parts: bytes) -> str:
    return base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()


SECURITY_KEYS = [
    f"sk-ssh-ed25519@openssh.com {field(b'sk-ssh-ed25519@openssh.com', b'k' * 32, b'ssh:')}",
    "sk-ecdsa-sha2-nistp256@openssh.com "
    + field(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + b"k" * 64, b"ssh:"),
]


@pytest.mark.parametrize("key", [*KEYS, *SECURITY_KEYS], ids=range(7))
@pytest.mark.parametrize("end", ["", " me@host", " a comment of words é", "\n", " me\r\n"])
def test_public_keys_are_right_with_and_without_a_comment(key: str, end: str) -> None:
    """C4: and with the newline of the file that they come from."""
    assert flaw(key + end) is None


@pytest.mark.parametrize("pair", PAIRS, ids=range(5))
@pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_private_key_is_known_and_not_shown(pair: ed25519.Ed25519PrivateKey, form: PrivateFormat) -> None:
    """C4: in every format, and its middle in no message."""
    if isinstance(pair, ed25519.Ed25519PrivateKey) and form is PrivateFormat.TraditionalOpenSSL:
        form = PrivateFormat.PKCS8
    text = pair.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    assert is_private(text)
    assert flaw(text) == flaw(f"{KEYS[0]}\n{text}") == "this is a private key"


LOOKS_LIKE_ONE = (
    "",
    "not a key",
    BLOB,
    f'command="x" {KEYS[0]}',
    f"no-pty,{KEYS[0]}",
    f"{KEYS[0]}\n{KEYS[0]}",
    f"{KEYS[0]}\r{KEYS[1]}",
    f"{KEYS[0]} me\x1b[2J",
    f"{KEYS[0]} me\x9b",
    f"ssh-rsa {BLOB}",
    f"{KIND} {BLOB[:-4]}",
    f"{KIND} {BLOB}AAAA",
    f"{KIND} {BLOB[:-1]}!",
    f"{KIND} {BLOB[:-1]}",
    KIND,
    f"{KIND} ",
    f"{KIND}\t{BLOB}",
    f"ssh-ed25519 {field(b'ssh-ed25519', b'k' * 31)}",
    f"ssh-ed25519 {field(b'ssh-ed25519', b'k' * 32, b'')}",
    f"ssh-ed25519 {field()}",
    f"ssh-rsa {field(b'ssh-rsa', b'x', b'k' * 64)}",
    f"ecdsa-sha2-nistp256 {field(b'ecdsa-sha2-nistp256', b'nistp384', b'k' * 65)}",
    f"ssh-dss {field(b'ssh-dss', b'x')}",
    f"ssh-ed25519-cert-v01@openssh.com {field(b'ssh-ed25519-cert-v01@openssh.com', b'x' * 32)}",
    "---- BEGIN SSH2 PUBLIC KEY ----",
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    "SHA256:AAAA",
    "PuTTY-User-Key-File-3: ssh-ed25519",
)


@pytest.mark.parametrize("text", LOOKS_LIKE_ONE, ids=range(len(LOOKS_LIKE_ONE)))
def test_what_only_looks_like_a_key_is_none(text: str) -> None:
    """C4: each of these was taken, and its server could not be logged in to."""
    assert flaw(text)


@settings(max_examples=share(300), deadline=None)
@given(st.sampled_from(KEYS), st.data())
def test_a_key_that_was_cut_or_that_lost_a_byte_is_none(key: str, data: st.DataObject) -> None:
    """C4: whatever is missing of the blob, and none of it is printed."""
    kind, blob = key.split()
    raw = base64.b64decode(blob)
    at = data.draw(st.integers(0, len(raw) - 1))
    for changed in (raw[:at], raw[:at] + raw[at + 1 :]):
        why = flaw(f"{kind} {base64.b64encode(changed).decode()}")
        assert why
        assert len(why) < 80


@settings(max_examples=share(300), deadline=None)
@given(st.text(max_size=80))
def test_no_text_breaks_the_check_or_is_repeated_by_it(text: str) -> None:
    """C4: a message holds nothing of what was given."""
    why = flaw(f"{KIND} {text}")
    assert why is None or why in {flaw(f"{KIND} {other}") for other in ("x", "\x01", "a\nb")} | {
        "this is a private key"
    }
