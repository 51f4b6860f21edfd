"""Libraries that a package looks for while it is loaded: in the loader's cache, and not with a compiler.

For a library that is not there, `ctypes.util.find_library` starts gcc and ld, which takes a fifth of loading asyncssh.
"""

from __future__ import annotations

import contextlib
import ctypes.util
from collections.abc import Iterator

_COMPILERS = ("_findLib_gcc", "_findLib_ld")  # of Linux; elsewhere there are none


def _none(_name: str) -> None:
    return None


@contextlib.contextmanager
def without_compilers() -> Iterator[None]:
    """No compiler is started for `find_library` within."""
    kept = {name: getattr(ctypes.util, name) for name in _COMPILERS if hasattr(ctypes.util, name)}
    for name in kept:
        setattr(ctypes.util, name, _none)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(ctypes.util, name, function)
