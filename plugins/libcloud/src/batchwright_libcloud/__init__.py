"""A bridge to the compute clouds that Apache Libcloud supports, as safe as each of its drivers allows."""

from batchwright_libcloud.adapter import Libcloud

__all__ = ["Libcloud"]
