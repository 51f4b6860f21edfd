"""The HTTP API of the service: REST, server-sent events and metrics. It calls use cases and renders views."""
