"""Secrets are found as they are, byte by byte, or it is said why not; nothing is waited for that never ends."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import secret_resolver as finding
from batchwright.errors import SecretMissing
from batchwright.model.secret_reference import SecretReference
from batchwright.secret_resolver import MAX_BYTES, peek, reveal, revealed

ENVIRON = dict(os.environ)
PATIENCE = 60.0


def prints(text: str) -> SecretReference:
    return SecretReference(command=(sys.executable, "-c", text))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200))
def test_every_character_arrives(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """B2: carriage returns, CRLF and everything else; one newline at the end is not part of it."""
    path = tmp_path_factory.getbasetemp() / "secret"
    for end in ("", "\n"):
        path.write_bytes((value + end).encode())
        wanted = (value + end).removesuffix("\n")
        if not wanted:
            continue
        assert reveal(SecretReference(file=str(path)), {}) == wanted
        assert reveal(SecretReference(env="S"), {"S": value + end}) == wanted


@pytest.mark.parametrize("value", ["pa\rss", "a\r\nb\r\n", "two\n\n", "tab\tand é\U0001f600", "x" * (MAX_BYTES - 1)])
def test_what_a_command_prints_arrives_unchanged(tmp_path: Path, value: str) -> None:
    """B2"""
    (tmp_path / "s").write_bytes((value + "\n").encode())
    assert reveal(SecretReference(command=("cat", str(tmp_path / "s"))), ENVIRON) == value


@pytest.mark.parametrize("size", [MAX_BYTES + 1, MAX_BYTES + 2, 300_000])
def test_one_that_is_too_long_is_refused_by_name_with_its_size(tmp_path: Path, size: int) -> None:
    """B2"""
    path = tmp_path / "big"
    path.write_bytes(b"x" * size)
    with pytest.raises(SecretMissing, match=f"the file {path} has {size:,} bytes; a secret has at most 131,072"):
        peek(SecretReference(file=str(path)), {})
    with pytest.raises(SecretMissing, match=f"the variable S has {size:,} bytes"):
        peek(SecretReference(env="S"), {"S": "x" * size})
    with pytest.raises(SecretMissing, match=f"the output of cat has {size:,} bytes; a secret has at most 131,072"):
        reveal(SecretReference(command=("cat", str(path))), ENVIRON)
    path.write_bytes(b"x" * MAX_BYTES + b"\n")
    assert len(peek(SecretReference(file=str(path)), {})) == MAX_BYTES


def made(kind: str, path: Path) -> Path:
    match kind:
        case "a folder":
            path.mkdir()
        case "a named pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(path))
        case "a device":
            path = Path("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["a folder", "a named pipe", "a socket", "a device"])
@pytest.mark.parametrize("linked", [False, True])
def test_only_regular_files_are_read(tmp_path: Path, kind: str, *, linked: bool) -> None:
    """B3"""
    path = made(kind, tmp_path / "s")
    if linked:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    with pytest.raises(SecretMissing, match=f"the file {path} is {kind}; it must be a regular file"):
        peek(SecretReference(file=str(path)), {})


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"a\0b", "contains a NUL byte"), (b"\xff\xfe", "is not UTF-8 text")],
)
def test_what_is_no_secret_is_told_in_its_own_words_and_not_shown(tmp_path: Path, body: bytes, words: str) -> None:
    """B3"""
    path = tmp_path / "s"
    path.write_bytes(body)
    for secret in (SecretReference(file=str(path)), SecretReference(command=("cat", str(path)))):
        with pytest.raises(SecretMissing, match=words) as caught:
            reveal(secret, ENVIRON)
        assert str(secret) in caught.value.message
    if b"\0" not in body:
        with pytest.raises(SecretMissing, match=words):
            peek(SecretReference(env="S"), {"S": os.fsdecode(body)})


def test_what_is_not_there_or_may_not_be_read(tmp_path: Path) -> None:
    """B3"""
    with pytest.raises(SecretMissing, match=r"none does not exist$"):
        peek(SecretReference(file=str(tmp_path / "none")), {})
    with pytest.raises(SecretMissing, match="the variable NONE is not set"):
        peek(SecretReference(env="NONE"), {})
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(SecretMissing, match="cannot be read: Too many levels"):
        peek(SecretReference(file=str(tmp_path / "round")), {})
    with pytest.raises(SecretMissing, match="cannot be started: No such file"):
        reveal(SecretReference(command=("/none/such",)), ENVIRON)


def test_why_a_command_failed_is_told_without_the_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """B3: its reason is part of the fault, and nothing of it reaches our terminal."""
    script = "import sys; print('hunter2-and-more'); "
    script += "sys.stderr.write('\\x1b[31mlocked: hunter2-and-more\\u202e'); sys.exit(3)"
    with pytest.raises(SecretMissing) as caught:
        reveal(prints(script), ENVIRON)
    assert caught.value.message.endswith("which prints a secret, ended with 3: locked: ***\N{REPLACEMENT CHARACTER}")
    flood = "import sys; sys.stderr.write('begin ' + 'x' * 500_000 + ' the cause'); sys.exit(1)"
    with pytest.raises(SecretMissing, match=r"the cause$") as caught:
        reveal(prints(flood), ENVIRON)
    assert len(caught.value.message) < 1_000
    assert capfd.readouterr() == ("", "")


def test_its_input_is_empty_and_it_has_no_terminal() -> None:
    """B3"""
    assert reveal(prints("import sys; print(repr(sys.stdin.read()))"), ENVIRON) == "''"
    with pytest.raises(SecretMissing, match="ended with 1"):
        reveal(prints("open('/dev/tty')"), ENVIRON)


def test_what_it_leaves_running_is_not_waited_for() -> None:
    """B5: an agent that a password program starts holds its output open."""
    assert reveal(SecretReference(command=("sh", "-c", "sleep 1000 & echo $!")), ENVIRON).isdigit()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] in "ZX"
    except OSError:
        return True


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


def test_one_that_takes_too_long_is_ended_with_all_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B3"""
    monkeypatch.setattr(finding, "COMMAND_SECONDS", 3.0)
    script = f"sleep 1000 & echo $! >{tmp_path}/pid; echo still asking >&2; sleep 1000"
    with pytest.raises(SecretMissing, match=r"took over 3 s and was ended: still asking"):
        reveal(SecretReference(command=("sh", "-c", script)), ENVIRON)
    asyncio.run(until(lambda: gone(int((tmp_path / "pid").read_text()))))


def test_one_that_prints_for_ever_is_ended() -> None:
    """B3"""
    with pytest.raises(SecretMissing, match="has over 16,777,216 bytes"):
        reveal(SecretReference(command=("yes",)), ENVIRON)


def test_whoever_stops_waiting_leaves_nothing_running(tmp_path: Path) -> None:
    """B3: Ctrl-C works."""
    pid = tmp_path / "pid"
    secret = SecretReference(command=("sh", "-c", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 1000"))

    async def main() -> None:
        task = asyncio.create_task(revealed(secret, lambda one: reveal(one, ENVIRON)))
        await until(pid.exists)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(main())  # it waits for its threads
    assert gone(int(pid.read_text()))
