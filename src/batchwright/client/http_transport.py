"""Requests to one service and their answers, sent again when an answer is lost.

It uses the standard library's HTTP client, because a larger one would take longer to load than a quick command runs. No
proxy is used and no redirect is followed: the token goes only to the named address.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from socket import gaierror
from typing import TypeVar, cast
from urllib.parse import urlencode, urlsplit

from batchwright.client import local_socket
from batchwright.client.base import ANSWER_SECONDS
from batchwright.client.http_problems import GATEWAY, bounded, decoded, problem_in, reason, refusal
from batchwright.client.sse import ServerSentEvent, server_sent_events
from batchwright.errors import ServiceUnavailable, UsageError
from batchwright.redaction import masked

CHECK_SECONDS = 600.0  # for an answer that all servers of a run are asked for
SILENCE_SECONDS = 15.0  # of a stream, which says something every two, until the connection counts as lost
PAUSE_SECONDS = 1.0  # between two requests or connections
ANSWER_TRIES = 30  # for an answer after a lost one: the request may have been carried out

T = TypeVar("T")
Query = Sequence[tuple[str, str]]


class HttpAnswerLost(Exception):
    """The answer was lost on the way: it is not known whether the service received the request."""


class HttpTransport:
    """One service's address and how it is asked. Every method raises ServiceUnavailable and the service's refusals.

    `seconds` is the time for one answer, and `tries` is how often a request is sent whose answer is lost. With
    `socket`, requests go over that Unix socket, and `url` is only its name.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        seconds: float = ANSWER_SECONDS,
        socket: Path | None = None,
        tries: int = ANSWER_TRIES,
    ) -> None:
        self._socket = socket
        try:
            parts = urlsplit(url.rstrip("/"))
            self._place = (parts.hostname or "", parts.port)
        except ValueError:  # brackets, or a port that is none
            message = f"{masked(url)} is not the address of a service"
            raise UsageError(message, hint="Write it as http://HOST:PORT; ports go to 65535.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise UsageError(f"{masked(url)} is not the address of a service", hint="Write it as http://HOST:PORT.")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._base = parts.path
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.seconds = seconds
        self._tries = tries

    def done(self, path: str, kind: type[T], query: Query = ()) -> T:
        """The decoded answer to a POST that all servers of a run may be asked for."""
        return cast(T, decoded(self.ask("POST", path, query, seconds=CHECK_SECONDS), kind))

    def get(self, path: str, kind: type[T], query: Query = (), seconds: float = 0.0) -> T:
        """The decoded answer to a GET."""
        return cast(T, decoded(self.ask("GET", path, query, seconds=seconds), kind))

    def ask(
        self,
        method: str,
        path: str,
        query: Query = (),
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        seconds: float = 0.0,
        lost: list[str] | None = None,
        tag: list[str] | None = None,
    ) -> bytes:
        """The body of the answer. `lost` gets the reason of each lost answer, `tag` the ETag of the last.

        Every request may be sent again: a submission has an Idempotency-Key, and an action changes nothing more the
        second time. A lost answer leaves open whether the request was received, so it is sent again until there is an
        answer. Only a refused connection certainly carried no request.
        """
        lost = [] if lost is None else lost
        if method != "GET":
            headers = {"Idempotency-Key": str(uuid.uuid4()), **headers}
        while True:
            try:
                with self._open(method, path, query, headers, body, seconds or self.seconds) as response:
                    answer = bounded(response)
                    self._check_gateway(response, answer)
            except (OSError, HTTPException, HttpAnswerLost) as error:
                why = reason(error)
                if not lost and isinstance(error, ConnectionRefusedError | ssl.SSLError | gaierror):
                    raise ServiceUnavailable(f"no service can be reached at {self.url}: {why}") from error
                self._give_up(method, [*lost, why], error)
                lost.append(why)
                time.sleep(PAUSE_SECONDS if len(lost) > 1 else 0.0)
                continue
            if response.status >= 300:
                raise refusal(self.url, response.status, answer)
            if tag is not None and (found := response.headers.get("ETag")):
                tag.append(found)
            return answer

    def _give_up(self, method: str, lost: Sequence[str], error: Exception) -> None:
        """Raise ServiceUnavailable if it was tried often enough; a silent service is asked only once for a look."""
        if len(lost) < self._tries and not (method == "GET" and isinstance(error, TimeoutError)):
            return
        if method == "GET":
            raise ServiceUnavailable(f"no service can be reached at {self.url}: {lost[-1]}") from error
        raise ServiceUnavailable(
            f"{self.url} did not answer {len(lost)} attempts; it may have carried out the request: {lost[-1]}",
            hint="Check before you try again: batchwright list",
        ) from error

    def _check_gateway(self, response: HTTPResponse, answer: bytes) -> None:
        """Raise HttpAnswerLost if a proxy says that the service did not answer. Its own refusals have a code."""
        if response.status in GATEWAY and problem_in(answer) is None:
            raise HttpAnswerLost(f"a proxy answered {response.status} {response.reason}".rstrip())

    def stream(self, path: str, last: str) -> Iterator[ServerSentEvent]:
        """The messages of a live stream, from the one after `last`."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self._open("GET", path, (), headers, b"", SILENCE_SECONDS) as response:
            if response.status >= 300:
                answer = bounded(response)
                self._check_gateway(response, answer)
                raise refusal(self.url, response.status, answer)
            yield from server_sent_events(response)

    @contextmanager
    def _open(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Iterator[HTTPResponse]:
        host, port = self._place
        connection: HTTPConnection
        if self._socket is not None:
            connection = local_socket.OverSocket(self._socket, seconds)
        else:
            connection = (HTTPSConnection if self._secure else HTTPConnection)(host, port, timeout=seconds)
        try:
            target = self._base + path + (f"?{urlencode(query)}" if query else "")
            connection.request(method, target, body or None, {**self._headers, **headers})
            yield connection.getresponse()
        finally:
            connection.close()
