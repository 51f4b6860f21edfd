"""Emulators of clouds: processes of their own that speak a cloud's protocol, for tests and rehearsals."""
