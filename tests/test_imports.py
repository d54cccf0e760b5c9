"""Importing is light, and goes one way."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("solvers", ("jax", "torch", "scipy", "pdes", "sciml")),
        ("pdes", ("jax", "torch", "sciml")),
        ("sciml", ("jax", "torch", "matplotlib")),
        ("sciml.fitting", ("jax", "torch")),
        ("sciml.cli", ("jax", "torch", "sympy")),
    ],
)
def test_import_is_light(package, absent):
    code = f"import sys, {package}; print([m for m in {absent} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def test_public_names_of_sciml_exist():
    import sciml

    for name in sciml.__all__:
        assert callable(getattr(sciml, name)), name
    # The function stays the function when its module has been imported by name.
    import sciml.evaluation
    import sciml.fitting

    assert callable(sciml.fit)
    assert callable(sciml.evaluate)


def test_jax_64_bit_mode_is_left_as_it_was():
    code = (
        "import jax, numpy as np, pdes\n"
        "pdes.generate('burgers', n=1, resolution=32, seed=7, progress=False)\n"
        "assert jax.numpy.ones(1).dtype == np.float32, 'the global 64-bit mode was switched'\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
