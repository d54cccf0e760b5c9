"""Partial differential equations from fields on a grid, in the weak form: no derivative of data is taken.

    u_t = sum_j xi_j D^(k_j) f_j(u)        or u_tt = ...,    D^k a derivative in space of order up to four, f a power of u, or 1

Against psi = phi(t) phi(x) [phi(y)] every derivative moves onto psi: int psi D^k f = (-1)^|k| int f D^k psi. Terms are
conservative ones, (u^2)_x and not u u_x, so that shocks count with their right speed. Test functions are products, so that all
integrals over all of them are matrix products; rows are combined as in `sciml.recovery.weak` to ones with independent noise.
Of several widths, those count whose best equation leaves the smallest share unexplained.

Rudy, Brunton, Proctor, Kutz, Data-driven discovery of partial differential equations, Science Advances 3, 2017; Messenger,
Bortz, Weak SINDy for partial differential equations, Journal of Computational Physics 443, 2021.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from sciml.recovery.sparse import Subset, best_subsets
from solvers.errors import DataError, SettingError

LEAST_POINTS = 16
"""Of each axis: the narrowest test function covers thirteen."""
WIDTHS_TIME, WIDTHS_SPACE = (0.08, 0.16, 0.3), (0.04, 0.08, 0.15, 0.25)
"""Half-widths of the test functions as parts of the axes."""
LEAST_CELLS = 6
POWER_TIME = 5
CENTRES = 24
CUT = 0.05
MOST_TERMS = 8
PRICE = 5.0
"""Of a term in multiples of log(rows): rows know the noise on their left side alone."""
NEGLIGIBLE = 2e-3
"""A term that explains less than this part of the left side's size is left out."""
PARSIMONY = 1.2
"""A smaller equation is preferred if it leaves no more than so many times the residual."""
UNEXPLAINED = 0.5
"""u_tt is taken where u_t leaves more than this share unexplained, and u_tt less than half of that."""


@dataclass(frozen=True)
class Term:
    """D^orders of u^power; power 0 is the constant 1.   orders : of derivatives along the axes."""

    power: int
    orders: tuple[int, ...]

    def text(self, name: str) -> str:
        """In the grammar of `pdes.Equation`."""
        inner = "1" if self.power == 0 else name if self.power == 1 else f"{name}^{self.power}"
        letters = "".join(axis * k for axis, k in zip("xyz", self.orders, strict=False))
        if not letters:
            return inner
        if self.power == 1:
            return f"{name}_{letters}"
        for letter in letters:
            inner = f"d{letter}({inner})"
        return inner


def field_library(axes: int, power: int, order: int) -> list[Term]:
    """1, u, ..., u^power, and their derivatives up to `order`, constants left out; mixed ones of order two and four in 2-D."""
    found = [Term(0, (0,) * axes)]
    for p in range(1, power + 1):
        for orders in itertools.product(range(order + 1), repeat=axes):
            total = sum(orders)
            mixed = sum(k > 0 for k in orders) > 1
            if total > order or (mixed and orders not in ((1, 1), (2, 2))) or (total > 2 and p > 1 and axes > 1):
                continue
            if total > 3 and p > 1:
                continue
            found.append(Term(p, orders))
    return found


