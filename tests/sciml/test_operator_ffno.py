"""Factorised FNO: convolutions of one axis add up; weights are shared on request; refusals are clear."""

import pytest
import torch

import sciml
from sciml.checks import smooth_data
from sciml.operators.ffno import FFNO, FactorisedConvolution
from solvers.errors import GridError, SettingError


def along(layer, x, axis):
    """The spectral convolution of one axis by torch.fft."""
    one = layer.axes[axis]
    spectrum = torch.fft.rfft(x, dim=1 + axis, norm="forward").movedim(1 + axis, -2)
    weight = torch.complex(one.weight[:, 0], one.weight[:, 1])
    out = torch.zeros(*spectrum.shape[:-1], weight.shape[-1], dtype=spectrum.dtype)
    kept = weight.shape[0]
    out[..., :kept, :] = torch.einsum("...mi,mio->...mo", spectrum[..., :kept, :], weight)
    return torch.fft.irfft(out, n=x.shape[1 + axis], dim=-2, norm="forward").movedim(-2, 1 + axis) + one.bias


@pytest.mark.parametrize(("space", "modes"), [((16,), (6,)), ((12, 15), (6, 8)), ((8, 9, 10), (4, 5, 6))])
def test_is_a_sum_over_the_axes(space, modes):
    torch.manual_seed(3)
    layer = FactorisedConvolution(3, modes).double()
    x = torch.randn(2, *space, 3, dtype=torch.float64)
    expected = sum(along(layer, x, axis) for axis in range(len(space)))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


def test_sharing_takes_one_set_of_spectral_weights():
    data = smooth_data()
    counts = {}
    for share in (False, True):
        operator = FFNO(width=8, modes=8, layers=3, share=share)
        result = sciml.fit(operator, data, epochs=20, lr=5e-3, progress=False, validation=False)
        assert result.history["loss"][-1] < 0.7 * result.history["loss"][0]
        counts[share] = operator.parameter_count
    one = sum(p.numel() for p in FactorisedConvolution(8, (8, 8)).parameters())
    assert counts[False] - counts[True] == 2 * one


def test_refusals():
    with pytest.raises(SettingError, match="positive"):
        FFNO(layers=0)
    with pytest.raises(GridError, match="17 points along x for 30 Fourier modes"):
        sciml.fit(FFNO(modes=30), smooth_data(), epochs=1, progress=False)
    with pytest.raises(GridError, match="Give one per axis"):
        sciml.fit(FFNO(modes=(4, 4, 4)), smooth_data(), epochs=1, progress=False)
