"""Benchmarks: every figure is a ratio of two ways measured in one run."""
