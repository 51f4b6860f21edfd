"""Amazon EC2, by boto3 in threads."""

from batchwright.providers.aws.adapter import Aws

__all__ = ["Aws"]
