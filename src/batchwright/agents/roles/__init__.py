"""Ten roles over slices: each answers one question about a run, a plan, a file or an environment, without any model."""
