"""One module per operation type with all its pure parts: its structs, what planning asks, its steps, its words."""
