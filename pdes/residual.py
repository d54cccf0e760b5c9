"""Left minus right side of an equation on given fields, with stencils that share no code with the solvers.

"finite-difference" is second order in space and time and knows walls through ghost points; fluxes (c u_x)_x are taken
between neighbours, with the harmonic mean of an input coefficient. "spectral" differentiates Fourier modes on periodic boxes
and uses up to seven frames in time.
"""

import sys
from collections.abc import Mapping

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from pdes import grammar
from pdes.grammar import COORDINATES
from pdes.terms import evaluate
from solvers.errors import DataError, SettingError
from solvers.grid import Axis, Grid

SCHEMES = ("finite-difference", "spectral")
_STENCILS = {1: (-0.5, 0.0, 0.5), 2: (1.0, -2.0, 1.0), 3: (-0.5, 1.0, 0.0, -1.0, 0.5), 4: (1.0, -4.0, 6.0, -4.0, 1.0)}
_CENTRAL = {
    2: (-1 / 2, 0, 1 / 2),
    4: (1 / 12, -2 / 3, 0, 2 / 3, -1 / 12),
    6: (-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60),
}
_SECOND = {
    2: (1, -2, 1),
    4: (-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12),
    6: (1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90),
}


def residual(
    equation,
    fields: Mapping,
    grid: Grid,
    times=None,
    parameters: Mapping | None = None,
    inputs: Mapping | None = None,
    scheme="finite-difference",
):
    """Left minus right side of each equation.

    Parameters
    ----------
    equation : `pdes.Equation`.
    fields : unknown -> (sample, time, *space) with `times`, else (sample, *space). NumPy, torch or JAX arrays.
    grid : where the points lie, and what holds on the walls.
    times : (time,) evenly spaced, for equations in time.
    parameters : name -> number or (sample,).
    inputs : name -> (sample, *space).
    scheme : one of `SCHEMES`.

    Returns
    -------
    One array, or a tuple for systems. In time the first and last frames, where no central difference exists, are left out.

    Examples
    --------
    >>> from pdes.equation import Equation
    >>> grid = Grid.box("periodic", 32)
    >>> x, t = grid.coordinates()[0], np.linspace(0, 0.01, 9)
    >>> u = np.exp(-0.1 * (2 * np.pi) ** 2 * t)[:, None] * np.sin(2 * np.pi * x)
    >>> r = Equation("u_t = nu*u_xx").residual({"u": u[None]}, grid, t, {"nu": 0.1}, scheme="spectral")
    >>> r.shape, bool(abs(r).max() < 1e-10)
    ((1, 3, 32), True)
    """
    if scheme not in SCHEMES:
        raise SettingError(given=f"scheme {scheme!r}", needed=f"one of {SCHEMES}", remedy="Change `scheme`.")
    if scheme == "spectral" and not grid.is_periodic:
        raise SettingError(
            given="scheme 'spectral' on a grid with walls", needed="a periodic grid", remedy="Pass scheme='finite-difference'."
        )
    return _Residual(equation, fields, grid, times, parameters or {}, inputs or {}, scheme).all()


