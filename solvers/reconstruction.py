"""From cell averages to values on faces: limited slopes (MUSCL, second order) and WENO5-Z (fifth order).

Arrays are cut along one axis by `cut`; a face lies between cells i and i + 1, with one value from either side.

Van Leer, J. Comput. Phys. 32 (1979); Borges, Carmona, Costa, Don, J. Comput. Phys. 227 (2008).
"""

from solvers.precision import jax

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

TINY = 1e-40
"""Keeps 0 / 0 out of the weights; small enough not to be seen beside the smoothness of any data of size above 1e-16."""


def cut(a, axis: int, start: int, stop: int | None):
    """a[start:stop] along a (negative) axis."""
    return a[(..., slice(start, stop), *(slice(None),) * (-axis - 1))]


def limited_slopes(w, axis: int, limiter: str):
    """Slope times cell size of all cells but the first and last.

    limiter : "mc" (monotonised central), "van_leer" (harmonic), or "none" for a first-order scheme.
    """
    centre = cut(w, axis, 1, -1)
    if limiter == "none":
        return jnp.zeros_like(centre)
    back, ahead = centre - cut(w, axis, 0, -2), cut(w, axis, 2, None) - centre
    product = back * ahead
    if limiter == "van_leer":
        return jnp.where(product > 0, 2 * product / jnp.where(product > 0, back + ahead, 1.0), 0.0)
    middle = (back + ahead) / 2
    least = jnp.minimum(jnp.minimum(2 * jnp.abs(back), 2 * jnp.abs(ahead)), jnp.abs(middle))
    return jnp.where(product > 0, jnp.sign(middle) * least, 0.0)


def weno5(a, b, c, d, e):
    """Value on the face between the middle cell c and the next, d, from five cell averages.

    Weights of WENO-Z with power 2, all over one common denominator: the division is the dear operation.
    """
    left = 13 / 12 * (a - 2 * b + c) ** 2 + 0.25 * (a - 4 * b + 3 * c) ** 2
    mid = 13 / 12 * (b - 2 * c + d) ** 2 + 0.25 * (b - d) ** 2
    right = 13 / 12 * (c - 2 * d + e) ** 2 + 0.25 * (3 * c - 4 * d + e) ** 2
    tau = (left - right) ** 2
    left, mid, right = (left + TINY) ** 2, (mid + TINY) ** 2, (right + TINY) ** 2
    first = 0.1 * (left + tau) * (mid * right)
    second = 0.6 * (mid + tau) * (left * right)
    third = 0.3 * (right + tau) * (left * mid)
    total = first * (2 * a - 7 * b + 11 * c) + second * (5 * c + 2 * d - b) + third * (2 * c + 5 * d - e)
    return total / (6 * (first + second + third))


def weno5_faces(stencil):
    """(value from the left, value from the right) on the face in the middle of six neighbouring cells."""
    a, b, c, d, e, f = stencil
    return weno5(a, b, c, d, e), weno5(f, e, d, c, b)


def settled(*arrays):
    """The same arrays, computed once and stored: without this XLA may compute a face's values anew for each of its cells."""
    return jax.lax.optimization_barrier(arrays)
