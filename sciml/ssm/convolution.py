"""Causal convolution of signals with kernels of their length, y_k = sum over j <= k of taps_j u_{k-j}.

By FFTs of length >= 2 L - 1, never L: that would be a circular convolution, whose outputs see the end of the signal at its
beginning. Short signals take one matrix product instead.
"""

import torch
from scipy.fft import next_fast_len
from torch.autograd import Function

SHORT = 48  # samples up to which a matrix product beats three FFTs (measured on 2 CPU cores)


def causal(u: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """(batch, feature, time) and (feature, channel, time) to (batch, feature, channel, time)."""
    length = u.shape[-1]
    if length > SHORT:
        return _ByTransforms.apply(u, taps)  # pyright: ignore[reportReturnType]
    lag = torch.arange(length, device=u.device)
    lag = lag - lag[:, None]  # (input, output)
    matrix = taps[..., lag.clamp_min(0)] * (lag >= 0)  # (feature, channel, input, output)
    matrix = matrix.permute(0, 2, 1, 3).flatten(2)
    return torch.bmm(u.transpose(0, 1), matrix).unflatten(-1, (-1, length)).transpose(0, 1)


class _ByTransforms(Function):
    """With a backward pass of real transforms; torch's own takes complex ones, of twice the length of a half spectrum."""

    @staticmethod
    def forward(ctx, u, taps):
        n = next_fast_len(2 * u.shape[-1] - 1, real=True)
        spectrum, response = torch.fft.rfft(u, n), torch.fft.rfft(taps, n)
        ctx.n = n
        ctx.save_for_backward(u, taps, spectrum, response)
        return torch.fft.irfft(spectrum[:, :, None] * response, n)[..., : u.shape[-1]]

    @staticmethod
    def backward(ctx, *gradients):
        (gradient,) = gradients
        u, taps, spectrum, response = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates again: the spectra must know where they come from
            spectrum, response = torch.fft.rfft(u, ctx.n), torch.fft.rfft(taps, ctx.n)
        g = torch.fft.rfft(gradient, ctx.n)
        length, of_u, of_taps = u.shape[-1], None, None
        if ctx.needs_input_grad[0]:
            of_u = torch.fft.irfft((g * response.conj()).sum(2), ctx.n)[..., :length]
        if ctx.needs_input_grad[1]:
            of_taps = torch.fft.irfft((g * spectrum.conj()[:, :, None]).sum(0), ctx.n)[..., :length]
        return of_u, of_taps
