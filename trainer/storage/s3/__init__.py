"""Objects in S3, over boto3."""
