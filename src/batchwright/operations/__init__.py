"""One module per operation type with all that is pure of it: its structs, what planning asks, its steps, its words."""
