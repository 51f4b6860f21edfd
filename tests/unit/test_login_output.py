"""What a login says by itself is told apart from what was asked for, however it is cut into pieces (F10)."""

from __future__ import annotations

import itertools
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.login_output import KEPT, TOLD_LINES, TOLD_MAX, FramedOutput, MarkedOutput, fit
from tests.support.examples import share

noises = st.binary(max_size=60)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(noises, noises, noises, st.integers(0, 255), st.lists(st.integers(0, 500), max_size=8))
def test_only_what_is_between_the_marks_is_the_scripts(
    before: bytes, output: bytes, after: bytes, code: int, cuts: list[int]
) -> None:
    """F10: a start-up file that prints without a newline, and one that prints when it ends."""
    framed = FramedOutput(1000)
    mark = framed._marked.nonce.encode()
    for piece in pieces(before + b"\n" + mark + b"\n" + output + b"\n" + mark + b" %d\n" % code + after, cuts):
        framed.hear(piece)
    assert framed.begun
    assert framed.ended() == (code, output.decode(errors="replace"))


@given(noises)
def test_without_a_mark_nothing_is_a_scripts(noise: bytes) -> None:
    """F10: a start-up file that ends at once."""
    marked = MarkedOutput()
    assert marked.hear(noise) == b""
    assert not marked.begun
    assert marked.login() == fit(noise.decode(errors="replace"))


def test_what_is_kept_has_an_end() -> None:
    """F10: 3 MB, and then the mark."""
    framed = FramedOutput(1000)
    for _ in range(3000):
        framed.hear(b"x" * 1000)
    assert len(framed._marked._before) <= KEPT
    assert len(framed.login()) <= (TOLD_MAX + 2) * TOLD_LINES
    framed.hear(f"\n{framed._marked.nonce}\nyes\n{framed._marked.nonce} 0\n".encode())
    assert framed.ended() == (0, "yes")


@settings(max_examples=share(20), deadline=None)
@given(st.sampled_from(["echo one; exit 3; echo two", "printf last", "cat", "exit 0", "false", "exec sh -c 'exit 9'"]))
def test_a_script_runs_as_it_would_without(text: str) -> None:
    """F10."""
    framed = FramedOutput(1000)
    bare = subprocess.run(["sh", "-c", text], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    done = subprocess.run(["sh", "-s"], input=framed.script(text).encode(), capture_output=True, check=False)
    framed.hear(done.stdout)
    assert framed.ended() == (bare.returncode, bare.stdout.decode())
    assert done.returncode == bare.returncode
