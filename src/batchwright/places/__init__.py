"""Calls to places: networks that only a worker inside can reach. One call of a port is one message there and back."""
