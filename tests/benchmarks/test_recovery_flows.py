"""Chaotic flows for equation recovery: which count, their exponents, what a fit is scored by."""

import numpy as np
import pytest
import sympy

from benchmarks.recovery import chaos, flows
from pdes.ode_families.flows import SYSTEMS

LORENZ = {
    (0, (1, 0, 0)): -10.0,
    (0, (0, 1, 0)): 10.0,
    (1, (1, 0, 0)): 28.0,
    (1, (0, 1, 0)): -1.0,
    (1, (1, 0, 1)): -1.0,
    (2, (0, 0, 1)): -8 / 3,
    (2, (1, 1, 0)): 1.0,
}


def test_flows_of_three_components_and_degree_three():
    names = chaos.flows()
    assert {"lorenz63", "roessler", "chen", "arneodo", "rabinovich_fabrikant", "sprott_a", "sprott_s"} <= set(names)
    assert not {"thomas", "chua", "aizawa", "duffing", "hyper_xu", "qi", "forced_brusselator"} & set(names)
    assert len(names) == 56
    assert chaos.terms("lorenz63") == pytest.approx(LORENZ)


def test_the_common_loop_solves_what_the_problem_says():
    name = "rabinovich_fabrikant"  # of degree three, with every kind of term
    start = np.array([[-1.8, 0.83, 0.21]])
    times = np.linspace(0, 3, 31)
    values = {key: np.array([value]) for key, value in chaos.STANDARD[name].items()}
    problem = SYSTEMS[name]
    other = problem.solver(problem, problem.domain.grid(()), dict(zip("xyz", start.T, strict=True)), values, times)
    mine = chaos.solved(name, start[0], times)
    np.testing.assert_allclose(mine, np.stack([other.fields[key][0] for key in "xyz"], 1), rtol=1e-7, atol=1e-7)


def test_lyapunov_exponents_of_lorenz_and_of_a_torus():
    exponent, error = chaos.lyapunov("lorenz63")
    assert exponent == pytest.approx(0.906, abs=0.015)  # Sprott, Chaos and Time-Series Analysis, Oxford 2003
    assert 0 < error < 0.01
    assert not chaos.facts("nose_hoover")["chaotic"]  # its standard state lies on a torus


def test_scores_of_the_truth_of_a_near_miss_and_of_what_runs_away():
    true = chaos.ahead("lorenz63", 0.906)
    fail = lambda start, times: pytest.fail("a cubic is solved by the common loop")  # noqa: E731
    same = flows.simulated(LORENZ, fail, true[0], chaos.AHEAD / 0.906)
    np.testing.assert_allclose(same[:1000], true[:1000], atol=1e-3)
    wild = flows.simulated({**LORENZ, (0, (3, 0, 0)): 1.0}, fail, true[0], chaos.AHEAD / 0.906)
    assert np.isnan(wild[-1]).all()
    assert chaos.distance(true, true) == 0
    assert chaos.distance(true, true + true.std(axis=0)) == pytest.approx(1)


def test_another_method_is_scored_and_its_failure_named(monkeypatch):
    x = sympy.symbols("x0 x1 x2", real=True)
    truth = [10.0 * (x[1] - x[0]), 28.0 * x[0] - x[1] - x[0] * x[2], x[0] * x[1] - sympy.Float(8 / 3, 17) * x[2]]
    monkeypatch.setitem(flows.METHODS, "truth", lambda t, x: (None, truth, 7))
    row = flows.run("lorenz63", 0.05, 11, "truth", 0.906)
    assert row["exact"]
    assert row["valid_time"] > 9
    assert row["statistics"] < 0.2
    monkeypatch.setitem(flows.METHODS, "broken", lambda t, x: 1 / 0)
    assert "ZeroDivision" in flows.run("lorenz63", 0.05, 11, "broken", 0.906)["failure"]


def test_terms_are_compared_and_what_is_no_polynomial_is_spurious():
    x = sympy.symbols("x0 x1 x2", real=True)
    sides = [10.0 * (x[1] - x[0]), 28.0 * x[0] - x[1] - x[0] * x[2], x[0] * x[1] - sympy.Float(8 / 3, 17) * x[2]]
    same = flows.compared(LORENZ, sides)
    assert same == {"exact": True, "missing": 0, "spurious": 0, "coefficient_error": pytest.approx(0, abs=1e-15)}
    near = flows.compared(LORENZ, [sides[0], sides[1] - 0.1 * x[1], sides[2] + 0.01])
    assert near == {"exact": False, "missing": 0, "spurious": 1, "coefficient_error": pytest.approx(0.1)}
    other = flows.compared(LORENZ, [sides[0], 28.0 * x[0] - x[1], sides[2] + 1e-9 * sympy.sin(x[1])])
    assert other == {"exact": False, "missing": 1, "spurious": 1, "coefficient_error": 1.0}
