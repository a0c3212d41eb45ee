"""A Kinesis of our own, for the demo, our tests and our users' tests."""
