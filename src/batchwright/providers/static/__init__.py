"""The provider of existing servers, reached over SSH: a run records and releases them, and never changes them."""

from batchwright.providers.static.adapter import Static

__all__ = ["Static"]
