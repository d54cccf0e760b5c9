"""Three errors that stand in published generators, made again here: the residual check must refuse their labels.

A factor 1/(2h) left out of grad a . grad u (Darcy of PhysicsNeMo), a "steady" state taken at t = 1.75 (Darcy of PDEBench), and
exponential integrators that keep only the real part of complex coefficients (KdV of Exponax).
"""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import expm_multiply, spsolve

from pdes import Box, Equation, Periodic

DARCY = Equation("-div(a*grad(u)) = f", dimension=2, inputs=("a", "f"))
SQUARE = Box(x=(0, 1), y=(0, 1), boundary="dirichlet", kind="interior")


def relative(equation, u, grid, a, source):
    """Residual over the source, root mean square, two points off the walls."""
    values = equation.residual({"u": u[None]}, grid, inputs={"a": a[None], "f": np.full_like(u, source)[None]})
    return float(np.sqrt(np.mean(np.asarray(values)[0, 2:-2, 2:-2] ** 2))) / source


def permeability(grid):
    """Smooth, from about 1 to 9."""
    x, y = grid.mesh()
    return np.exp(1.1 + 1.1 * np.sin(2 * np.pi * x) * np.cos(3 * np.pi * y))


def central(n, h, order):
    """First or second difference with zeros beyond both ends."""
    if order == 1:
        return sp.diags([-np.ones(n - 1), np.ones(n - 1)], [-1, 1]) / (2 * h)
    return sp.diags([np.ones(n - 1), -2 * np.ones(n), np.ones(n - 1)], [-1, 0, 1]) / h**2


def mostly_low(grid):
    """0.1, and 1 in a corner."""
    x, y = grid.mesh()
    return 0.1 + 0.9 * np.exp(-((x - 0.25) ** 2 + (y - 0.25) ** 2) / 0.02)


def diffusion(n, factor=1.0, law=permeability):
    """a lap(u) + factor grad a . grad u as a matrix, a, and the grid."""
    grid = SQUARE.grid(n)
    a, h, eye = law(grid), grid.spacing[0], sp.eye(n)
    slopes = np.gradient(a, h, edge_order=2)
    first = [sp.kron(central(n, h, 1), eye), sp.kron(eye, central(n, h, 1))]
    lap = sp.kron(central(n, h, 2), eye) + sp.kron(eye, central(n, h, 2))
    matrix = sp.diags(a.ravel()) @ lap
    for slope, d in zip(slopes, first, strict=True):
        matrix = matrix + factor * sp.diags(slope.ravel()) @ d
    return sp.csr_matrix(matrix), a, grid


def test_darcy_without_the_factor_of_its_gradients():
    found = {}
    for n in (31, 63):
        for name, factor in (("right", 1.0), ("wrong", 2 / (n + 1))):  # the difference of a is not divided by 2 h
            matrix, a, grid = diffusion(n, factor)
            u = spsolve(matrix, -np.ones(n * n)).reshape(n, n)
            found[name, n] = relative(DARCY, u, grid, a, 1.0), u
    assert found["right", 63][0] < 0.02
    assert 1.6 < np.log2(found["right", 31][0] / found["right", 63][0]) < 2.6
    assert found["wrong", 63][0] > 0.4
    assert found["wrong", 63][0] > 0.7 * found["wrong", 31][0]  # and no grid mends it
    off = np.linalg.norm(found["wrong", 63][1] - found["right", 63][1]) / np.linalg.norm(found["right", 63][1])
    assert 0.12 < off < 0.6


@pytest.mark.parametrize(("source", "times"), [(0.01, 300), (1.0, 5)])
def test_darcy_that_is_not_steady_yet(source, times):
    n = 63
    matrix, a, grid = diffusion(n, law=mostly_low)
    steady = spsolve(matrix, -source * np.ones(n * n))
    start = np.random.default_rng(4).uniform(0, 5.0) * np.ones(n * n)
    late = (steady + expm_multiply(1.75 * matrix, start - steady)).reshape(n, n)
    right, wrong = (relative(DARCY, u, grid, a, source) for u in (steady.reshape(n, n), late))
    assert right < 0.05
    assert wrong > times * right
    if source == 0.01:
        assert np.linalg.norm(late.ravel() - steady) > np.linalg.norm(steady)


def soliton(dt, keep):
    """Frames of the KdV soliton of speed 4, one per step, by ETDRK4 whose coefficients go through `keep`."""
    n, length, steps = 256, 40.0, round(0.5 / dt)
    x = np.arange(n) * length / n
    k = 2 * np.pi * np.fft.fftfreq(n, length / n)
    k[n // 2] = 0
    z = 1j * k**3 * dt
    e, half = np.exp(z), np.exp(z / 2)
    w = z[:, None] + np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    mean = lambda f: keep(dt * f.mean(1))  # noqa: E731
    q = mean((np.exp(w / 2) - 1) / w)
    f1 = mean((-4 - w + np.exp(w) * (4 - 3 * w + w**2)) / w**3)
    f2 = mean((2 + w + np.exp(w) * (w - 2)) / w**3)
    f3 = mean((-4 - 3 * w - w**2 + np.exp(w) * (4 - w)) / w**3)
    kept = np.abs(k) < 2 / 3 * np.abs(k).max()
    change = lambda v: -3j * k * np.fft.fft(np.real(np.fft.ifft(v * kept)) ** 2) * kept  # noqa: E731
    v = np.fft.fft(2 / np.cosh(x - 15) ** 2)
    frames = [np.real(np.fft.ifft(v))]
    for _ in range(steps):
        nv = change(v)
        a = half * v + q * nv
        na = change(a)
        b = half * v + q * na
        nb = change(b)
        c = half * a + q * (2 * nb - nv)
        v = e * v + f1 * nv + 2 * f2 * (na + nb) + f3 * change(c)
        frames.append(np.real(np.fft.ifft(v)))
    exact = 2 / np.cosh(x - 15 - 4 * steps * dt) ** 2
    return np.stack(frames), Periodic(x=(0, length)).grid(n), np.arange(steps + 1) * dt, exact


def test_kdv_with_real_coefficients_only():
    kdv = Equation("u_t = -6*u*u_x - u_xxx")
    found = {}
    for name, keep in (("complex", lambda c: c), ("real", np.real)):
        for dt in (4e-3, 2e-3):
            u, grid, times, exact = soliton(dt, keep)
            values = np.asarray(kdv.residual({"u": u[None]}, grid, times, {}, scheme="spectral"))
            found[name, dt] = float(np.sqrt(np.mean(values**2))), float(np.linalg.norm(u[-1] - exact) / np.linalg.norm(exact))
    assert found["complex", 2e-3][1] < 1e-5 < 1e-2 < found["real", 2e-3][1]
    for dt in (4e-3, 2e-3):
        assert found["real", dt][0] > 20 * found["complex", dt][0]
    assert 0.8 < np.log2(found["real", 4e-3][1] / found["real", 2e-3][1]) < 1.2  # first order: smaller steps do not mend it
