"""Servers on this machine: a sandbox each, over a shared base tree. No daemon, no credentials, no security boundary."""
