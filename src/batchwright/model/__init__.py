"""The vocabulary as frozen values, the state tables, the events and the one fold. Pure: no I/O, no clock."""
