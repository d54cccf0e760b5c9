"""Benchmarks of equation recovery; each writes benchmarks/results/recovery_<name>.json row by row."""
