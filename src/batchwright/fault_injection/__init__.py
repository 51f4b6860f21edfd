"""Faults that the simulation and the emulators inject: one word for each, seeded draws, scripts and a rate limit."""
