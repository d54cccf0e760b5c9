"""HiPPO: linear systems x' = A x + B u whose state holds coefficients of the past of u in orthogonal functions.

    legs   x_n(t) = integral of u(t - s) l_n(exp(-s)) exp(-s) ds         all of the past, fading like exp(-s)
    legt   x_n(t) ~ mean over 0 < s < 2 of u(t - s) l_n(1 - s / 2)       the last two units of time, then nothing
    lagt   x_n(t) = integral of u(t - s) exp(-s / 2) L_n(s) ds           all of the past, fading like exp(-s / 2)

l_n(v) = sqrt(2n + 1) P_n(2v - 1) are orthonormal on [0, 1], L_n are Laguerre's polynomials. All three are dissipative:
A + A^T has no positive eigenvalue, so their discrete forms contract. Everything here is NumPy in float64.

Gu, Dao, Ermon, Rudra, Re, HiPPO: Recurrent Memory with Optimal Polynomial Projections, NeurIPS 2020.
"""

from dataclasses import dataclass

import numpy as np

from solvers.errors import unknown_name

KINDS = ("legs", "legt", "lagt")
WINDOW = 2.0  # time units that "legt" remembers; the form without the factors 1/2 that some papers print remembers 1


def matrices(kind: str, order: int) -> tuple[np.ndarray, np.ndarray]:
    """A (order, order) and B (order,) of "legs", "legt" (window of two time units), "lagt".

    Examples
    --------
    >>> matrices("legs", 3)[1].round(3).tolist()
    [1.0, 1.732, 2.236]
    """
    n = np.arange(order)
    p = np.sqrt(2.0 * n + 1)
    if kind == "legs":
        return -np.tril(np.outer(p, p), -1) - np.diag(n + 1.0), p
    if kind == "legt":
        alternating = np.where(n[:, None] >= n, 1.0, (-1.0) ** (n[:, None] - n))
        return -0.5 * np.outer(p, p) * alternating, 0.5 * p
    if kind == "lagt":
        return -np.tril(np.ones((order, order)), -1) - 0.5 * np.eye(order), np.ones(order)
    raise unknown_name("HiPPO matrix", kind, KINDS)


def basis(kind: str, order: int, ages: np.ndarray) -> np.ndarray:
    """Functions f_n with u(t - age) ~ sum over n of x_n(t) f_n(age): (order, age).

    "legt" knows ages up to `WINDOW`; beyond, its polynomials mean nothing, and zero is returned.
    """
    ages = np.asarray(ages, dtype=np.float64)
    if kind == "legs":
        return legendre(order, np.exp(-ages))
    if kind == "legt":
        return np.where(ages <= WINDOW, legendre(order, 1 - ages / WINDOW), 0.0)
    if kind == "lagt":
        return np.exp(-ages / 2) * np.stack([np.polynomial.laguerre.Laguerre.basis(n)(ages) for n in range(order)])
    raise unknown_name("HiPPO matrix", kind, KINDS)


def legendre(order: int, v: np.ndarray) -> np.ndarray:
    """Shifted Legendre polynomials, orthonormal on [0, 1], by their stable three-term recurrence: (order, point)."""
    z = 2 * np.asarray(v, dtype=np.float64) - 1
    rows = [np.ones_like(z), z]
    for n in range(1, order - 1):
        rows.append(((2 * n + 1) * z * rows[n] - n * rows[n - 1]) / (n + 1))
    return np.sqrt(2.0 * np.arange(order) + 1)[:, None] * np.stack(rows[:order])


@dataclass(frozen=True)
class Tridiagonal:
    """Vectors (order,) of A = -diag(p) (diag(shift) + T^-1) diag(q), B = p * b; T has `lower`, `diagonal`, `upper`.

    lower[0] and upper[-1] lie outside the matrix and are zero.
    """

    lower: np.ndarray
    diagonal: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    q: np.ndarray
    shift: np.ndarray
    b: np.ndarray


