"""One discrete system, three ways to run it over u (batch, feature, time): recurrence, convolution, chunked scan.

All take a `Beginning`, the state on which the first sample falls, and can return the state after the last one, so that a
sequence may be cut anywhere. They agree to rounding (tested); they differ in cost:

    recur      O(L n^2), one small step after the other: streaming, and steps of unequal length
    convolve   FFT of length >= 2 L - 1 (never L: that would wrap the end of the signal around to its beginning)
    scan       chunks of T samples: a short convolution inside, the state carried between; memory independent of L
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from sciml.ssm.convolution import causal
from sciml.ssm.system import Chunk, DenseSystem, DiagonalSystem, kernel

System = DenseSystem | DiagonalSystem


class State(NamedTuple):
    """Where a layer stands between two samples.

    x : (batch, feature, order).   u : the last input, (batch, feature); None when x is the state at the first sample to come.
    """

    x: torch.Tensor
    u: torch.Tensor | None = None


class Beginning(NamedTuple):
    """s with x_0 = s + lead u_0 (None for zero), or `onset`: the signal begins at its first sample, x_0 = 0."""

    s: torch.Tensor | None
    onset: bool = False


def begin(system: System, state: State | None, u0: torch.Tensor, two_point: bool) -> Beginning:
    """How the first sample u0 (batch, feature) meets the state."""
    if state is None:
        return Beginning(None, onset=two_point)
    if state.u is None and two_point:
        return Beginning(state.x - system.lead * u0[..., None])
    s = system.advance(state.x)
    return Beginning(s if state.u is None else s + system.lag * state.u[..., None])


def _start(system: System, beginning: Beginning, u0: torch.Tensor) -> torch.Tensor | None:
    """s of a beginning, written out also for an onset."""
    return -system.lead * u0[..., None] if beginning.onset else beginning.s


def recur(system: System, c: torch.Tensor, u: torch.Tensor, beginning: Beginning, mask: torch.Tensor | None = None):
    """Sample by sample. u (batch, feature, time), c (feature, channel, order), mask (batch, time) of valid samples.

    Returns y (batch, feature, channel, time) and the state at the last valid sample, (batch, feature, order).
    """
    return steps(lambda k: system, c, u, beginning, mask)


def steps(
    system_at: Callable[[int], System], c: torch.Tensor, u: torch.Tensor, beginning: Beginning, mask: torch.Tensor | None = None
):
    """`recur` with another system at each sample; `system_at(k)` leads from sample k - 1 to k."""
    answers: list[torch.Tensor] = []
    x: Any = None
    for k in range(u.shape[-1]):
        system, now = system_at(k), u[..., k, None]
        if x is None:
            s = _start(system, beginning, u[..., 0])
            new = system.lead * now if s is None else s + system.lead * now
            x = torch.zeros_like(new)
        else:
            new = system.advance(x) + system.lead * now
            if system.ratio or system._lag is not None:
                new = new + system.lag * u[..., k - 1, None]
        answers.append(torch.bmm(c, new.permute(1, 2, 0)))  # (feature, channel, batch)
        x = new if mask is None else torch.where(mask[:, k, None, None], new, x)
    return torch.stack(answers, -1).permute(2, 0, 1, 3), x


def convolve(system: System, c: torch.Tensor, u: torch.Tensor, beginning: Beginning, responses: torch.Tensor | None = None):
    """By one convolution; `responses` (from `system.responses`, or another algorithm) may be given."""
    if responses is None:
        responses = system.responses(c, u.shape[-1])
    y = causal(u, kernel(responses, system.ratio))
    if beginning.onset:
        return y - responses[0] * u[..., 0, None, None]
    if beginning.s is not None:
        y = y + free(system, c, beginning.s, u.shape[-1])
    return y


def scan(system: System, c: torch.Tensor, u: torch.Tensor, beginning: Beginning, size: int):
    """In chunks of `size` samples. Returns y (batch, feature, channel, time) and the state after the last sample."""
    length = u.shape[-1]
    size = min(size, length)
    taps = kernel(system.responses(c, size), system.ratio)
    chunk = system.chunk(c, size)
    s, x, pieces = _start(system, beginning, u[..., 0]), None, []
    for start in range(0, length, size):
        part = u[..., start : start + size]
        if part.shape[-1] < size:  # the rest, with a carry of its own
            chunk = system.chunk(c, part.shape[-1])
        y = causal(part, taps[..., : part.shape[-1]])
        pieces.append(y if s is None else y + chunk.outputs(s))
        x = chunk.end(s, part)
        s = _carried(system, x, part[..., -1])
    return torch.cat(pieces, -1), x


def end_state(
    system: System, u: torch.Tensor, beginning: Beginning, size: int, lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """State at the last sample (at sample lengths[b] - 1 of row b), (batch, feature, order), without any output."""
    none = u.new_zeros(u.shape[1], 0, system.lead.shape[-1])
    s = _start(system, beginning, u[..., 0])
    size = min(size, u.shape[-1])
    chunk = system.chunk(none, size)
    if lengths is None:
        x = torch.zeros(())
        for start in range(0, u.shape[-1], size):
            part = u[..., start : start + size]
            chunk = chunk if part.shape[-1] == size else system.chunk(none, part.shape[-1])
            x = chunk.end(s, part)
            s = _carried(system, x, part[..., -1])
        return x
    whole = (lengths - 1) // size  # whole chunks of each row first, then the rest of each row step by step
    s = torch.zeros_like(system.lead).expand(len(u), -1, -1) if s is None else s
    at = s
    for i in range(int(whole.max())):
        part = u[..., i * size : (i + 1) * size]
        s = _carried(system, chunk.end(s, part), part[..., -1])
        at = torch.where((whole == i + 1)[:, None, None], s, at)
    rest = (lengths - 1) % size + 1
    index = (whole * size)[:, None] + torch.arange(int(rest.max()), device=u.device)  # (batch, time)
    valid = index < lengths[:, None]
    tail = u.gather(-1, index.clamp_max(u.shape[-1] - 1)[:, None].expand(-1, u.shape[1], -1))
    x = torch.zeros_like(at)
    for k in range(tail.shape[-1]):
        new = (at if k == 0 else _carried(system, x, tail[..., k - 1])) + system.lead * tail[..., k, None]
        x = torch.where(valid[:, k, None, None], new, x)
    return x


def free(system: System, c: torch.Tensor, s: torch.Tensor, length: int, size: int = 128) -> torch.Tensor:
    """C a^k s for k < length: (batch, feature, channel, length), from s (batch, feature, order)."""
    size = min(size, length)
    chunk = system.chunk(c, size)
    pieces = []
    for _ in range(-(-length // size)):
        pieces.append(chunk.outputs(s))
        s = system.advance(chunk.last.advance(s))
    return torch.cat(pieces, -1)[..., :length]


def _carried(system: System, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """a x + lag u, on which the next sample falls."""
    s = system.advance(x)
    return s + system.lag * u[..., None] if system.ratio or system._lag is not None else s


__all__ = ["Beginning", "Chunk", "State", "begin", "causal", "convolve", "end_state", "free", "recur", "scan", "steps"]
