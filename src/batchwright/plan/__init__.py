"""A workflow, and what is observed, to a plan. Pure: nothing is contacted, no clock is read."""

from batchwright.operations.observations import Observations, ProviderObserved
from batchwright.plan.build import PlanResult, build
from batchwright.plan.critical_path import Estimate, estimate

__all__ = ["Estimate", "Observations", "PlanResult", "ProviderObserved", "build", "estimate"]
