"""Measures: how good, how sure, how robust."""