class FieldRecovery:
    """The partial differential equation of one scalar field on a grid of one or two axes.

    Parameters
    ----------
    power, order : highest power of the field and highest derivative in space that are tried.
    name : of the field.
    time_order : 1 for u_t, 2 for u_tt, None to find out.

    Attributes
    ----------
    terms_ : chosen terms.   coefficients_, errors_ : of each, with standard errors.   time_order_ : 1 or 2.
    unexplained_ : share of the left side's size that is left.   flags_ : what the data cannot tell.

    Examples
    --------
    >>> x, t = np.arange(128) / 128, np.linspace(0, 1, 60)
    >>> u = np.sin(2 * np.pi * (x - 0.5 * t[:, None])) + 0.5 * np.sin(6 * np.pi * (x - 0.5 * t[:, None]) + 1)
    >>> FieldRecovery(order=2).fit(t, u, x).text(3)
    'u_t = -0.5*u_x'
    """

    def __init__(self, power: int = 3, order: int = 4, name: str = "u", time_order: int | None = None):
        self.power, self.order, self.name, self.time_order = power, order, name, time_order

    def fit(self, t: Any, u: Any, space: Any) -> "FieldRecovery":
        """Recover the equation.

        t : (time,) increasing, or a list, one for each sample.   u : (time, x) or (time, x, y), or a list.
        space : coordinates (x,), or a tuple of them; the same for all samples.

        Raises
        ------
        SettingError, DataError : settings or arrays that do not fit; the message says which.
        """
        if not (1 <= self.power <= 6 and 1 <= self.order <= 6 and self.time_order in (None, 1, 2)):
            raise SettingError(
                given=f"power={self.power}, order={self.order}, time_order={self.time_order}",
                needed="1 to 6, 1 to 6, and 1, 2 or None",
                remedy="Change them.",
            )
        axes = tuple(np.asarray(a, np.float64) for a in (space if isinstance(space, (tuple, list)) else (space,)))
        samples = _samples(t, u, axes)
        size = float(np.sqrt(np.mean(np.concatenate([v.ravel() for _, v in samples]) ** 2)))
        library = field_library(len(axes), self.power, self.order if len(axes) == 1 else min(self.order, 4))
        found = []
        for wide_t, wide_x in itertools.product(WIDTHS_TIME, WIDTHS_SPACE):
            systems = [_rows(ti, ui / size, axes, library, wide_t, wide_x) for ti, ui in samples]
            if any(one is None for one in systems):
                continue
            G = np.concatenate([one[0] for one in systems if one])
            for order in (1, 2) if self.time_order is None else (self.time_order,):
                y = np.concatenate([one[order] for one in systems if one])
                if len(y) < 3 * len(library):
                    continue
                best = _selected(G, y)
                found.append((np.sqrt(best.rss / (y @ y)), order, best, G, y))
        if not found:
            raise DataError(
                given="a field too coarse for its test functions", needed="more points in time and space", remedy="Record more."
            )
        self._take(found, library, size)
        return self

    def _take(self, found: list, library: list[Term], size: float) -> None:
        """Keep the widths and the order in time that explain most."""
        best = {
            order: min((one for one in found if one[1] == order), key=lambda one: one[0]) for order in {one[1] for one in found}
        }
        first, second = (best[k][0] if k in best else np.inf for k in (1, 2))
        order = 2 if first > UNEXPLAINED and second < first / 2 else 1
        self.unexplained_, self.time_order_, chosen, G, y = best[order]
        self.unexplained_ = float(self.unexplained_)
        self.terms_ = [library[j] for j in chosen.columns]
        scales = np.array([size ** (1 - term.power) for term in self.terms_])
        A = G[:, list(chosen.columns)]
        covariance = np.linalg.pinv(A.T @ A) * chosen.rss / max(len(y) - len(chosen.columns), 1)
        self.coefficients_ = chosen.values * scales
        self.errors_ = np.sqrt(np.diag(covariance)) * scales
        self.flags_ = []
        norms = np.linalg.norm(A, axis=0)
        if len(norms) > 1 and np.linalg.cond(A / norms) > 1e4:
            self.flags_.append("not identifiable: the chosen terms are nearly linearly dependent on these data")
        if self.unexplained_ > 0.3:
            self.flags_.append(
                f"{100 * self.unexplained_:.0f} % of the time derivative is left unexplained: noise, or other terms"
            )

    def text(self, precision: int | None = None) -> str:
        """The equation in the grammar of `pdes.Equation`; precision : significant digits, None keeps all."""
        write = repr if precision is None else lambda value: f"{value:.{precision}g}"
        parts = [f"{write(float(c))}*{term.text(self.name)}" for c, term in zip(self.coefficients_, self.terms_, strict=True)]
        right = " + ".join(parts).replace("+ -", "- ") if parts else "0"
        return f"{self.name}_{'t' * self.time_order_} = {right}"

    def equation(self) -> Any:
        """As `pdes.Equation`: LaTeX, tokens, residuals and solvers follow from it."""
        from pdes.equation import Equation

        return Equation(self.text())

    def equations(self, precision: int | None = None) -> list[sympy.Expr]:
        """The right-hand side as a sympy expression of u(t, x, ...)."""
        from pdes.equation import Equation

        return [right for _, right in Equation(self.text(precision)).sides]

    def latex(self, precision: int = 4) -> str:
        """The equation as LaTeX."""

        from pdes.equation import Equation

        return Equation(self.text(precision)).latex()

    def coefficient(self, text: str) -> float:
        """Of a term, 0 if it was not chosen. text : as in `text()`, "u_xx" or "dx(u^2)"."""
        names = [term.text(self.name) for term in self.terms_]
        return float(self.coefficients_[names.index(text)]) if text in names else 0.0

    def __repr__(self) -> str:
        return self.text(5) if hasattr(self, "terms_") else f"FieldRecovery(power={self.power}, order={self.order})"


