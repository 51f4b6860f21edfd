"""Sends one message to one receiver: signed, to an address that was checked, with one answer that is bounded.

Receivers are not trusted. No redirect is followed and no proxy is used, since either would lead to an address that was
not checked; certificates are verified; the body of an answer is not read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial

from msgspec import Struct

from batchwright import __version__
from batchwright.errors import SecretMissing, WebhookInvalid
from batchwright.host_lookup import HostLookup, Resolve
from batchwright.model.clock import Clock
from batchwright.model.delivery import Answer
from batchwright.model.receiver_url import Address, UrlParts, address_refusal, is_listed, literal_address, url_parts
from batchwright.model.secret_reference import SecretReference
from batchwright.model.trace_receiver import TraceReceiver
from batchwright.model.webhook import Webhook, WebhookEvent
from batchwright.secret_resolver import reveal, revealed

ANSWER_SECONDS = 10.0  # for one attempt: looking up, connecting, sending, and the head of the answer
CONNECT_SECONDS = 4.0  # for one address, so that another can be tried
ADDRESSES_MOST = 3
HEAD_MOST = 16 * 1024  # bytes of the head of an answer
INTERIM_MOST = 4  # answers such as 103, before the one that counts
SECRETS_AT_ONCE = 2  # of those that a program prints, each holds one of the threads that runs use too
KEY_BYTES = range(24, 65)

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: |\r)")


class Receiver(Struct, frozen=True):
    """A webhook, or a collector of spans, to send to. `trusted`: the operator's own, which may be at any address."""

    webhook: Webhook | TraceReceiver
    trusted: bool

    @property
    def events(self) -> tuple[WebhookEvent, ...]:
        """What a webhook is told about."""
        return self.webhook.events if isinstance(self.webhook, Webhook) else ()


class OutgoingMessage(Struct, frozen=True):
    """What is sent; `id` is the same each time."""

    id: str
    body: bytes


