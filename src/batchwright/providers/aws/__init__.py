"""Amazon EC2, through boto3 in threads."""

from batchwright.providers.aws.adapter import Aws

__all__ = ["Aws"]
