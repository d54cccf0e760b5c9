"""Kernels from transfer functions: K(z) = sum over k of K_k z^k at n = 2 L points of a circle of radius r < 1, one inverse FFT.

    K_k = r^-k irfft(K(r e^(-2 pi i l / n)))_k,   r = eps^(1/n)

The circle is damped so that taps beyond n, which alias, arrive multiplied by eps; rounding is amplified by at most
eps^(-1/2). No truncation of C is needed, so a layer is not tied to a length. For a discretisation with alpha,

    sum over k of C a^k b z^k = C (s - A)^-1 B / (alpha + (1 - alpha) z),   s = (1 - z) / (dt (alpha + (1 - alpha) z))

and the structures know their resolvents without a matrix inverse:

    legs             a product of N factors, |factor| < 1 for Re s >= 0
    tridiag_inverse  one tridiagonal solve, (s - A)^-1 B = q^-1 (s T p^-1 q^-1 + T shift + 1)^-1 T b
    dplr             sums over modes and the Woodbury identity

Frequencies are worked through in blocks that are computed again in the backward pass, so memory stays O(order * block).
"""

import math
from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

from sciml.ssm.discretise import Discretisation
from sciml.ssm.modal import LowRank, outputs
from sciml.ssm.structures import Fixed, Structure, TridiagonalInverse

ALIASING = 1e-10  # eps: relative error 2e-11 to 4e-10 in complex128
BLOCK = 2**20  # complex numbers held at once

Resolvent = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def supports(structure: Structure, discretisation: Discretisation) -> bool:
    """Whether this structure has a resolvent and the discretisation is rational."""
    known = isinstance(structure, (TridiagonalInverse, LowRank)) or (isinstance(structure, Fixed) and structure.kind == "legs")
    return known and discretisation.method != "zoh" and discretisation.rational_shares[0] > 0