class _Residual:
    """The evaluation of one call."""

    def __init__(self, equation, fields, grid, times, parameters, inputs, scheme):
        self.equation, self.grid, self.scheme = equation, grid, scheme
        for kind, given, needed in (
            ("field", fields, equation.unknowns),
            ("input", inputs, equation.inputs),
            ("parameter", parameters, equation.parameters),
        ):
            missing = set(needed) - set(given)
            if missing:
                raise DataError(
                    given=f"no {kind} {sorted(missing)[0]!r}", needed=f"{kind}s {list(needed)}", remedy="Pass them."
                )
        first = next(iter(fields.values()))
        self.xp = array_library(first)
        self.in_time = equation.names.in_time
        lead = 2 if self.in_time else 1
        if first.ndim != lead + grid.dimension or tuple(first.shape[lead:]) != grid.shape:
            raise DataError(
                given=f"fields of shape {tuple(first.shape)}",
                needed=f"({'sample, time' if self.in_time else 'sample'}, {', '.join(map(str, grid.shape))})",
                remedy="Check grid and time axis.",
            )
        self.half = self._frames(first, times) if self.in_time else 0
        wide = (-1,) + (1,) * (first.ndim - 1)
        self.values = dict(fields)
        for name in equation.inputs:
            self.values[name] = inputs[name][:, None] if self.in_time else inputs[name]
        for name in equation.parameters:
            number = parameters[name]
            self.values[name] = number if np.ndim(number) == 0 else self._like(number, first).reshape(wide)
        for name, mesh in zip(grid.names, grid.mesh(), strict=True):
            self.values[name] = self._like(mesh, first)
        if self.in_time:
            self.values["t"] = self._like(self.times, first).reshape((1, -1) + (1,) * grid.dimension)

    def _like(self, values, example):
        if self.xp is np:
            return np.asarray(values)
        return self.xp.asarray(
            values, dtype=example.dtype, **({"device": example.device} if self.xp.__name__ == "torch" else {})
        )

    def _frames(self, first, times) -> int:
        """Half width of the stencil in time; sets times and step."""
        self.times = np.asarray(times, dtype=np.float64) if times is not None else np.zeros(0)
        if len(self.times) != first.shape[1]:
            raise DataError(
                given=f"{len(self.times)} times for {first.shape[1]} frames",
                needed="one time per frame",
                remedy="Pass times=data.times.",
            )
        steps = np.diff(self.times)
        widths = [w for w in ((1,) if self.scheme == "finite-difference" else (3, 2, 1)) if len(self.times) >= 2 * w + 1]
        if not widths or not np.allclose(steps, steps[0], rtol=1e-6):
            raise DataError(
                given=f"times {self.times[:5]}",
                needed="at least three, evenly spaced",
                remedy="Store more frames, evenly spaced.",
            )
        self.step = steps[0]
        return widths[0]

    def all(self):
        found = []
        for left, right in self.equation.sides:
            value = evaluate(left - right, self.values, self.derivative, self.xp)
            full = value + 0 * next(iter(self.values.values()))
            found.append(full[:, self.half : full.shape[1] - self.half] if self.in_time else full)
        return found[0] if len(found) == 1 else tuple(found)

    def derivative(self, e: sympy.Derivative, walk):
        """Value of a derivative node."""
        counts = {v.name: n for v, n in grammar.counts(e)}
        flux = self._flux(e, counts, walk) if self.scheme == "finite-difference" else None
        if flux is not None:
            return flux
        value = walk(e.expr)
        name = e.expr.func.__name__ if isinstance(e.expr, AppliedUndef) else ""
        walls = name in self.equation.unknowns
        for letter, order in counts.items():
            if letter == "t":
                value = self._in_time(value, order)
            else:
                position = self.grid.names.index(letter)
                axis, at = self.grid.axes[position], position - self.grid.dimension
                value = (
                    spectral(value, axis, at, order, self.xp)
                    if self.scheme == "spectral"
                    else difference(value, axis, at, order, walls, self.xp)
                )
        return value

    def _flux(self, e: sympy.Derivative, counts: dict, walk):
        """(c u_x)_x between neighbours; None if the expression is nothing of the kind."""
        if list(counts.values()) != [1] or "t" in counts or not isinstance(e.expr, sympy.Mul):
            return None
        letter = next(iter(counts))
        slopes = [f for f in e.expr.args if isinstance(f, sympy.Derivative)]
        if len(slopes) != 1 or slopes[0].variables != (COORDINATES[letter],) or not isinstance(slopes[0].expr, AppliedUndef):
            return None
        factor = e.expr / slopes[0]
        if factor.atoms(sympy.Derivative) or slopes[0].expr.func.__name__ not in self.equation.unknowns:
            return None
        position = self.grid.names.index(letter)
        axis, at = self.grid.axes[position], position - self.grid.dimension
        u = walk(slopes[0].expr)
        c = walk(factor) + 0 * u
        u, c = ghosts(u, axis, at, 1, True, self.xp), ghosts(c, axis, at, 1, None, self.xp)
        inputs = {a.func.__name__ for a in factor.atoms(AppliedUndef)}
        low, high = _slice(c, at, 0, -1), _slice(c, at, 1, None)
        face = 2 * low * high / (low + high) if inputs and inputs <= set(self.equation.inputs) else (low + high) / 2
        flow = face * (_slice(u, at, 1, None) - _slice(u, at, 0, -1)) / axis.spacing
        return (_slice(flow, at, 1, None) - _slice(flow, at, 0, -1)) / axis.spacing

    def _in_time(self, value, order: int):
        if order > 2:
            raise SettingError(
                given=f"a time derivative of order {order}", needed="order 1 or 2", remedy="Write it as a system."
            )
        weights = (_CENTRAL if order == 1 else _SECOND)[2 * self.half]
        frames = value.shape[1]
        inner = sum(w * value[:, i : frames - 2 * self.half + i] for i, w in enumerate(weights) if w) / self.step**order
        edge = 0 * value[:, : self.half]  # cut off at the end; zeros, so that gradients stay finite
        return self.xp.concatenate([edge, inner, edge], 1)


