"""Runs: what a window touches, the decision, its application, and what the comparator is told."""
