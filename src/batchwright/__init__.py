"""Batch workflows of infrastructure operations: typed, planned, parallel, crash-safe, reversible."""

__version__ = "0.1.0"
