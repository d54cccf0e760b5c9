"""Cole-Hopf: closed solutions, a moving frame, the public reference, and honest refusal where its digits are gone."""

import numpy as np
import pytest
from scipy.integrate import quad

from solvers.cole_hopf import ColeHopf
from solvers.errors import DataError, GridError, SettingError
from solvers.exponential import ExponentialRK
from solvers.grid import Grid
from solvers.result import Outcome

LINE = Grid.box("periodic", 256)
X = LINE.coordinates()[0]


def test_closed_solution():
    """u = -2 nu phi_x / phi, phi = 2 + exp(-4 pi^2 nu t) cos 2 pi x."""
    nu = 0.03

    def exact(t):
        decay = np.exp(-4 * np.pi**2 * nu * t)
        return 4 * np.pi * nu * decay * np.sin(2 * np.pi * X) / (2 + decay * np.cos(2 * np.pi * X))

    times = np.array([0.0, 0.2, 1.0])
    found = ColeHopf(LINE).solve(exact(0)[None], times, {"nu": nu}).values_or_raise()
    np.testing.assert_allclose(found[0], [exact(t) for t in times], atol=1e-13)


def test_minus_sine_by_quadrature():
    """u(0, x) = -sin(pi x) on [-1, 1]: the integral of Basdevant et al., Comput. Fluids 14 (1986), by adaptive quadrature."""
    nu, t, grid = 0.1 / np.pi, 0.3, Grid.box("periodic", 512, start=-1.0, stop=1.0)
    x = grid.coordinates()[0]
    found = ColeHopf(grid).solve(-np.sin(np.pi * x)[None], np.array([0.0, t]), {"nu": nu}).values_or_raise()[0, 1]
    for i in (30, 200, 260, 400):

        def weight(eta, x=x[i]):
            return np.exp(-np.cos(np.pi * (x - eta)) / (2 * np.pi * nu) - eta**2 / (4 * nu * t) - 1 / (2 * np.pi * nu))

        top = quad(lambda e, x=x[i], w=weight: np.sin(np.pi * (x - e)) * w(e), -2, 2, epsabs=0, epsrel=1e-10, limit=200)[0]
        bottom = quad(weight, -2, 2, epsabs=0, epsrel=1e-10, limit=200)[0]
        assert found[i] == pytest.approx(-top / bottom, abs=1e-8)


def test_mean_flow_and_time_stepping_agree():
    u = 0.7 + np.stack([np.sin(2 * np.pi * X), 0.5 * np.cos(4 * np.pi * X)])
    nu, times = np.array([0.05, 0.02]), np.array([0.0, 0.1, 0.5])
    found = ColeHopf(LINE).solve(u, times, {"nu": nu}).values_or_raise()

    def nonlinear(u_hat, modes, p):
        return -0.5j * modes.k[0] * modes.modes(modes.points(u_hat) ** 2)

    stepped = ExponentialRK(LINE, lambda k, p: -p["nu"] * k[0] ** 2, nonlinear, 5e-4).solve(u, times, {"nu": nu})
    np.testing.assert_allclose(found, stepped.values, atol=1e-8)


def test_too_little_viscosity_is_said_per_sample():
    u = np.stack([np.sin(2 * np.pi * X)] * 2)
    result = ColeHopf(LINE).solve(u, np.array([0.0, 0.01]), {"nu": np.array([0.002, 0.1])})
    assert result.outcome.tolist() == [Outcome.NOT_CONVERGED, Outcome.SUCCESS]
    assert np.isnan(result.values[0]).all()
    assert result.stats["smallest_theta"][0] < 1e-7 < result.stats["smallest_theta"][1]


def test_bad_input_is_refused():
    u = np.sin(2 * np.pi * X)[None]
    with pytest.raises(GridError, match="one periodic axis"):
        ColeHopf(Grid.box("periodic", 8, dimension=2))
    with pytest.raises(SettingError, match="smallest"):
        ColeHopf(LINE, smallest=0.0)
    for nu in (-0.1, np.array([0.1, 0.1]), np.nan):
        with pytest.raises(DataError, match="'nu' > 0"):
            ColeHopf(LINE).solve(u, np.array([0.0, 1.0]), {"nu": nu})
    with pytest.raises(DataError, match="increasing"):
        ColeHopf(LINE).solve(u, np.array([1.0, 0.0]), {"nu": 0.1})
