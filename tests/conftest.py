"""What holds for every test: XLA compiles without its costly passes, as tests run each program once or twice."""

import os

# Before jax is imported. Compiling a step of the Euler equations takes a third of the time; results agree to rounding.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")
