"""The record of what happened: append-only journals, one per run, behind one port with three adapters."""
