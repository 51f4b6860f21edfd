"""A receiver of webhooks in the test's own loop, which does to a connection what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RealReceiver:
    """A server on loopback that notes each request and answers with these bytes, or does what `talk` does."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n", talk: Talk | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self._answer, self._talk = answer, talk
        self._talks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def __aenter__(self) -> RealReceiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for one in self._talks:
            one.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((lines[0], headers, body))
            if self._talk is not None:
                await self._talk(reader, writer)
            else:
                writer.write(self._answer)
                await writer.drain()
        except ConnectionError:
            pass  # the sender has what it wanted
        finally:
            writer.close()

    def url(self, path: str = "/hooks?token=x", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def certified(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, key
