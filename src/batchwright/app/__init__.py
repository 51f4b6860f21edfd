"""Wiring and use cases: one function per user verb. The only room that names adapters."""
