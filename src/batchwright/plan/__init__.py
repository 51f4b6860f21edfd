"""A workflow, and what is observed, to a plan. Pure: nothing is contacted, no clock is read."""

from batchwright.plan.build import PlanResult, build
from batchwright.plan.critical_path import Estimate, estimate
from batchwright.plan.observations import Observations, ProviderObserved

__all__ = ["Estimate", "Observations", "PlanResult", "ProviderObserved", "build", "estimate"]