class WebhookSender:
    """Sends messages. `private_hosts` are receivers that workflow files may name although they are not public."""

    def __init__(
        self,
        private_hosts: Sequence[str],
        clock: Clock,
        resolve: Resolve | None = None,
        context: ssl.SSLContext | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._private_hosts = private_hosts
        self._clock = clock
        self._resolve = resolve or HostLookup()
        self._context = context
        self._seconds = seconds
        self._revealing = asyncio.Semaphore(SECRETS_AT_ONCE)

    async def send(self, receiver: Receiver, message: OutgoingMessage) -> Answer:
        """The receiver's answer, or why there is none; raises nothing but CancelledError."""
        try:
            headers = await self._headers(receiver.webhook, message)
            parts = url_parts(receiver.webhook.url)
            async with asyncio.timeout(self._seconds):
                addresses = await self._addresses(receiver, parts)
                return await self._exchange(parts, addresses, self._request(parts, message, headers))
        except (SecretMissing, WebhookInvalid) as error:
            return Answer(False, error.message)
        except TimeoutError:
            return Answer(False, f"no answer within {self._seconds:g} s")
        except ssl.SSLError as error:
            return Answer(False, f"no secure connection: {getattr(error, 'verify_message', '') or error.reason}")
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)  # asyncio's own words name only the address
            return Answer(False, os.strerror(number) if number and number > 0 else str(error) or type(error).__name__)

    async def _headers(self, webhook: Webhook | TraceReceiver, message: OutgoingMessage) -> dict[str, str]:
        """What makes the receiver trust the message. Raises SecretMissing, WebhookInvalid."""
        bare = partial(reveal, environ=os.environ)
        async with self._revealing:
            if isinstance(webhook, TraceReceiver):
                told = {
                    name: await revealed(value, bare) if isinstance(value, SecretReference) else value
                    for name, value in webhook.headers.items()
                }
                return header_values(told)
            key = signing_key(await revealed(webhook.secret, bare))
        timestamp = str(int(self._clock.now()))
        signed = signature(key, message.id, timestamp, message.body)
        return {"webhook-id": message.id, "webhook-timestamp": timestamp, "webhook-signature": signed}

    async def _addresses(self, receiver: Receiver, parts: UrlParts) -> Sequence[Address]:
        """The addresses to connect to, each of them allowed. Raises WebhookInvalid, OSError, ValueError."""
        literal = literal_address(parts.host)
        found = [literal] if literal is not None else await self._resolve(parts.host, parts.port)
        if not found:
            raise OSError(f"{parts.host} has no address")
        if receiver.trusted:
            return found[:ADDRESSES_MOST]
        listed = [is_listed(parts.host, one, self._private_hosts) for one in found]
        for one, allowed in zip(found, listed, strict=True):
            if not allowed and (why := address_refusal(one)):
                raise WebhookInvalid(f"not sent: {parts.host} is {one}, {why}")
        if parts.scheme == "http" and not all(listed):
            raise WebhookInvalid("not sent: its URL begins with http://, so the message would not be encrypted")
        return found[:ADDRESSES_MOST]

    def _request(self, parts: UrlParts, message: OutgoingMessage, headers: Mapping[str, str]) -> bytes:
        more = "".join(name + ": " + value + "\r\n" for name, value in headers.items())
        head = (
            f"POST {parts.target} HTTP/1.1\r\n"
            f"Host: {parts.authority}\r\n"
            f"User-Agent: batchwright/{__version__}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(message.body)}\r\n"
            f"{more}Connection: close\r\n\r\n"
        )
        return head.encode("latin-1") + message.body

    async def _exchange(self, parts: UrlParts, addresses: Sequence[Address], request: bytes) -> Answer:
        reader, writer = await self._connected(parts, addresses)
        try:
            writer.write(request)
            await writer.drain()
            for _ in range(INTERIM_MOST + 1):
                head = await reader.readuntil(b"\r\n\r\n")
                found = _STATUS.match(head)
                if found is None:
                    return Answer(False, "the answer is not HTTP")
                if (status := int(found[1])) >= 200:
                    return answer_of(status, head, self._clock.now())
            return Answer(False, "no final answer came")
        except asyncio.IncompleteReadError:
            return Answer(False, "the connection was closed before an answer came")
        except asyncio.LimitOverrunError:
            return Answer(False, f"the head of the answer has more than {HEAD_MOST:,} bytes")
        finally:
            writer.transport.abort()  # what else comes is not waited for, however much it is

    async def _connected(
        self, parts: UrlParts, addresses: Sequence[Address]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = {}
        if parts.scheme == "https":
            self._context = self._context or ssl.create_default_context()
            secure = {"ssl": self._context, "server_hostname": parts.host}
        for number, address in enumerate(addresses, 1):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(str(address), parts.port, limit=HEAD_MOST, **secure)  # type: ignore[arg-type]
            except TimeoutError:
                if number == len(addresses):
                    raise OSError(f"no connection within {CONNECT_SECONDS:g} s") from None
            except OSError:
                if number == len(addresses):
                    raise
        raise OSError(f"{parts.host} has no address")


def header_values(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, once each is known to end where it should. Raises WebhookInvalid."""
    for name, value in headers.items():
        if not value.strip().isprintable() or not value.strip().isascii():
            raise WebhookInvalid(f"the header {name} has a value that no header can carry")
    return {name: value.strip() for name, value in headers.items()}


def signing_key(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks: base64, usually after whsec_. Raises WebhookInvalid."""
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in KEY_BYTES:
        raise WebhookInvalid("its secret is not whsec_ followed by 24 to 64 bytes in base64")
    return key


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The header webhook-signature, version 1 of Standard Webhooks (https://www.standardwebhooks.com)."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def answer_of(status: int, head: bytes, now: float) -> Answer:
    """What an answer with this status means. Of its head only Retry-After counts."""
    if 200 <= status < 300:
        return Answer(True, str(status))
    if status == 410:
        return Answer(False, "410: the receiver wants no more", gone=True)
    if 300 <= status < 400:
        return Answer(False, f"{status}: redirects are not followed")
    return Answer(False, str(status), retry_after=_retry_after(head, now))


def _retry_after(head: bytes, now: float) -> float:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"retry-after":
            text = value.strip().decode("latin-1")
            if text.isascii() and text.isdigit():
                return float(text[:9])
            with suppress(ValueError, OverflowError):
                return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return 0.0
