"""Forms of A in a complex eigenbasis, kept in pairs of conjugates: `dplr` (S4) and `diagonal` (S4D).

    dplr       A = diag(lam) - P P^*,  lam = -exp(log_decay) + i frequency        P P^* rather than P Q^* keeps it stable
    diagonal   A = diag(lam)

Of each pair one member z is kept; the layer's states are real, r = sqrt(2) (Re z, Im z), and an odd order has one real mode
last. That change of basis is unitary, so an output C r with real C is 2 Re(c z) with c = (C_re - i C_im) / sqrt(2).

Gu, Goel, Re, Efficiently Modeling Long Sequences with Structured State Spaces, ICLR 2022.
Gu, Gupta, Goel, Re, On the Parameterization and Initialization of Diagonal State Space Models, NeurIPS 2022.
"""

import math

import numpy as np
import torch

from sciml.ssm import hippo
from sciml.ssm.structures import LEAST_DAMPING, Structure

STARTS = ("inv", "lin", "real")  # of `diagonal`, besides the HiPPO matrices


class _Modal(Structure):
    """lam (copy, mode) and vectors (copy, mode) with modes = (order + 1) // 2."""

    is_contractive = True
    log_decay: torch.Tensor
    frequency: torch.Tensor

    def _start(self, lam: np.ndarray, train: bool) -> None:
        self.own("log_decay", np.log(np.maximum(-lam.real, LEAST_DAMPING)), train)
        self.own("frequency", np.ascontiguousarray(lam.imag), train)

    def _own_complex(self, name: str, values: np.ndarray, train: bool) -> None:
        """Two real numbers for each complex one, last axis."""
        self.own(name, np.stack([values.real, values.imag], -1), train)

    def _complex(self, name: str) -> torch.Tensor:
        pair = getattr(self, name).double()
        return self._real_last(torch.complex(pair[..., 0], pair[..., 1]))

    def _real_last(self, values: torch.Tensor) -> torch.Tensor:
        """Of an odd order, the imaginary part of the real mode is nothing."""
        if self.order % 2 == 0:
            return values
        keep = torch.ones(values.shape[-1], dtype=torch.float64, device=values.device)
        keep[-1] = 0.0
        return torch.complex(values.real, values.imag * keep)

    def lam(self) -> torch.Tensor:
        """Diagonal, (copy, mode) complex128, real parts negative."""
        return self._real_last(torch.complex(-self.log_decay.double().exp(), self.frequency.double()))

    def b_modes(self) -> torch.Tensor:
        """Input vector in the eigenbasis, (copy, mode) complex128."""
        return self._complex("b")

    def _rotations(self) -> torch.Tensor:
        """diag(lam) as a real matrix (copy, order, order) on r."""
        lam, pairs = self.lam(), self.order // 2
        decay = torch.cat([lam.real[:, :pairs], lam.real], dim=1)  # (re, im, and the real mode, which sits with neither)
        turn = torch.diag_embed(lam.imag[:, :pairs], pairs, dim1=-2, dim2=-1) if pairs else None
        matrix = torch.diag_embed(decay)
        if turn is not None:
            turn = torch.nn.functional.pad(turn, (0, self.order - 2 * pairs, 0, self.order - 2 * pairs))
            matrix = matrix - turn + turn.mT
        return matrix


class Diagonal(_Modal):
    """Modes that do not see each other; everything is elementwise."""

    def __init__(self, init: str, order: int, copies: int = 1, train: bool = True):
        super().__init__(order, copies)
        modes = (order + 1) // 2
        n = np.arange(modes)
        if init in hippo.KINDS:
            start = hippo.normal_plus_low_rank(init, order)
            lam, b = start.lam, start.b / 2
        else:
            b = np.ones(modes, dtype=complex)
            lam = {
                "inv": -0.5 + 1j * order / np.pi * (order / (2 * n + 1) - 1),
                "lin": -0.5 + 1j * np.pi * n,
                "real": -(n + 1.0) + 0j,
            }[init]
        self._start(lam, train)
        self._own_complex("b", b, train)

    def matrices(self):
        return self._rotations(), to_real(self.b_modes(), self.order)


class LowRank(_Modal):
    """Diagonal minus low rank; contains the HiPPO matrices up to a unitary change of basis."""

    def __init__(self, init: str, order: int, copies: int = 1, train: bool = True):
        super().__init__(order, copies)
        start = hippo.normal_plus_low_rank(init, order)
        self._start(start.lam, train)
        self._own_complex("b", start.b, train)
        self._own_complex("p", start.p, train)

    def p_modes(self) -> torch.Tensor:
        """Low-rank factor in the eigenbasis, (copy, rank, mode) complex128."""
        return self._complex("p")

    def matrices(self):
        p = to_real(self.p_modes(), self.order)  # (copy, rank, order)
        return self._rotations() - p.mT @ p, to_real(self.b_modes(), self.order)


def to_real(z: torch.Tensor, order: int) -> torch.Tensor:
    """(..., mode) complex to (..., order) real, r = sqrt(2) (Re z, Im z), a real mode as it is."""
    pairs = order // 2
    parts = [math.sqrt(2) * z.real[..., :pairs], math.sqrt(2) * z.imag[..., :pairs], z.real[..., pairs:]]
    return torch.cat(parts, -1)


def to_modes(r: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_real`: (..., order) real to (..., mode) complex."""
    pairs = r.shape[-1] // 2
    scaled = r[..., : 2 * pairs] / math.sqrt(2)
    z = torch.complex(scaled[..., :pairs], scaled[..., pairs:])
    rest = r[..., 2 * pairs :]
    return torch.cat([z, torch.complex(rest, torch.zeros_like(rest))], -1) if rest.shape[-1] else z


def outputs(c: torch.Tensor) -> torch.Tensor:
    """Real rows C (..., order) as complex rows w (..., mode) with C r = Re(w z): 2 c for pairs, C itself for a real mode."""
    pairs = c.shape[-1] // 2
    scaled = math.sqrt(2) * c[..., : 2 * pairs]
    w = torch.complex(scaled[..., :pairs], -scaled[..., pairs:])
    rest = c[..., 2 * pairs :]
    return torch.cat([w, torch.complex(rest, torch.zeros_like(rest))], -1) if rest.shape[-1] else w
