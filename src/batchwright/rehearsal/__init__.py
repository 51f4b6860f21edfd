"""A plan driven through crashes and faults in a simulated world, on a virtual clock, and what must hold in the end."""
