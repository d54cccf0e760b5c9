"""Discrete systems x_k = a x_{k-1} + lead u_k + lag u_{k-1}, y_k = C x_k: kernels, and what a scan over chunks needs.

`DenseSystem` holds a matrix for each feature, `DiagonalSystem` one number for each pair of modes. Both speak of real states
(batch, feature, order) and give the same numbers for the same system.

The kernel of a lag k = j m + i with m ~ sqrt(L) splits exactly, C a^k b = (C a^{j m}) (a^i b): two short runs of powers and one
matrix product, in memory O(order sqrt(L)) for each feature where squaring (Gu et al., NeurIPS 2021) keeps O(order L).
"""

import math

import torch

from sciml.ssm.modal import outputs, to_modes, to_real


class DenseSystem:
    """a (..., feature, n, n), lead (..., feature, n); lag is given as such or as `ratio` times lead."""

    def __init__(self, a: torch.Tensor, lead: torch.Tensor, *, lag: torch.Tensor | None = None, ratio: float = 0.0):
        self.a, self.lead, self.ratio = a, lead, ratio
        self._lag = lag

    @property
    def lag(self) -> torch.Tensor:
        """Weight of the previous input, (..., feature, n)."""
        return self.ratio * self.lead if self._lag is None else self._lag

    def __getitem__(self, index) -> "DenseSystem":
        """Systems of some of the steps that this one was made for."""
        lag = None if self._lag is None else self._lag[index]
        return DenseSystem(self.a[index], self.lead[index], lag=lag, ratio=self.ratio)

    def advance(self, x: torch.Tensor) -> torch.Tensor:
        """a x for states (batch, feature, n)."""
        if self.a.ndim == 3:
            return torch.bmm(self.a, x.permute(1, 2, 0)).permute(2, 0, 1)
        return (self.a @ x[..., None])[..., 0]

    def inputs(self) -> torch.Tensor:
        """The vectors whose responses make the kernel: (feature, n, 1), or 2 where lag is no multiple of lead."""
        return self.lead[..., None] if self._lag is None else torch.stack([self.lead, self._lag], -1)

    def responses(self, c: torch.Tensor, length: int) -> torch.Tensor:
        """C a^k v for the vectors v of `inputs` and k < length: (vector, feature, channel, length)."""
        return two_level(self.a, self.inputs(), c, length)

    def chunk(self, c: torch.Tensor, size: int) -> "Chunk":
        """What carries a state over `size` samples at once."""
        power, rows, columns = self.a, c, self.lead[..., None]
        lagged = self.lag[..., None] if self._lag is not None or self.ratio else None
        width = 1
        while width < size:
            take = min(width, size - width)
            rows = torch.cat([rows, rows[:, : take * c.shape[1]] @ power], 1)
            columns = torch.cat([columns, power @ columns[..., :take]], -1)
            lagged = None if lagged is None else torch.cat([lagged, power @ lagged[..., :take]], -1)
            width += take
            power = power @ power if width < size else power
        return Chunk(DenseSystem(_power(self.a, size - 1), self.lead), rows, _folded(columns, lagged), size)