def responses(
    structure: Structure, discretisation: Discretisation, dt: torch.Tensor, c: torch.Tensor, length: int
) -> torch.Tensor:
    """C a^k lead for k < length, (1, feature, channel, length), like `System.responses`.

    dt : (feature,) float64.   c : (feature, channel, order).
    """
    n, alpha = 2 * length, discretisation.alpha
    radius = ALIASING ** (1 / n)
    points = torch.arange(length + 1, dtype=torch.float64, device=dt.device)
    z = torch.polar(torch.full_like(points, radius), -2 * math.pi * points / n)
    damping = alpha + (1 - alpha) * z
    resolvent = _resolvent(structure, len(dt))
    wide = c.to(torch.float64)
    size = max(1, BLOCK // (len(dt) * structure.order))
    values = []
    for start in range(0, length + 1, size):
        zs, ds = z[start : start + size], damping[start : start + size]
        values.append(checkpoint(_block, resolvent, zs, ds, dt, wide, use_reentrant=False, preserve_rng_state=False))
    taps = torch.fft.irfft(torch.cat(values, -1), n)[..., :length]
    taps = taps * radius ** -torch.arange(length, dtype=torch.float64, device=dt.device)
    return (discretisation.rational_shares[0] * taps).to(c.dtype)[None]


def _block(resolvent: Resolvent, z, damping, dt, c):
    s = (1 - z) / (dt[:, None] * damping)
    return resolvent(s, c) / damping


def _resolvent(structure: Structure, features: int) -> Resolvent:
    """Function of s (feature, frequency) and C (feature, channel, order): C (s - A)^-1 B, (feature, channel, frequency)."""
    each = features // structure.copies
    if isinstance(structure, Fixed):
        return _legs
    if isinstance(structure, TridiagonalInverse):
        vectors = {name: v.repeat_interleave(each, 0) for name, v in structure.vectors().items()}
        return lambda s, c: _tridiagonal(vectors, s, c)
    assert isinstance(structure, LowRank)
    lam, b = (v.repeat_interleave(each, 0) for v in (structure.lam(), structure.b_modes()))
    p = structure.p_modes().repeat_interleave(each, 0)
    return lambda s, c: _low_rank(lam, b, p, s, c)


def _legs(s: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """X_n(s) = sqrt(2n + 1) (s - 0) ... (s - n + 1) / ((s + 1) ... (s + n + 1)), by one more factor for each n."""
    order = c.shape[-1]
    product = 1 / (s + 1)
    total = c[..., 0, None] * product[:, None]
    for n in range(1, order):
        product = product * ((s - (n - 1)) / (s + (n + 1)))
        total = total + (math.sqrt(2 * n + 1) * c[..., n, None]) * product[:, None]
    return total


def _tridiagonal(v: dict[str, torch.Tensor], s: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """By Thomas' algorithm over the order, all features and frequencies at once."""
    lower, diagonal, upper, shift = v["lower"], v["diagonal"], v["upper"], v["shift"]
    inverse = 1 / (v["p"] * v["q"])

    def column(t: torch.Tensor, k: int, offset: int) -> torch.Tensor:
        """Entry of s T / (p q) + T shift whose column is k + offset: (feature, frequency)."""
        j = k + offset
        return t[:, k, None] * (s * inverse[:, j, None] + shift[:, j, None])

    order = c.shape[-1]
    tb = diagonal * v["b"]
    if order > 1:
        tb = tb + torch.nn.functional.pad(lower[:, 1:] * v["b"][:, :-1], (1, 0))
        tb = tb + torch.nn.functional.pad(upper[:, :-1] * v["b"][:, 1:], (0, 1))
    ratios, solved = [], []
    for k in range(order):
        pivot = column(diagonal, k, 0) + 1
        right = tb[:, k, None].to(s.dtype)
        if k:
            below = column(lower, k, -1)
            pivot = pivot - below * ratios[-1]
            right = right - below * solved[-1]
        solved.append(right / pivot)
        if k < order - 1:
            ratios.append(column(upper, k, 1) / pivot)
    x = solved[-1]
    weights = c / v["q"][:, None]
    total = weights[..., order - 1, None] * x[:, None]
    for k in range(order - 2, -1, -1):
        x = solved[k] - ratios[k] * x
        total = total + weights[..., k, None] * x[:, None]
    return total


def _low_rank(lam: torch.Tensor, b: torch.Tensor, p: torch.Tensor, s: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """k_CB - k_CP (1 + k_PP)^-1 k_PB with k_XY = sum over all modes of X Y / (s - lam).

    A mode and its conjugate together are (s Re(w) - Re(w conj(lam))) / (s^2 - 2 s Re(lam) + |lam|^2), w = 2 X Y.
    """
    order = c.shape[-1]
    pairs = order // 2
    w = outputs(c)  # C r = Re(w z), so w = 2 X for pairs
    double = torch.full(lam.shape[-1:], 2.0, dtype=torch.float64, device=lam.device)
    double[pairs:] = 1.0
    rows = torch.cat([w, double * p.conj()], 1)  # (feature, channel + rank, mode)
    columns = torch.stack([b, *p.unbind(1)], 1)  # (feature, 1 + rank, mode)
    x = rows[:, :, None] * columns[:, None]  # (feature, row, column, mode)
    poles = torch.reciprocal(s[:, None] ** 2 - 2 * s[:, None] * lam.real[..., None] + (lam.abs() ** 2)[..., None])
    if order % 2:  # the real mode has one pole
        real = torch.reciprocal(s - lam[:, -1, None].real)
        poles = torch.cat([poles[:, :pairs], (real / (s - lam[:, -1, None].real))[:, None]], 1)
    first, second = x.real, (x * lam.conj()[:, None, None]).real
    shape = (*x.shape[:3], s.shape[-1])
    product = lambda m: (m.flatten(1, 2).to(poles.dtype) @ poles).reshape(shape)  # noqa: E731
    k = s[:, None, None] * product(first) - product(second)  # for a real mode: x (s - lam) / (s - lam)^2
    channels = c.shape[1]
    cb, cp, pb, pp = k[:, :channels, 0], k[:, :channels, 1:], k[:, channels:, 0], k[:, channels:, 1:]
    pp = pp.permute(0, 3, 1, 2) + torch.eye(pp.shape[1], dtype=pp.dtype, device=pp.device)
    inner = torch.linalg.solve(pp, pb.permute(0, 2, 1)[..., None])[..., 0]  # (feature, frequency, rank)
    return cb - torch.einsum("hcrf,hfr->hcf", cp, inner)
