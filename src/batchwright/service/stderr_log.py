"""What processes that run for long log, on stderr."""

from __future__ import annotations

import logging
import sys

from batchwright.printable import PrintableFormatter


def log_to_stderr() -> None:
    """Log to stderr, one line per message."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name, level in (("batchwright", logging.INFO), ("uvicorn", logging.ERROR)):  # it warns about every bad request
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(level)
