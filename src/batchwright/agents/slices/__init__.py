"""Slices: for one question, the facts computed from a run, as ranked lines within a budget of tokens."""
