"""Errors of webhooks."""

from batchwright.errors.base import BatchwrightError, StoreError


class DeliveryMoved(StoreError):
    """Another process changed what is recorded of a webhook's deliveries at the same moment."""

    code = "delivery-moved"
    hint = "Try again in a moment."


class WebhookNotFound(BatchwrightError):
    """The run has no webhook, or nothing that could be sent again."""

    code = "webhook-not-found"
    hint = "See what there is with: batchwright webhooks list"


class WebhookInvalid(BatchwrightError):
    """A message cannot be sent to this webhook: its URL, its address or its secret is refused."""

    code = "webhook-invalid"