def difference(value, axis: Axis, at: int, order: int, walls: bool, xp):
    """Second-order central differences along array axis `at` (negative)."""
    while order > 0:
        step = min(order, 4)
        weights = _STENCILS[step]
        half = len(weights) // 2
        padded = ghosts(value, axis, at, half, walls, xp)
        n = axis.size
        value = sum(w * _slice(padded, at, i, i + n) for i, w in enumerate(weights) if w) / axis.spacing**step
        order -= step
    return value


def ghosts(value, axis: Axis, at: int, width: int, walls: bool | None, xp):
    """The array with `width` points more on each side.

    walls : True mirrors by the axis' conditions (odd about a zero wall, even about no flux), False extrapolates, None repeats.
    """
    n = value.shape[at]
    if axis.kind == "periodic":
        return xp.concatenate([_slice(value, at, n - width, None), value, _slice(value, at, 0, width)], at)
    sides = []
    for side, condition in enumerate(axis.boundary):
        inward = value if side == 0 else xp.flip(value, (at,))
        if walls is None:
            new = xp.concatenate([_slice(inward, at, 0, 1)] * width, at)
        elif walls and condition in ("dirichlet", "neumann"):
            sign = -1 if condition == "dirichlet" else 1
            skip = 1 if axis.kind == "node" else 0
            new = sign * _slice(inward, at, skip, skip + width)
            if axis.kind == "interior":  # the wall itself comes first: zero, or of zero slope to second order
                wall = (
                    0 * _slice(inward, at, 0, 1) if sign < 0 else (4 * _slice(inward, at, 0, 1) - _slice(inward, at, 1, 2)) / 3
                )
                new = _slice(xp.concatenate([wall, new], at), at, 0, width)
        else:
            new = _extrapolate(inward, at, width, xp)
        sides.append(xp.flip(new, (at,)) if side == 0 else new)
    return xp.concatenate([sides[0], value, sides[1]], at)


def _extrapolate(value, at: int, width: int, xp):
    """Quadratic continuation beyond position 0, nearest ghost first."""
    known = [_slice(value, at, i, i + 1) for i in range(3)]
    new = []
    for _ in range(width):
        known = [3 * known[0] - 3 * known[1] + known[2], *known[:2]]
        new.append(known[0])
    return xp.concatenate(new, at)


def spectral(value, axis: Axis, at: int, order: int, xp):
    """Derivative of a trigonometric interpolant along array axis `at`; the Nyquist mode of odd derivatives is dropped."""
    n = value.shape[at]
    k = 2 * np.pi / axis.length * np.arange(n // 2 + 1)
    symbol = (1j * k) ** order
    if n % 2 == 0 and order % 2:
        symbol[-1] = 0
    symbol = symbol.reshape((-1,) + (1,) * (-at - 1))
    hat = xp.fft.rfft(value, None, at)
    symbol = (
        symbol
        if xp is np
        else xp.asarray(symbol).astype(hat.dtype)
        if xp.__name__.startswith("jax")
        else xp.asarray(symbol, dtype=hat.dtype, device=hat.device)
    )
    return xp.fft.irfft(hat * symbol, n, at)


def _slice(value, at: int, start, stop):
    """value[..., start:stop, ...] along the (negative) axis `at`."""
    return value[(..., slice(start, stop), *(slice(None),) * (-at - 1))]


def array_library(array):
    """numpy, torch or jax.numpy, whichever made the array; looks only at libraries that are loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return torch
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(array, jax.Array):
        return sys.modules["jax.numpy"]
    return np
