"""Predictions, scores with intervals, baselines, attribution and its checks."""
