"""The regression gate: compares the headline metrics with those of a Git revision."""
