"""Measurements: each is a program of its own that prints what it finds."""
