"""A run, a plan and many runs as people and programs see them: pure functions of the fold; they never write."""
