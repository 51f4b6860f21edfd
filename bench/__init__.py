"""Measurements: each prints a table; `python -m bench` runs all of them and writes bench/RESULTS.md."""
