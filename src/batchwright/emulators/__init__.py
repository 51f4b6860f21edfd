"""Emulators of cloud APIs, faithful enough to rehearse with and to test the adapters against."""
