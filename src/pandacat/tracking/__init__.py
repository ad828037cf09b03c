"""Runs in MLflow, delivered from a journal on disk."""
