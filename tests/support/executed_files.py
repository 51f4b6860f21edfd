"""Runs one command line of `batchwright`, then prints as one line of JSON: files of the package -> functions executed.

What an import executes does not count.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

from batchwright import __main__ as program

PACKAGE = f"{Path(program.__file__).parent}/"
MODULE = "<module>"


def main() -> None:
    """Carry the command out under a profiler of this process's threads."""
    executed: dict[str, set[str]] = defaultdict(set)
    importing = defaultdict[int, int](int)  # depth, by thread

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        thread = threading.get_ident()
        if code.co_name == MODULE and event in ("call", "return"):
            importing[thread] += 1 if event == "call" else -1
            return
        is_function = code.co_flags & CO_OPTIMIZED  # a class body is not
        if event == "call" and is_function and not importing[thread] and code.co_filename.startswith(PACKAGE):
            executed[code.co_filename.removeprefix(PACKAGE)].add(code.co_qualname)

    sys.argv[0] = "batchwright"
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        program.main()
    finally:
        sys.setprofile(None)
        print(json.dumps({file: sorted(executed[file]) for file in sorted(executed)}))


if __name__ == "__main__":
    main()
