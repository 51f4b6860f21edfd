"""The `batchwright` command: reads options, calls use cases, renders views, and nothing else."""