def _samples(t: Any, u: Any, axes: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Times and fields of each sample, checked."""
    several = isinstance(u, (list, tuple))
    us = [np.asarray(one, np.float64) for one in (u if several else [u])]
    ts = [np.asarray(one, np.float64) for one in (t if several and isinstance(t, (list, tuple)) else [t] * len(us))]
    shape = tuple(len(a) for a in axes)
    if len(axes) > 2 or len(ts) != len(us):
        raise DataError(
            given=f"{len(axes)} axes of space, {len(ts)} times, {len(us)} fields", needed="1 or 2 axes", remedy="Slice."
        )
    for k, (times, field) in enumerate(zip(ts, us, strict=True)):
        if field.shape != (len(times), *shape):
            raise DataError(
                given=f"sample {k}: field {field.shape}, {len(times)} times, axes {shape}",
                needed="(time, *axes)",
                remedy="Transpose it.",
            )
        if not np.isfinite(field).all():
            raise DataError(given=f"sample {k} with gaps or infinities", needed="numbers", remedy="Cut or fill them.")
        for name, a in (("time", times), *zip("xy", axes, strict=False)):
            if len(a) < LEAST_POINTS or np.any(np.diff(a) <= 0):
                raise DataError(
                    given=f"sample {k} with {len(a)} values of {name}, increasing or not",
                    needed=f"at least {LEAST_POINTS}, increasing",
                    remedy="Record more often, or sort.",
                )
        if np.ptp(field) <= 1e-12 * np.abs(field).max():
            raise DataError(given=f"sample {k}, constant", needed="a field that changes", remedy="Record it away from rest.")
    return list(zip(ts, us, strict=True))


def _bumps(a: np.ndarray, part: float, power: int, orders: int) -> list[np.ndarray] | None:
    """phi, phi', ... for evenly spread centres with quadrature weights: (centre, point) each; None if too narrow."""
    span = a[-1] - a[0]
    width = max(part * span, LEAST_CELLS * span / (len(a) - 1))
    if 2 * width > span or (part * span < width and part < 0.08 and LEAST_CELLS * span / (len(a) - 1) > 0.08 * span):
        return None
    count = int(np.clip(round(3 * (span - 2 * width) / width) + 1, 1, CENTRES))
    centres = np.linspace(a[0] + width, a[-1] - width, count)
    s = (a - centres[:, None]) / width
    gaps = np.diff(a)
    weights = np.concatenate([[gaps[0]], gaps[:-1] + gaps[1:], [gaps[-1]]]) / 2
    base = np.polynomial.Polynomial([1, 0, -1]) ** power
    found = []
    for k in range(orders + 1):
        values = np.where(np.abs(s) < 1, (base.deriv(k) if k else base)(np.clip(s, -1, 1)), 0.0)
        found.append(values * weights / width ** (k + 1))
    return found


def _whitener(matrix: np.ndarray) -> np.ndarray:
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    keep = values > CUT * values[0]
    return left[:, keep].T / values[keep, None]


def _rows(
    t: np.ndarray, u: np.ndarray, axes: Sequence[np.ndarray], library: Sequence[Term], wide_t: float, wide_x: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Whitened rows of one sample: terms (row, term), int psi u_t and int psi u_tt (row,)."""
    order = max(max(term.orders) for term in library)
    in_time = _bumps(t, wide_t, POWER_TIME, 2)
    in_space = [_bumps(a, wide_x, order + 2, order) for a in axes]
    if in_time is None or any(one is None for one in in_space):
        return None
    space: list[list[np.ndarray]] = [one for one in in_space if one is not None]
    white = [_whitener(in_time[1]), *(_whitener(one[0]) for one in space)]

    def integral(values: np.ndarray, orders: Sequence[int]) -> np.ndarray:
        """(-1)^|orders| int values D^orders psi; the first of `orders` is in time."""
        found = np.tensordot(white[0] @ in_time[orders[0]], values, axes=(1, 0))
        for axis, (w, functions, k) in enumerate(zip(white[1:], space, orders[1:], strict=True), start=1):
            found = np.moveaxis(np.tensordot(w @ functions[k], found, axes=(1, axis)), 0, axis)
        return (-1) ** sum(orders) * found.ravel()

    still = (0,) * len(axes)
    G = np.stack([integral(u**term.power, (0, *term.orders)) for term in library], 1)
    return G, integral(u, (1, *still)), integral(u, (2, *still))


def _selected(G: np.ndarray, y: np.ndarray) -> Subset:
    """The smallest subset that leaves hardly more than that of least BIC, without negligible terms."""
    subsets = best_subsets(G, y, MOST_TERMS, keep=2)
    norms, total = np.linalg.norm(G, axis=0), np.linalg.norm(y)
    floor = float((NEGLIGIBLE * total) ** 2 / len(y) / 100)
    kept = [one for one in subsets if np.all(np.abs(one.values) * norms[list(one.columns)] > NEGLIGIBLE * total)]
    best = min(kept or subsets[:1], key=lambda one: one.bic(PRICE * np.log(len(y)), floor))
    near = [one for one in kept if one.rss + floor * len(y) <= PARSIMONY**2 * (best.rss + floor * len(y))]
    return min(near or [best], key=lambda one: (len(one.columns), one.rss))
