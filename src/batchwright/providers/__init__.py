"""Providers: one port, and one adapter folder per cloud or kind of server."""
