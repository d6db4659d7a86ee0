"""Measures: what a world gets right, how fast it runs, and the reports made of it."""
