"""Errors of what spans machines: Temporal and its workers."""

from batchwright.errors.base import BatchwrightError


class FleetPackageMissing(BatchwrightError):
    """The Python package that speaks to Temporal is not installed."""

    code = "fleet-package-missing"
    hint = "Install it with: pip install 'batchwright[temporal]'"


class TemporalUnavailable(BatchwrightError):
    """No Temporal cluster is configured, or it does not answer or does not let us in."""

    code = "temporal-unavailable"
    hint = "Set its address in BATCHWRIGHT_TEMPORAL_ADDRESS or config.toml; docs/fleet.md says how."
