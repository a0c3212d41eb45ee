"""What is measured, each a program of its own: `python -m benchmarks.clients.NAME STREAM SECONDS [MODE]`.

It reads STREAM of the endpoint in its environment, begins to count once it runs evenly, and prints a line of JSON after
so many seconds: the CPU of the whole process in between, and the records and calls. Peers run in an environment of
their own, so these modules import nothing but the standard library and what they measure.
"""
