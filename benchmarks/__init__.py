"""Measurements that the documents quote: each module is a command, `python -m benchmarks.<name>`, that stores JSON.

Results lie in benchmarks/results, one file per benchmark, with the command, the commit and the machine that made them.
"""
