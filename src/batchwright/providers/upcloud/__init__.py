"""UpCloud: the provider port over API 1.3, spoken by a small client of its own."""

from batchwright.providers.upcloud.adapter import UpCloud

__all__ = ["UpCloud"]
