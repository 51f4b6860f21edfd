"""Everything that keeps AWS from being used, told in words before the first change."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.emulated import RunningAws
from tests.support.emulated_aws import QUICK, Visit, client, set_credentials, visit

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.aws import AwsBehaviour
from batchwright.errors import ProviderUnavailable
from batchwright.providers.aws import Aws

QUICKLY = {"connect_seconds": 2, "read_seconds": 2}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_credentials(monkeypatch, tmp_path)


async def nothing(_here: Visit) -> None:
    """Only open and close."""


def opening_error(aws: Aws) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as caught:
        visit(aws, nothing)
    assert caught.value.hint
    return caught.value


def aws_at(url: str, folder: Path) -> Aws:
    return Aws.connect("aws", SystemClock(), {"state_dir": str(folder), "endpoint_url": url, **QUICKLY})


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    error = opening_error(aws_at("http://127.0.0.1:9", tmp_path))
    assert "no complete AWS credentials" in error.message
    assert "--simulate" in error.hint


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no complete AWS credentials" in opening_error(aws_at("http://127.0.0.1:9", tmp_path)).message


def test_a_profile_that_does_not_exist(tmp_path: Path) -> None:
    aws = Aws.connect("aws", SystemClock(), {"profile": "production"})
    assert "production" in opening_error(aws).message


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"auth": "expired"}, "credentials have expired"),
        ({"auth": "wrong"}, "security token included in the request is invalid"),
        ({"denied": "GetCallerIdentity"}, "no permission for GetCallerIdentity"),
        ({"clock_skew": 900.0}, "s behind AWS's"),
        ({"clock_skew": -900.0}, "s ahead of AWS's"),
    ],
)
def test_credentials_that_are_refused(behaviour: dict[str, str | float], words: str, tmp_path: Path) -> None:
    with RunningAws(AwsBehaviour(**{**QUICK, **behaviour})) as server:  # type: ignore[arg-type]
        assert words in opening_error(client(server, tmp_path)).message
        assert not set(server.account.inventory().calls) - {"GetCallerIdentity"}


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "cannot be reached" in opening_error(aws_at(f"http://127.0.0.1:{port}", tmp_path)).message


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "(DNS)" in opening_error(aws_at("http://aws.invalid", tmp_path)).message


@contextmanager
def greeting(line: bytes) -> Iterator[int]:
    """Somebody who speaks another language at a port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(line)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_tls_that_does_not_come_about(tmp_path: Path) -> None:
    assert ssl.HAS_TLSv1_2
    with greeting(b"this is no TLS at all\n") as port:
        assert "TLS" in opening_error(aws_at(f"https://127.0.0.1:{port}", tmp_path)).message


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    error = opening_error(aws_at("https://ec2.aws.invalid", tmp_path))
    assert "proxy" in error.message
    assert "HTTPS_PROXY" in error.hint
