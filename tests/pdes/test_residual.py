"""Residuals against closed forms, with their orders, and against wrong equations."""

import numpy as np
import pytest
import torch

from pdes import Box, Equation, Periodic
from solvers.errors import DataError, SettingError

BURGERS = Equation("u_t = nu*u_xx - u*u_x")


def cole_hopf(x, t, nu):
    """Periodic Burgers: u = -2 nu phi_x / phi, phi = 2 + exp(-4 pi^2 nu t) cos(2 pi x)."""
    decay = np.exp(-4 * np.pi**2 * nu * t)[:, None]
    return 4 * np.pi * nu * decay * np.sin(2 * np.pi * x) / (2 + decay * np.cos(2 * np.pi * x))


def burgers_fields(n, frames, nu=0.05):
    grid, t = Periodic(x=(0, 1)).grid(n), np.linspace(0.1, 0.3, frames)
    return {"u": cole_hopf(grid.coordinates()[0], t, nu)[None]}, grid, t


def rms(values):
    return float(np.sqrt(np.mean(np.asarray(values) ** 2)))


def test_cole_hopf_residual_falls_at_second_order():
    errors = []
    for level in (1, 2, 4):
        fields, grid, t = burgers_fields(32 * level, 20 * level + 1)
        errors.append(rms(BURGERS.residual(fields, grid, t, {"nu": 0.05})))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.2), orders


def test_cole_hopf_residual_vanishes_spectrally():
    fields, grid, t = burgers_fields(64, 201)
    assert rms(BURGERS.residual(fields, grid, t, {"nu": np.array([0.05])}, scheme="spectral")) < 1e-9


@pytest.mark.parametrize(
    "wrong", ["u_t = nu*u_xx + u*u_x", "u_t = -nu*u_xx - u*u_x", "-u_t = nu*u_xx - u*u_x", "u_t = nu*u_xx - u*u_x/2"]
)
def test_a_wrong_sign_or_factor_shows(wrong):
    fields, grid, t = burgers_fields(64, 201)
    assert rms(Equation(wrong).residual(fields, grid, t, {"nu": 0.05}, scheme="spectral")) > 0.05


@pytest.mark.parametrize("kind", ["cell", "node", "interior"])
@pytest.mark.parametrize("wall", ["dirichlet", "neumann"])
def test_eigenfunctions_on_walls_at_second_order(kind, wall):
    errors = []
    for n in (32, 64):
        grid = Box(x=(0, 2), y=(0, 1), boundary=wall, kind=kind).grid((n, n))
        shape = np.sin if wall == "dirichlet" else np.cos
        x, y = grid.mesh()
        u = shape(np.pi * x / 2) * shape(2 * np.pi * y)
        f = (np.pi**2 / 4 + 4 * np.pi**2) * u
        r = Equation("-lap(u) = f", dimension=2, inputs=("f",)).residual({"u": u[None]}, grid, inputs={"f": f[None]})
        errors.append(rms(r))
    assert 1.4 < np.log2(errors[0] / errors[1]) < 2.2, errors


def test_flux_form_is_exact_on_the_layers_of_a_jump():
    # a = 1 left of 1/2 and 9 right of it; -(a u_x)_x = 0 with u(0) = 0 and a constant flux q has slopes q and q / 9.
    grid = Box(x=(0, 1), y=(0, 1), boundary={"x": "dirichlet", "y": "neumann"}).grid((16, 4))
    x = grid.mesh()[0]
    a = np.where(x < 0.5, 1.0, 9.0)
    u = np.where(x < 0.5, x, 0.5 + (x - 0.5) / 9)
    r = Equation("-div(a*grad(u)) = 0*f", dimension=2, inputs=("a",), unknowns=("u",))
    values = r.residual({"u": u[None]}, grid, inputs={"a": a[None]}) if r.inputs == ("a",) else None
    assert values is not None
    np.testing.assert_allclose(values[0, :-1], 0, atol=1e-10)  # the right wall is not zero: its row differs


def test_torch_tensors_keep_their_kind_and_gradient():
    fields, grid, t = burgers_fields(64, 21)
    u = torch.tensor(fields["u"], requires_grad=True)
    for scheme in ("finite-difference", "spectral"):
        expected = BURGERS.residual(fields, grid, t, {"nu": 0.05}, scheme=scheme)
        r = BURGERS.residual({"u": u}, grid, t, {"nu": torch.tensor([0.05], dtype=torch.float64)}, scheme=scheme)
        np.testing.assert_allclose(r.detach().numpy(), expected, atol=1e-9)
        (gradient,) = torch.autograd.grad(r.square().sum(), u)
        assert torch.isfinite(gradient).all()


def test_systems_and_stream_functions():
    grid, t = Periodic(x=(0, 1), y=(0, 1)).grid(32), np.linspace(0, 0.02, 9)
    x, y = grid.mesh()
    decay = np.exp(-8 * np.pi**2 * 0.1 * t)[:, None, None]
    w = decay * np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y)  # an eigenfunction: the nonlinear term vanishes
    flow = Equation("w_t = nu*lap(w) - dx(psi_y*w) + dy(psi_x*w); -lap(psi) = w")
    r = flow.residual({"w": w[None], "psi": w[None] / (8 * np.pi**2)}, grid, t, {"nu": 0.1}, scheme="spectral")
    assert len(r) == 2
    assert max(rms(r[0]), rms(r[1])) < 1e-8


def test_clear_words_for_missing_pieces():
    fields, grid, t = burgers_fields(32, 21)
    with pytest.raises(DataError, match="no parameter 'nu'"):
        BURGERS.residual(fields, grid, t)
    with pytest.raises(DataError, match="5 times for 21 frames"):
        BURGERS.residual(fields, grid, t[:5], {"nu": 1})
    with pytest.raises(DataError, match="evenly spaced"):
        BURGERS.residual(fields, grid, t**2, {"nu": 1})
    with pytest.raises(SettingError, match="one of"):
        BURGERS.residual(fields, grid, t, {"nu": 1}, scheme="magic")
    with pytest.raises(SettingError, match="a periodic grid"):
        Equation("lap(u) = 0").residual({"u": np.ones((1, 4, 4))}, Box(x=(0, 1), y=(0, 1)).grid(4), scheme="spectral")
