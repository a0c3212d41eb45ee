"""The doors on AWS, and the only place that imports boto3, aioboto3, botocore or pynamodb."""
