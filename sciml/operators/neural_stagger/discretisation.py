"""Right-hand sides of evolution equations on torch tensors, from the symbolic equation: u_t = L u + N(u).

`Spectral` is the pseudo-spectral form of the package's exponential integrators (same terms, same truncation);
`FiniteDifference` takes second-order compact stencils and knows walls through ghost points. Both are differentiable, batched
over items, and give the solve (a - b L)^-1 that preconditions residuals.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
import torch
from sympy.core.function import AppliedUndef

from pdes.equation import Equation
from pdes.grammar import COORDINATES, counts
from pdes.residual import difference
from pdes.semilinear import _grouped, _no_derivative, _power, dealiasing
from pdes.terms import evaluate
from solvers.errors import SettingError
from solvers.grid import Grid
from solvers.spectral import wavenumbers

Known = Mapping[str, Any]  # parameters as numbers or (item, 1, ...), inputs as (item, *space)


class Discretisation:
    """u_t = F(u) on a grid; u is (item, unknown, *space).

    composed : a stencil made of two central first differences; it does not see every second point, so that interleaved
        sub-grids would not be tied together.
    """

    composed = False

    def __init__(self, equation: Equation, grid: Grid):
        self.equation, self.grid = equation, grid
        self.evolution = equation.evolution
        self.unknowns = equation.evolving
        self._kept: dict[tuple, torch.Tensor] = {}
        sides = [e for terms in self.evolution.nonlinear for e in terms.values()]
        if any(COORDINATES["t"] in _bare(e).free_symbols for e in sides):
            raise SettingError(
                given=f"equation {equation}, whose coefficients depend on t",
                needed="an autonomous equation",
                remedy="Train on labelled data, learn='data'.",
            )

    def rate(self, u: torch.Tensor, p: Known) -> torch.Tensor:
        """F(u)."""
        raise NotImplementedError

    def linear(self, u: torch.Tensor, p: Known) -> torch.Tensor:
        """L u."""
        raise NotImplementedError

    def solve(self, r: torch.Tensor, a: float, b: float, p: Known) -> torch.Tensor:
        """(a - b L)^-1 r, with L as far as it is diagonal in the modes of the grid."""
        raise NotImplementedError

    def mass(self, change: torch.Tensor) -> torch.Tensor:
        """What stands before u_t; nothing here."""
        return change

    def fixed(self, u: torch.Tensor) -> torch.Tensor:
        """u with the values that boundary conditions prescribe on points."""
        return u

    def _constant(self, key: Any, make, like: torch.Tensor) -> torch.Tensor:
        """A NumPy array as a tensor of `like`'s precision and device, made once."""
        key = (key, like.dtype, like.device)
        if key not in self._kept:
            array = np.array(make())
            real = like.dtype.to_real() if like.dtype.is_complex else like.dtype
            dtype = real.to_complex() if np.iscomplexobj(array) else real
            self._kept[key] = torch.as_tensor(array, device=like.device).to(dtype)
        return self._kept[key]

    def _coordinates(self, like: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            name: self._constant(("mesh", i), lambda i=i: self.grid.mesh()[i], like) for i, name in enumerate(self.grid.names)
        }

    def _steady(self, expression: sympy.Expr) -> bool:
        """Coordinates and numbers only: the same for all items and times."""
        known = {COORDINATES[name] for name in self.grid.names}
        return not expression.atoms(AppliedUndef) and expression.free_symbols <= known


def _bare(expression: sympy.Expr) -> sympy.Expr:
    """Without the unknowns and inputs, which depend on t and x themselves."""
    plain: Any = expression.xreplace({d: sympy.Dummy() for d in expression.atoms(sympy.Derivative)})
    return plain.xreplace({f: sympy.Dummy() for f in plain.atoms(AppliedUndef)})


