"""Classical solvers: numerics on arrays, with no knowledge of datasets or of learning.

Modules are imported on use (`from solvers.multigrid import ...`), so that importing this package loads neither JAX nor SciPy.
"""
