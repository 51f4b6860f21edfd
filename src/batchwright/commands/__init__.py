"""Runs the programs of commands: on this machine, and on servers over SSH."""