class Spectral(Discretisation):
    """Pseudo-spectral on a periodic box: products on the points, top modes of products and of their factors removed."""

    def __init__(self, equation: Equation, grid: Grid):
        super().__init__(equation, grid)
        if not grid.is_periodic:
            raise SettingError(
                given="discretisation 'spectral' on a grid with walls",
                needed="a periodic grid",
                remedy="Pass stencil='finite-difference'.",
            )
        self.axes = tuple(range(-grid.dimension, 0))
        self.k = wavenumbers(grid)
        self.fraction = dealiasing(equation)

    def rate(self, u, p):
        hat = self.transform(u)
        return self.points(self.symbol(p, hat) * hat + self.nonlinear(hat, p))

    def linear(self, u, p):
        hat = self.transform(u)
        return self.points(self.symbol(p, hat) * hat)

    def solve(self, r, a, b, p):
        hat = self.transform(r)
        return self.points(hat / (a - b * self.symbol(p, hat)))

    def transform(self, u: torch.Tensor) -> torch.Tensor:
        """Spectrum, real-FFT layout."""
        return torch.fft.rfftn(u, dim=self.axes)

    def points(self, hat: torch.Tensor) -> torch.Tensor:
        """Inverse of `transform`."""
        hat = hat if hat.is_complex() else hat.to(hat.dtype.to_complex())
        return torch.fft.irfftn(hat, s=self.grid.shape, dim=self.axes)

    def kept(self, like: torch.Tensor) -> torch.Tensor:
        """1 for modes that take part in products, 0 for the others."""
        return self._constant("kept", self._kept_modes, like)

    def _kept_modes(self) -> np.ndarray:
        rows = []
        for i, n in enumerate(self.grid.shape):
            m = np.arange(n // 2 + 1) if i == self.grid.dimension - 1 else np.abs(np.fft.fftfreq(n, 1 / n))
            highest = max(0, int(np.ceil(self.fraction * n / 2)) - 1)
            rows.append((np.round(m) <= highest).astype(float))
        return functools.reduce(np.multiply.outer, rows)

    def symbol(self, p: Known, like: torch.Tensor) -> torch.Tensor:
        """L of each mode, (item or 1, unknown, *modes); removed modes only decay."""
        rows = [self._symbol(terms, p, like) for terms in self.evolution.linear]
        full = torch.broadcast_tensors(*rows)
        symbol = torch.stack(full, 1)
        if symbol.is_complex():
            return torch.where(self.kept(like) > 0, symbol, symbol.real.to(symbol.dtype))
        return symbol

    def _symbol(self, terms: Mapping, p: Known, like: torch.Tensor) -> torch.Tensor:
        total = self._constant("zero", lambda: np.zeros((1, *self._modes_shape())), like)
        for orders, coefficient in terms.items():
            value = evaluate(coefficient, p, _no_derivative, torch)
            total = total + value * self._constant(orders, lambda o=orders: self.power(o), like)
        return total

    def power(self, orders: tuple[int, ...]) -> np.ndarray:
        """Symbol of D^orders, (*modes)."""
        return np.broadcast_to(np.asarray(_power(self.k, orders)), self._modes_shape())

    def _modes_shape(self) -> tuple[int, ...]:
        return (*self.grid.shape[:-1], self.grid.shape[-1] // 2 + 1)

    def nonlinear(self, hat: torch.Tensor, p: Known) -> torch.Tensor:
        """Spectrum of N(u) from that of u, with terms that couple unknowns."""
        kept = self.kept(hat)
        spectra = {name: hat[:, i] * kept for i, name in enumerate(self.unknowns)}
        for name, terms in self.evolution.constraints.items():
            own = self._symbol(terms[name], p, hat)
            rest = sum(self._symbol(t, p, hat) * spectra[other] for other, t in terms.items() if other != name)
            spectra[name] = -rest * torch.where(own == 0, 0.0, 1.0 / torch.where(own == 0, 1.0, own))
        real = hat.real
        values: dict[str, Any] = {name: self.points(s) for name, s in spectra.items()} | dict(p) | self._coordinates(real)

        def derivative(e, walk):
            orders = self._orders(e)
            field = getattr(e.expr, "func", None)
            factor = self._constant(orders, lambda: self.power(orders), hat)
            if field is not None and field.__name__ in spectra:
                return self.points(spectra[field.__name__] * factor)
            return self.points(self.transform(walk(e.expr).expand(*hat.shape[:1], *self.grid.shape)) * factor)

        results = []
        for i, terms in enumerate(self.evolution.nonlinear):
            total = torch.zeros_like(hat[:, 0])
            for expression, multiplier in _grouped(terms).items():
                product = self._product(expression, values, derivative, hat)
                orders_of = tuple(multiplier)
                factor = self._constant(("sum", orders_of), lambda m=orders_of: sum(s * self.power(o) for o, s in m), hat)
                total = total + kept * factor * product
            for other, coupled in (self.evolution.coupling[i] if self.evolution.coupling else {}).items():
                total = total + self._symbol(coupled, p, hat) * hat[:, self.unknowns.index(other)]
            results.append(total)
        return torch.stack(results, 1)

    def _product(self, expression, values, derivative, hat) -> torch.Tensor:
        if self._steady(expression):
            mesh = dict(zip(self.grid.names, self.grid.mesh(), strict=True))

            def make():
                value = evaluate(expression, mesh, _no_derivative, np)
                return np.fft.rfftn(np.broadcast_to(value, self.grid.shape), axes=self.axes)

            return self._constant(("steady", expression), make, hat)
        value = evaluate(expression, values, derivative, torch)
        return self.transform(value.expand(hat.shape[0], *self.grid.shape))

    def _orders(self, e: sympy.Derivative) -> tuple[int, ...]:
        found = {v.name: n for v, n in counts(e)}
        return tuple(found.get(name, 0) for name in self.grid.names)


class FiniteDifference(Discretisation):
    """Second-order compact stencils, conservative form; walls by ghost points (odd about a zero wall, even about no flux)."""

    def __init__(self, equation: Equation, grid: Grid):
        super().__init__(equation, grid)
        for axis in grid.axes:
            if not set(axis.boundary) <= {"periodic", "dirichlet", "neumann"}:
                raise SettingError(
                    given=f"sides {axis.boundary} of axis {axis.name!r}",
                    needed="'dirichlet' or 'neumann' walls, or a periodic axis",
                    remedy="Flow between walls at rest is learned on its stream function, see `StreamFunction`.",
                )
        if self.evolution.constraints and not grid.is_periodic:
            raise SettingError(
                given=f"unknowns {tuple(self.evolution.constraints)} without a time derivative between walls",
                needed="a periodic grid",
                remedy="Flow between walls is learned on its stream function, see `StreamFunction`.",
            )
        for terms in self.evolution.nonlinear:
            for orders, expression in terms.items():
                inner = [self._orders(d) for d in expression.atoms(sympy.Derivative) if self._evolves(d)]
                self.composed |= any(a and b for found in inner for a, b in zip(orders, found, strict=True))

    def _evolves(self, d: sympy.Derivative) -> bool:
        return isinstance(d.expr, AppliedUndef) and d.expr.func.__name__ in self.unknowns

    def rate(self, u, p):
        parts = {name: u[:, i] for i, name in enumerate(self.unknowns)}
        values: dict[str, Any] = parts | dict(p) | self._coordinates(u)
        for name, terms in self.evolution.constraints.items():
            values[name] = self._follow(name, terms, values, p)

        def derivative(e, walk):
            return self._difference(walk(e.expr), self._orders(e), self._evolves(e))

        rates = []
        for i, terms in enumerate(self.evolution.nonlinear):
            total = self._own(u[:, i], self.evolution.linear[i], p)
            for other, coupled in (self.evolution.coupling[i] if self.evolution.coupling else {}).items():
                total = total + self._own(parts[other], coupled, p)
            for orders, expression in terms.items():
                value = evaluate(expression, values, derivative, torch) + torch.zeros_like(total)
                plain = isinstance(expression, AppliedUndef)
                total = total + self._difference(value, orders, plain)
            rates.append(total)
        return self.fixed(torch.stack(rates, 1))

    def linear(self, u, p):
        return self.fixed(torch.stack([self._own(u[:, i], t, p) for i, t in enumerate(self.evolution.linear)], 1))

    def _own(self, u: torch.Tensor, terms: Mapping, p: Known) -> torch.Tensor:
        total = torch.zeros_like(u)
        for orders, coefficient in terms.items():
            total = total + evaluate(coefficient, p, _no_derivative, torch) * self._difference(u, orders, True)
        return total

    def _difference(self, value: Any, orders: tuple[int, ...], walls: bool) -> torch.Tensor:
        for i, order in enumerate(orders):
            if order:
                value = difference(value, self.grid.axes[i], i - self.grid.dimension, order, walls, torch)
        return value

    def solve(self, r, a, b, p):
        for i in range(self.grid.dimension):
            r = self._along(r, self._constant(("into", i), lambda i=i: self._modes(i)[2], r), i)
        rows = []
        for terms in self.evolution.linear:
            total: Any = self._constant("zero", lambda: np.zeros((1, *self.grid.shape)), r)
            for orders, coefficient in terms.items():
                if all(order % 2 == 0 for order in orders):
                    values = self._constant(("eigen", orders), lambda o=orders: self._eigen(o), r)
                    total = total + evaluate(coefficient, p, _no_derivative, torch) * values
            rows.append(total)
        r = r / (a - b * torch.stack(torch.broadcast_tensors(*rows), 1))
        for i in range(self.grid.dimension):
            r = self._along(r, self._constant(("back", i), lambda i=i: self._modes(i)[1], r), i)
        return self.fixed(r)

    @staticmethod
    def _along(r: torch.Tensor, matrix: torch.Tensor, i: int) -> torch.Tensor:
        return (r.movedim(2 + i, -1) @ matrix.T).movedim(-1, 2 + i)

    @functools.cache  # noqa: B019 - a discretisation lives as long as its operator
    def _modes(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues of the second difference along an axis, eigenvectors, and their inverse."""
        axis = self.grid.axes[i]
        matrix = difference(np.eye(axis.size), axis, -1, 2, True, np).T
        if np.allclose(matrix, matrix.T):
            values, vectors = np.linalg.eigh(matrix)
            return values, vectors, vectors.T
        values, vectors = np.linalg.eig(matrix)
        return values.real, vectors.real, np.linalg.inv(vectors.real)

    def _eigen(self, orders: tuple[int, ...]) -> np.ndarray:
        return functools.reduce(
            np.multiply.outer, [self._modes(i)[0] ** (order // 2) for i, order in enumerate(orders)]
        ) * np.ones(self.grid.shape)

    def fixed(self, u):
        """Nodes on walls whose value is zero."""
        for i, axis in enumerate(self.grid.axes):
            if axis.kind == "node" and "dirichlet" in axis.boundary:
                inside = np.array([c != "dirichlet" for c in axis.boundary], float)
                row = np.concatenate([inside[:1], np.ones(axis.size - 2), inside[1:]])
                shape = (-1,) + (1,) * (self.grid.dimension - 1 - i)
                u = u * self._constant(("inside", i), lambda row=row, shape=shape: row.reshape(shape), u)
        return u

    def _follow(self, name: str, terms: Mapping, values: Known, p: Known) -> torch.Tensor:
        """The unknown that solves its linear equation, with the symbols of the stencils."""
        axes = tuple(range(-self.grid.dimension, 0))
        rest: Any = sum(self._own(values[other], t, p) for other, t in terms.items() if other != name)
        hat = torch.fft.rfftn(-rest, dim=axes)
        own: Any = 0.0
        for orders, coefficient in terms[name].items():
            factor = self._constant(("stencil", orders), lambda o=orders: self._stencil(o), hat)
            own = own + evaluate(coefficient, p, _no_derivative, torch) * factor
        hat = hat * torch.where(own == 0, 0.0, 1.0 / torch.where(own == 0, 1.0, own))
        return torch.fft.irfftn(hat, s=self.grid.shape, dim=axes)

    def _stencil(self, orders: tuple[int, ...]) -> np.ndarray:
        """Symbol of the differences on a periodic grid, real-FFT layout."""
        rows = []
        for i, (axis, order) in enumerate(zip(self.grid.axes, orders, strict=True)):
            impulse = np.zeros(axis.size)
            impulse[0] = 1.0
            value = difference(impulse, axis, -1, order, True, np) if order else impulse
            rows.append(np.fft.rfft(value) if i == self.grid.dimension - 1 else np.fft.fft(value))
        symbol = functools.reduce(np.multiply.outer, rows)
        return symbol.real if all(order % 2 == 0 for order in orders) else symbol

    _orders = Spectral._orders
