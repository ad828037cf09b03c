"""Runs in MLflow, delivered from journals on disk."""
