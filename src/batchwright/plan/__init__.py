"""A workflow, and what is observed, to a plan. Pure: nothing is contacted, no clock is read."""

from batchwright.plan.build import Built, build
from batchwright.plan.critical import Estimate, estimate
from batchwright.plan.observed import Observations, ProviderObserved

__all__ = ["Built", "Estimate", "Observations", "ProviderObserved", "build", "estimate"]
