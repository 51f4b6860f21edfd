"""A bridge to the compute clouds that Apache Libcloud knows, with as much safety as each of its drivers allows."""

from batchwright_libcloud.adapter import Libcloud

__all__ = ["Libcloud"]
