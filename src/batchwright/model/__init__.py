"""The words as frozen values, the life cycle tables, the events and the one fold. Pure: no I/O, no clock."""
