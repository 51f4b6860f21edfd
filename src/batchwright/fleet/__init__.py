"""The same service on many machines: Temporal carries runs to workers. The journal alone says what happened."""
