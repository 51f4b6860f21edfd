"""The provider of servers that exist already, reached over SSH: recorded for a run, and let go, never changed."""

from batchwright.providers.static.adapter import Static

__all__ = ["Static"]
