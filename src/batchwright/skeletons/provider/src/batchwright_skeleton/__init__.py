"""skeleton as a provider of Batchwright."""

from batchwright_skeleton.adapter import SkeletonProvider

__all__ = ["SkeletonProvider"]
