"""Residuals of time integrators: R(v, u) = 0 exactly when v is the classical step from u.

    trapezoid   (v - u) / dt - (F(v) + F(u)) / 2                                 Crank-Nicolson, order 2
    backward    (v - u) / dt - F(v)                                              backward Euler, order 1, damps
    euler       (v - u) / dt - F(u)                                              explicit Euler, order 1
    bdf2        (3 v - 4 u + w) / (2 dt) - F(v)                                  order 2, damps; w is the frame before u
    cnab2       (v - u) / dt - L (v + u) / 2 - (3 N(u) - N(w)) / 2               Crank-Nicolson and Adams-Bashforth, order 2
    etdrk2/4    (v - Phi(u)) / dt                                                Phi: step of `solvers.exponential`, order 2
    or 4 centred     (v - w) / (2 dt) - F(u)                                          of a whole block, as PINO-type losses
    take it

Unlike a residual by central differences in time, the others are those of one step: two interleaved sequences of frames that
drifted apart would be seen. The preconditioner P = (1/dt - L/2)^-1 (and its like) turns a residual into the error of the
step, to first order in dt; without it, fine scales that hardly matter dominate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sciml.operators.neural_stagger.discretisation import Discretisation, Known, Spectral
from solvers.errors import SettingError, SolverError, unknown_name

# name: (frames before the new one, implicit share b of (a - b L)^-1, factor of a = factor / dt)
SCHEMES = {
    "trapezoid": (1, 0.5, 1.0),
    "backward": (1, 1.0, 1.0),
    "euler": (1, 0.0, 1.0),
    "bdf2": (2, 1.0, 1.5),
    "cnab2": (2, 0.5, 1.0),
    "etdrk2": (1, 0.0, 1.0),
    "etdrk4": (1, 0.0, 1.0),
    "centred": (2, 0.0, 0.5),
}
ITERATIONS = 200


@dataclass(frozen=True)
class Certificate:
    """What is known of a corrected step, per item: ||P R|| / ||v||, and sweeps made; `bound` on the relative distance to the
    classical step, where the sweeps were seen to contract (else NaN)."""

    residual: np.ndarray
    sweeps: int
    bound: np.ndarray


class Stepper:
    """One time step of a discretised equation.

    Parameters
    ----------
    discretisation : of the right-hand side.   scheme : a name above.   dt : time between frames, > 0.
    """

    def __init__(self, discretisation: Discretisation, scheme: str, dt: float):
        if scheme not in SCHEMES:
            raise unknown_name("scheme", scheme, SCHEMES)
        if not 0 < dt < np.inf:
            raise SettingError(given=f"dt={dt}", needed="dt > 0", remedy="Change `dt`.")
        self.space, self.scheme, self.dt = discretisation, scheme, float(dt)
        self.frames, self.share, self.factor = SCHEMES[scheme]
        if scheme.startswith("etdrk"):
            if not isinstance(discretisation, Spectral) or any(discretisation.evolution.coupling):
                raise SettingError(
                    given=f"scheme {scheme!r}",
                    needed="a spectral discretisation whose linear part does not couple unknowns",
                    remedy="Use scheme='trapezoid'.",
                )
            self.order = int(scheme[-1])
        self._coefficients: dict[tuple, Any] = {}

    def residual(self, new: torch.Tensor, past: Sequence[torch.Tensor], p: Known) -> torch.Tensor:
        """R, (item, unknown, *space). past : frames before `new`, newest first; with one only, two-frame schemes start with
        the trapezoid (cnab2: with N(u))."""
        s, dt, old = self.space, self.dt, past[0]
        scheme = self._started(past)
        if scheme.startswith("etdrk"):
            return (new - self.explicit(old, p)) / dt
        change = s.mass(new - old) / dt
        if scheme == "trapezoid":
            return change - (s.rate(new, p) + s.rate(old, p)) / 2
        if scheme == "backward":
            return change - s.rate(new, p)
        if scheme == "euler":
            return change - s.rate(old, p)
        if scheme == "bdf2":
            return s.mass(1.5 * (new - old) - 0.5 * (old - past[1])) / dt - s.rate(new, p)
        if scheme == "centred":
            return s.mass(new - past[1]) / (2 * dt) - s.rate(old, p)
        rates = [s.rate(u, p) - s.linear(u, p) for u in past[:2]]
        moved = rates[0] if len(rates) == 1 else 1.5 * rates[0] - 0.5 * rates[1]
        return change - s.linear(new + old, p) / 2 - moved

    def precondition(self, r: torch.Tensor, p: Known, frames: int = 2) -> torch.Tensor:
        """P r, in the units of u. frames : how many frames were before."""
        scheme = self._started(range(frames))
        _, share, factor = SCHEMES[scheme]
        if share == 0 and type(self.space).mass is Discretisation.mass:
            return r * (self.dt / factor)
        return self.space.solve(r, factor / self.dt, share, p)

    def _started(self, past: Sequence) -> str:
        return "trapezoid" if len(past) < 2 and self.scheme in ("bdf2", "centred") else self.scheme

    def sweep(self, new: torch.Tensor, past: Sequence[torch.Tensor], p: Known) -> tuple[torch.Tensor, torch.Tensor]:
        """One preconditioned Picard iteration, v - P R(v), and P R(v)."""
        change = self.precondition(self.residual(new, past, p), p, len(past))
        return new - change, change

    def step(self, past: Sequence[torch.Tensor], p: Known, tolerance: float = 1e-10) -> torch.Tensor:
        """The classical step: sweeps from the old frame until ||P R|| <= tolerance * ||v||.

        Raises
        ------
        SolverError : the sweeps do not converge (the step is too long for them).
        """
        new, certificate = self.corrected(past[0], past, p, ITERATIONS, tolerance)
        if not (certificate.residual <= tolerance).all():
            raise SolverError(
                given=f"a step of dt={self.dt:g} whose residual stayed at {certificate.residual.max():.2e}",
                needed=f"{tolerance:g} within {ITERATIONS} sweeps",
                remedy="Take a shorter step.",
            )
        return new

    def corrected(
        self, new: torch.Tensor, past: Sequence[torch.Tensor], p: Known, sweeps: int, tolerance: float = 0.0
    ) -> tuple[torch.Tensor, Certificate]:
        """At most `sweeps` iterations, fewer once all items reach the tolerance; and the certificate of what is returned."""
        sizes: list[torch.Tensor] = []
        done = 0
        while True:
            better, change = self.sweep(new, past, p)
            sizes.append(_norm(change) / _norm(new).clamp_min(torch.finfo(new.dtype).tiny))
            if done >= sweeps or bool((sizes[-1] <= tolerance).all()) or not bool(torch.isfinite(sizes[-1]).all()):
                break
            new, done = better, done + 1
        residual = sizes[-1].detach().double().cpu().numpy()
        bound = np.full(len(residual), np.nan)
        if len(sizes) > 1:
            rate = residual / np.maximum(sizes[-2].detach().double().cpu().numpy(), 1e-300)
            bound = np.where(rate < 1, residual / np.where(rate < 1, 1 - rate, 1.0), np.nan)
        return new, Certificate(residual, done, bound)

    def explicit(self, u: torch.Tensor, p: Known) -> torch.Tensor:
        """Phi(u) of the exponential Runge-Kutta schemes (Cox and Matthews 2002)."""
        s = self.space
        assert isinstance(s, Spectral)
        hat = s.transform(u) * s.kept(u)
        c = self._exponentials(s, p, hat)
        n = s.nonlinear(hat, p)
        if self.order == 2:
            a = c["whole"] * hat + c["f1"] * n
            return s.points(a + c["f2"] * (s.nonlinear(a, p) - n))
        linear = c["half"] * hat
        a = linear + c["q"] * n
        na = s.nonlinear(a, p)
        nb = s.nonlinear(linear + c["q"] * na, p)
        nc = s.nonlinear(c["half"] * a + c["q"] * (2 * nb - n), p)
        return s.points(c["whole"] * hat + c["f1"] * n + c["f2"] * (na + nb) + c["f3"] * nc)

    def _exponentials(self, s: Spectral, p: Known, like: torch.Tensor) -> dict[str, torch.Tensor]:
        from solvers.exponential import _coefficients

        symbol = s.symbol(
            {n: v.double() if isinstance(v, torch.Tensor) else v for n, v in p.items()}, like.to(torch.complex128)
        )
        key = (like.dtype, like.device, hash(symbol.detach().cpu().numpy().tobytes()))
        if key not in self._coefficients:
            if len(self._coefficients) > 8:
                self._coefficients.clear()
            found = _coefficients(symbol.detach().cpu().numpy(), self.dt, self.order, "float64")
            real = like.dtype.to_real()
            self._coefficients[key] = {
                n: torch.as_tensor(v, device=like.device).to(real.to_complex() if np.iscomplexobj(v) else real)
                for n, v in found.items()
            }
        return self._coefficients[key]


def _norm(u: torch.Tensor) -> torch.Tensor:
    return u.reshape(len(u), -1).square().mean(-1).sqrt()
