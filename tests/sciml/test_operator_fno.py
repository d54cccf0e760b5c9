"""FNO: the truncated transforms are FFTs, and refusals are clear. (Equality with neuraloperator: test_peer_neuralop.)"""

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import smooth_data
from sciml.operators.fno import FNO, SpectralConvolution
from solvers.errors import GridError, SettingError


def by_fft(layer, x):
    """The same layer by torch.fft, channels first, modes cut from the shifted spectrum."""
    axes = tuple(range(2, x.ndim))
    space, spectrum = x.shape[1:-1], torch.fft.rfftn(x.movedim(-1, 1), norm="forward", dim=axes)
    signed = axes[:-1]
    spectrum = torch.fft.fftshift(spectrum, dim=signed) if signed else spectrum
    cut = [slice(None), slice(None)]
    cut += [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(space[:-1], layer.modes[:-1], strict=True)]
    cut = (*cut, slice(0, layer.modes[-1] // 2 + 1))
    weight = torch.complex(layer.weight[:, 0], layer.weight[:, 1]).reshape(*layer.kept, *layer.weight.shape[2:])
    out = torch.zeros(x.shape[0], layer.weight.shape[3], *spectrum.shape[2:], dtype=spectrum.dtype)
    out[cut] = torch.einsum("bi...,...io->bo...", spectrum[cut], weight)
    out = torch.fft.ifftshift(out, dim=signed) if signed else out
    return torch.fft.irfftn(out, s=space, dim=axes, norm="forward").movedim(1, -1) + layer.bias


@pytest.mark.parametrize(
    ("space", "modes"),
    [
        ((16,), (6,)), ((17,), (7,)), ((16,), (16,)), ((15,), (15,)),
        ((12, 14), (6, 8)), ((13, 15), (5, 7)), ((12, 12), (12, 12)), ((15, 9), (15, 9)), ((9, 16), (4, 16)),
        ((8, 10, 12), (4, 5, 6)), ((7, 6, 5), (7, 6, 5)),
    ],
)  # fmt: skip
def test_equals_the_fft_formulation_with_gradients(space, modes):
    torch.manual_seed(7)
    layer = SpectralConvolution(3, 2, modes).double()
    x = torch.randn(2, *space, 3, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x), by_fft(layer, x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    probe = torch.randn_like(ours)
    first = torch.autograd.grad((ours * probe).sum(), [x, layer.weight])
    second = torch.autograd.grad((theirs * probe).sum(), [x, layer.weight])
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_a_dropped_mode_would_be_noticed():
    layer = SpectralConvolution(1, 1, (6,)).double()
    x = torch.randn(1, 16, 1, dtype=torch.float64)
    other = by_fft(layer, x)
    with torch.no_grad():
        layer.weight[2] *= 1.01
    assert (layer(x) - other).abs().max() > 1e-6


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_every_dimension_trains(dimension):
    data = smooth_data(8, 12, dimension=dimension)
    operator = FNO(width=8, modes=8, layers=2)
    result = sciml.fit(operator, data, epochs=60, lr=2e-2, batch_size=4, validation=False, progress=False)
    assert result.history["loss"][-1] < 0.2 * result.history["loss"][0]


def test_resolution_transfer_of_a_linear_map_is_exact_between_resolved_grids():
    """A single last layer without coordinates is linear: the same samples on a finer grid give the same function."""
    operator = sciml.fit(
        FNO(width=8, modes=8, layers=1, coordinates=False), smooth_data(8, 24), epochs=1, validation=False, progress=False
    ).operator
    coarse, fine = smooth_data(8, 24), smooth_data(8, 48)
    with torch.no_grad():
        spectral = operator.module.layers[0].spectral.double()
        on = [spectral(torch.tensor(d.inputs["a"][:])[..., None].expand(-1, -1, -1, 8)) for d in (fine, coarse)]
        difference = on[0][:, ::2, ::2] - on[1]
    assert difference.abs().max() < 1e-10


def test_padding_keeps_the_shape():
    data = smooth_data(4, 15, kind="cell")
    operator = sciml.fit(
        FNO(width=4, modes=4, layers=2, padding=0.2), data, epochs=1, validation=False, progress=False
    ).operator
    assert operator.predict(np.zeros((2, 1, 15, 15), np.float32)).shape == (2, 1, 15, 15)


def test_grids_too_coarse_for_the_modes_are_refused():
    with pytest.raises(GridError, match="17 points along x for 20 Fourier modes"):
        sciml.fit(FNO(modes=20), smooth_data(), epochs=1, progress=False)
    operator = sciml.fit(FNO(width=4, modes=16, layers=1), smooth_data(), epochs=1, progress=False).operator
    with pytest.raises(GridError, match="8 points along x for 16"):
        operator.predict(np.zeros((1, 1, 8, 8), np.float32))
    with pytest.raises(GridError, match="Give one per axis"):
        sciml.fit(FNO(modes=(4, 4, 4)), smooth_data(), epochs=1, progress=False)
    with pytest.raises(SettingError, match="positive width"):
        FNO(width=0)
