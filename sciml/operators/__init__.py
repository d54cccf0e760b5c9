"""Operators, one to a file; the file name is the operator's name."""
