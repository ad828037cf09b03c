"""`params.yaml` as checked, frozen dataclasses."""