class DiagonalSystem:
    """a, lead (..., feature, mode) complex128; `dtype` is the real type of states and kernels, `order` their number."""

    def __init__(self, a, lead, order: int, dtype: torch.dtype, *, lag: torch.Tensor | None = None, ratio: float = 0.0):
        self.a, self.order, self.dtype, self.ratio = a, order, dtype, ratio
        self._lead, self._lag = lead, lag

    @property
    def lead(self) -> torch.Tensor:
        """Weight of the current input, (..., feature, order) real."""
        return to_real(self._lead, self.order).to(self.dtype)

    @property
    def lag(self) -> torch.Tensor:
        """Weight of the previous input, (..., feature, order) real."""
        return self.ratio * self.lead if self._lag is None else to_real(self._lag, self.order).to(self.dtype)

    def __getitem__(self, index) -> "DiagonalSystem":
        lag = None if self._lag is None else self._lag[index]
        return DiagonalSystem(self.a[index], self._lead[index], self.order, self.dtype, lag=lag, ratio=self.ratio)

    def advance(self, x: torch.Tensor) -> torch.Tensor:
        """a x for states (batch, feature, order)."""
        modes = to_modes(x)
        return to_real(self.a.to(modes.dtype) * modes, self.order)

    def responses(self, c: torch.Tensor, length: int) -> torch.Tensor:
        """As `DenseSystem.responses`: real parts of sums of powers, as one real product of [Re, -Im] and [Re, Im]."""
        m = _block(length)
        blocks = -(-length // m)
        fine = _powers(self.a, m)  # (feature, mode, m)
        coarse = _powers(fine[..., -1] * self.a, blocks)  # a^m is the next power
        vectors = [self._lead] if self._lag is None else [self._lead, self._lag]
        w = outputs(c.to(torch.float64))  # (feature, channel, mode)
        found = []
        for v in vectors:
            left = (w * v[:, None])[:, :, None] * coarse.mT[:, None]  # (feature, channel, block, mode)
            left = torch.cat([left.real, -left.imag], -1).to(self.dtype).flatten(1, 2)
            right = torch.cat([fine.real, fine.imag], 1).to(self.dtype)
            found.append((left @ right).reshape(*c.shape[:2], blocks * m)[..., :length])
        return torch.stack(found)

    def chunk(self, c: torch.Tensor, size: int) -> "Chunk":
        """What carries a state over `size` samples at once."""
        powers = _powers(self.a, size)  # (feature, mode, size)
        rows = (outputs(c.to(torch.float64))[:, None] * powers.mT[:, :, None]).flatten(1, 2)  # (feature, size * channel, mode)
        rows = _real_rows(rows, self.order).to(self.dtype)
        columns = to_real((powers * self._lead[..., None]).mT, self.order).mT.to(self.dtype)
        lagged = None
        if self._lag is not None or self.ratio:
            lag = self.ratio * self._lead if self._lag is None else self._lag
            lagged = to_real((powers * lag[..., None]).mT, self.order).mT.to(self.dtype)
        last = DiagonalSystem(powers[..., -1], self._lead, self.order, self.dtype)
        return Chunk(last, rows, _folded(columns, lagged), size)


class Chunk:
    """The carry over `size` samples, from s = a x_before + lag u_before (so that x_0 = s + lead u_0).

    rows : (feature, size * channel, order), C a^i, sample-major: outputs of s.
    columns : (feature, order, size): the state after the chunk is a^(size-1) s + columns u.
    """

    def __init__(self, last, rows: torch.Tensor, columns: torch.Tensor, size: int):
        self.last, self.rows, self.columns, self.size = last, rows, columns, size

    def outputs(self, s: torch.Tensor) -> torch.Tensor:
        """Free response of s (batch, feature, order): (batch, feature, channel, size)."""
        y = torch.bmm(self.rows, s.permute(1, 2, 0))  # (feature, size * channel, batch)
        return y.unflatten(1, (self.size, -1)).permute(3, 0, 2, 1)

    def end(self, s: torch.Tensor | None, u: torch.Tensor) -> torch.Tensor:
        """State after the inputs u (batch, feature, size)."""
        driven = torch.bmm(self.columns, u.permute(1, 2, 0)).permute(2, 0, 1)
        return driven if s is None else self.last.advance(s) + driven


def kernel(responses: torch.Tensor, ratio: float) -> torch.Tensor:
    """Kernel of an input that was zero before: the lead's response, plus the lag's one sample later."""
    later = responses[1] if len(responses) == 2 else ratio * responses[0]
    if len(responses) == 1 and ratio == 0.0:
        return responses[0]
    return responses[0] + torch.nn.functional.pad(later[..., :-1], (1, 0))


def sequential(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, length: int) -> torch.Tensor:
    """C a^k b for k < length, one power after the other: a (f, n, n), b (f, n, v), c (f, m, n) to (v, f, m, length)."""
    taps = []
    for _ in range(length):
        taps.append(c @ b)
        b = a @ b
    return torch.stack(taps, -1).permute(2, 0, 1, 3)


def squaring(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, length: int) -> torch.Tensor:
    """The same by doubling the Krylov matrix, as the LSSL paper ran it: O(n length) memory for each feature."""
    krylov, power = b[:, :, None], a  # (f, n, k, v)
    while krylov.shape[2] < length:
        krylov = torch.cat([krylov, (power @ krylov.flatten(2)).unflatten(2, krylov.shape[2:])], 2)
        power = power @ power
    return (c @ krylov[:, :, :length].flatten(2)).unflatten(2, (length, -1)).permute(3, 0, 1, 2)


def two_level(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, length: int) -> torch.Tensor:
    """The same by C a^(jm + i) b = (C a^(jm)) (a^i b)."""
    features, channels, vectors = c.shape[0], c.shape[1], b.shape[-1]
    m = _block(length)
    right, power = b, a
    for _ in range(int(math.log2(m))):  # columns a^i b, the index of b fastest
        right = torch.cat([right, power @ right], -1)
        power = power @ power
    blocks = -(-length // m)
    left, have = c, 1
    while have < blocks:
        take = min(have, blocks - have)
        left = torch.cat([left, left[:, : take * channels] @ power], 1)
        have += take
        power = power @ power if have < blocks else power
    taps = (left @ right).reshape(features, blocks, channels, m, vectors)
    return taps.permute(4, 0, 2, 1, 3).reshape(vectors, features, channels, blocks * m)[..., :length]


def _block(length: int) -> int:
    """Power of two next to sqrt(length)."""
    return 2 ** math.ceil(math.log2(max(1.0, math.sqrt(length))))


def _powers(a: torch.Tensor, count: int) -> torch.Tensor:
    """1, a, a^2, ... along a new last axis, by doubling."""
    found, power = torch.ones_like(a)[..., None], a
    while found.shape[-1] < count:
        found = torch.cat([found, found * power[..., None]], -1)
        power = power * power
    return found[..., :count]


def _power(a: torch.Tensor, count: int) -> torch.Tensor:
    result = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a)
    while count:
        result = a @ result if count % 2 else result
        a = a @ a if count > 1 else a
        count //= 2
    return result


def _folded(columns: torch.Tensor, lagged: torch.Tensor | None) -> torch.Tensor:
    """Weights of u_0 ... u_{T-1} in x_{T-1}, from a^i lead and a^i lag: a^(T-1-j) lead + a^(T-2-j) lag (none for the last)."""
    folded = columns.flip(-1)
    return folded if lagged is None else folded + torch.nn.functional.pad(lagged[..., :-1].flip(-1), (0, 1))


def _real_rows(w: torch.Tensor, order: int) -> torch.Tensor:
    """Complex rows w as the real rows c with c r = Re(w z): the inverse of `modal.outputs`."""
    pairs = order // 2
    return torch.cat([w.real[..., :pairs] / math.sqrt(2), -w.imag[..., :pairs] / math.sqrt(2), w.real[..., pairs:]], -1)
