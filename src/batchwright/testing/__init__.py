"""Shipped for authors of adapters and for rehearsals: a clock that jumps, crash wrappers, conformance suites."""
