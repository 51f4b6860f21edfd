"""The service's door: REST, server-sent events, metrics. It calls use cases and renders views, nothing else."""
