"""`python -m benchmarks run | report | compare | verify`: the PDE benchmark suite, see `benchmarks.suite`."""

from benchmarks.suite.commands import app

if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
