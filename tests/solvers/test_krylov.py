"""Conjugate gradients: exact in n steps, honest about what they reached, and not to be led astray by a preconditioner."""

import numpy as np
import pytest

from solvers.krylov import STALLED, conjugate_gradients

RNG = np.random.default_rng(17)
BASIS = np.linalg.qr(RNG.standard_normal((40, 40)))[0]
MATRIX = BASIS @ np.diag(np.logspace(0, 4, 40)) @ BASIS.T
F = RNG.standard_normal(40)


def apply(u):
    return MATRIX @ u


def exact(r):
    return np.linalg.solve(MATRIX, r)


def test_solves_and_reports_what_it_reached():
    plain = conjugate_gradients(apply, lambda r: r.copy(), F, tolerance=1e-9, limit=500)
    assert np.linalg.norm(F - apply(plain.values)) == pytest.approx(plain.residual * np.linalg.norm(F), rel=1e-6)
    assert plain.residual <= 1e-9
    assert len(plain.history) == plain.iterations
    assert conjugate_gradients(apply, exact, F, tolerance=1e-9).iterations == 1


def test_a_good_start_saves_steps_and_the_solution_takes_none():
    near = exact(F) + 1e-6 * RNG.standard_normal(40)
    cold, warm = (conjugate_gradients(apply, lambda r: r.copy(), F, start=s, limit=500).iterations for s in (None, near))
    assert warm < cold
    assert conjugate_gradients(apply, exact, F, start=exact(F), tolerance=1e-6).iterations == 0


def test_a_preconditioner_that_changes_is_taken():
    scale = iter(np.linspace(1, 2, 1000))
    wobbling = conjugate_gradients(apply, lambda r: next(scale) * r, F, limit=1000)
    assert wobbling.residual <= 1e-8


@pytest.mark.parametrize(
    "bad",
    [lambda r: -r, lambda r: np.full_like(r, np.nan), lambda r: BASIS[:, 0] * (BASIS[:, 0] @ r)],
    ids=["negative", "nan", "blind"],
)
def test_one_that_fails_is_replaced(bad):
    solved = conjugate_gradients(apply, bad, F, rescue=exact, limit=3 * STALLED)
    assert solved.residual <= 1e-8
    assert solved.rescued is not None
    assert solved.rescued <= STALLED
    assert conjugate_gradients(apply, exact, F, rescue=lambda r: r).rescued is None


def test_a_singular_operator_gives_the_answer_without_mean():
    n = 16
    ring = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0)
    f = np.sin(2 * np.pi * np.arange(n) / n)
    solved = conjugate_gradients(lambda u: ring @ u, lambda r: r.copy(), f, singular=True)
    assert abs(solved.values.mean()) < 1e-14
    np.testing.assert_allclose(ring @ solved.values, f, rtol=0, atol=1e-7)


def test_zero_and_a_limit():
    assert not conjugate_gradients(apply, exact, np.zeros(40)).values.any()
    short = conjugate_gradients(apply, lambda r: r.copy(), F, limit=3)
    assert short.iterations == 3
    assert short.residual > 1e-8
