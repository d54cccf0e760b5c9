"""The harness of ODEBench: the systems, the scorer, what counts as the same structure."""

from collections import Counter

import numpy as np
import pytest
import sympy

from benchmarks.recovery.odebench import POLYNOMIAL, TIMES, exact, monomials, structure, truth
from benchmarks.recovery.pde_set import compared, conservative
from benchmarks.recovery.peers import pysindy_tuned
from pdes.ode_families.odebench import ROWS
from sciml.recovery.scores import r2


def test_sixty_three_systems_of_which_thirty_seven_are_polynomial():
    assert Counter(len(row[4][0]) for row in ROWS) == {1: 23, 2: 28, 3: 10, 4: 2}
    polynomial = [n for n in range(1, 64) if monomials(exact(n), len(ROWS[n - 1][4][0])) is not None]
    assert tuple(polynomial) == POLYNOMIAL
    assert len(polynomial) == 37


@pytest.mark.parametrize("number", [5, 24, 42, 62])
def test_the_scorer_accepts_the_true_equations_and_no_constant(number):
    from scipy.integrate import solve_ivp

    both = truth(number)
    dimension = both.shape[2]
    call = sympy.lambdify(sympy.symbols([f"x{i}" for i in range(dimension)]), exact(number))
    for one in both:
        found = solve_ivp(lambda t, v: call(*v), (0, 10), one[0], "DOP853", TIMES, rtol=1e-8, atol=1e-10).y.T
        assert r2(one, found) > 0.999
        assert r2(one, np.broadcast_to(one.mean(axis=0), one.shape)) == pytest.approx(0, abs=1e-9)


def test_structure_compares_terms_and_coefficients():
    x0 = sympy.Symbol("x0", real=True)
    assert structure(3, [0.79 * x0 - 0.79 / 74.3 * x0**2], 1) == {
        "exact": True,
        "f1": 1.0,
        "coefficient_error": pytest.approx(0, abs=1e-12),
    }
    other = structure(3, [0.79 * x0], 1)
    assert not other["exact"]
    assert other["f1"] == pytest.approx(2 / 3)
    assert structure(3, [sympy.sin(x0)], 1)["exact"] is False
    assert structure(4, [x0], 1) == {}


def test_peers_terms_in_our_names():
    assert conservative({"u": 1.0, "u_11": 0.1, "uu_1": -1.0}) == {"u": 1.0, "u_xx": 0.1, "dx(u^2)": -0.5}
    assert compared("burgers", {"u_xx": 0.011, "dx(u^2)": -0.5})["coefficient_error"] == pytest.approx(0.1)
    assert compared("burgers", {"u_xx": 0.01})["missing"] == ["dx(u^2)"]


def test_tuned_peer_finds_an_oscillator():
    pytest.importorskip("pysindy")
    t = np.linspace(0, 10, 400)
    simulate, _, terms = pysindy_tuned(t, np.stack([np.cos(2 * t), -2 * np.sin(2 * t)], 1))
    assert terms == 2
    assert r2(np.stack([np.cos(2 * t), -2 * np.sin(2 * t)], 1), simulate([1.0, 0.0], t)) > 0.99