def tridiagonal(kind: str, order: int) -> Tridiagonal:
    """The form with an inverse tridiagonal matrix that Gu et al. (LSSL, NeurIPS 2021) train."""
    n, one = np.arange(order), np.ones(order)
    p = np.sqrt(2.0 * n + 1)
    below, above = np.where(n > 0, 1.0, 0.0), np.where(n < order - 1, 1.0, 0.0)
    if kind == "legs":
        return Tridiagonal(-below, one, 0 * one, p, p, -n / (2 * n + 1.0), one)
    if kind == "lagt":
        return Tridiagonal(-below, one, 0 * one, one, one, -0.5 * one, one)
    if kind == "legt":
        corners = np.where((n == 0) | (n == order - 1), 0.5, 0.0)
        corners = np.ones(1) if order == 1 else corners  # both corners are the same entry
        # T of the form without the factors 1/2; halving A doubles T (its other term, `shift`, is zero).
        return Tridiagonal(-below, 2 * corners, above, p, p, 0 * one, 0.5 * one)
    raise unknown_name("HiPPO matrix", kind, KINDS)


@dataclass(frozen=True)
class Quasiseparable:
    """A = -diag(p) (diag(delta) + V V^T / 2 + K) diag(p), K skew with K_nk = a_n . b_k / 2 below the diagonal; B = p * beta.

    p, delta, beta : (order,).   v : (order, rank).   a, b : (order, rank of the skew part).
    """

    p: np.ndarray
    delta: np.ndarray
    v: np.ndarray
    a: np.ndarray
    b: np.ndarray
    beta: np.ndarray


def quasiseparable(kind: str, order: int) -> Quasiseparable:
    """The dissipative form: whatever its vectors are, A + A^T <= 0 as long as delta >= 0."""
    n = np.arange(order)
    p, one, sign = np.sqrt(2.0 * n + 1), np.ones((order, 1)), ((-1.0) ** n)[:, None]
    if kind == "legs":
        return Quasiseparable(p, 0.5 / (2 * n + 1), one, one, one, one[:, 0])
    if kind == "lagt":
        return Quasiseparable(one[:, 0], 0 * p, one, one, one, one[:, 0])
    if kind == "legt":
        both, skew, other = np.hstack([one, sign]), np.hstack([one, -sign]), np.hstack([one, sign])
        return Quasiseparable(p, 0 * p, both / np.sqrt(2), 0.5 * skew, other, 0.5 * one[:, 0])
    raise unknown_name("HiPPO matrix", kind, KINDS)


@dataclass(frozen=True)
class NormalPlusLowRank:
    """A = U (diag(lam) - P P^*) U^* with U unitary, in pairs of conjugates: one of each is kept, then a real one if any.

    lam : (half,) complex, frequencies increasing.   p : (rank, half).   b : (half,) is U^* B.   c : (half, order) is U^*, with
    which states of A become those of the pairs.
    """

    lam: np.ndarray
    p: np.ndarray
    b: np.ndarray
    c: np.ndarray


def normal_plus_low_rank(kind: str, order: int) -> NormalPlusLowRank:
    """Eigenbasis of the skew part, by a Hermitian solver: A's own eigenvectors are too ill-conditioned to use."""
    a, b = matrices(kind, order)
    even = np.arange(order) % 2 == 0
    root = np.sqrt(np.arange(order) + 0.5)
    if kind == "legs":
        p, decay = root[None], 0.5
    elif kind == "lagt":
        p, decay = np.full((1, order), np.sqrt(0.5)), 0.0
    else:
        p, decay = np.stack([np.where(even, root, 0.0), np.where(even, 0.0, root)]), 0.0
    skew = a + p.T @ p + decay * np.eye(order)
    frequencies, vectors = np.linalg.eigh(-0.5j * (skew - skew.T))
    half = (order + 1) // 2
    kept = np.argsort(frequencies)[order // 2 :]  # the positive half; of an odd order also the zero in the middle
    kept = np.append(kept[1:], kept[0]) if order % 2 else kept  # a real mode comes last
    lam = -decay + 1j * frequencies[kept]
    rows = vectors[:, kept].conj().T
    if order % 2:
        rows[-1] = _real(rows[-1])
        lam[-1] = -decay
    assert len(kept) == half
    return NormalPlusLowRank(lam, p @ rows.T, rows @ b, rows)


def _real(vector: np.ndarray) -> np.ndarray:
    """The eigenvector of a real eigenvalue, turned so that it is real."""
    turn = vector[np.argmax(np.abs(vector))]
    return (vector * (np.abs(turn) / turn)).real.astype(vector.dtype)
