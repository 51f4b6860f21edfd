"""One program for each peer, run by a Python of its own: a workflow of STEPS durable steps that do nothing, as JSON."""
