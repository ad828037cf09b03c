"""Plots, one function each, all in one style."""
