"""The certificate of a service with TLS: one from the workflow, or a self-signed one for tests."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct
from pyinfra import host
from pyinfra.facts.server import Command

from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.debian import DeployImpossible

VALID = timedelta(days=825)
RENEWED_BEFORE = timedelta(days=30)


class Certificate(Struct, frozen=True):
    """A chain of certificates and the private key of the first, both as PEM."""

    chain: str
    key: str

    @property
    def pem(self) -> str:
        """Both in one text."""
        return self.chain + self.key


def certificate_of(v: Any, names: Sequence[str], path: str) -> Certificate | None:
    """What an entry's variables `tls`, `certificate` and `key` ask for; None without TLS.

    A self-signed one that is in the file `path` on the server, certificate and key together, stays while it is for the
    same names and good for a month. Raises DeployImpossible.
    """
    if v.tls == "off":
        return None
    if v.tls == "files":
        chain, key = getattr(v, "certificate", ""), getattr(v, "key", "")
        if not chain or not key:
            raise DeployImpossible('tls = "files" needs the variables `certificate` and `key`')
        _examine(chain, key)
        return Certificate(_ended(chain), _ended(key))
    there = host.get_fact(Command, f"cat {shell_word(path)} 2>/dev/null; true") or ""
    return kept(there, names, datetime.now(UTC)) or self_signed(names)


def self_signed(names: Sequence[str]) -> Certificate:
    """A new one for host names and addresses."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(built.public_bytes(form).decode(), private.decode())


def kept(there: str, names: Sequence[str], now: datetime) -> Certificate | None:
    """The self-signed certificate and key in this text, if they are for these names, belong together and last."""
    mark = "-----BEGIN PRIVATE KEY-----"
    chain, found, rest = there.partition(mark)
    try:
        certificate = x509.load_pem_x509_certificate(chain.encode())
        key = serialization.load_pem_private_key((found + rest).encode(), None)
        told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    lasts = certificate.not_valid_after_utc - RENEWED_BEFORE > now >= certificate.not_valid_before_utc
    if not lasts or list(told) != _alternatives(names) or key.public_key() != certificate.public_key():
        return None
    return Certificate(chain, found + _ended(rest))


def _examine(chain: str, key: str) -> None:
    """Raises DeployImpossible, without a word of the key."""
    try:
        certificate = x509.load_pem_x509_certificates(chain.encode())[0]
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError) as error:
        raise DeployImpossible("`certificate` and `key` must be PEM, the key without a passphrase") from error
    if private.public_key() != certificate.public_key():
        raise DeployImpossible("`key` does not belong to the first certificate in `certificate`")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise DeployImpossible(f"the certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}")


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_alternative(name) for name in names]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
