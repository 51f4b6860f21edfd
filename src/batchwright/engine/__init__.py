"""Plan -> decisions (pure: machine, forward, backward, sweeping, order, policy) -> effects (perform, limits, loop)."""
