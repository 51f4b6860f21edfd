"""Shipped for authors of adapters and for rehearsals: a virtual clock, crash wrappers and conformance suites."""
