"""Programs that commands run: on this machine, and on servers over SSH."""
