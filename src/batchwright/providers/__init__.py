"""Where servers live: one port, one adapter folder per place."""
