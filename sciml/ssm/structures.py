"""Forms of the matrix A of a state-space layer: which numbers are trained, and what A they make.

    legs, legt, lagt   nothing is trained
    dense              all of A and B
    tridiag_inverse    A = -diag(p) (diag(shift) + T^-1) diag(q), T tridiagonal: seven vectors; not stable by construction
    dissipative        A = -diag(p) (diag(delta) + V V^T / 2 + K) diag(p), K skew: stable whatever the numbers are

and, in `modal`, `dplr` and `diagonal`. Every form gives `matrices()`: A (copy, order, order) and B (copy, order), real float64,
differentiable. Copies are independent pairs (A, B) that groups of features share.

Gu et al., Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space Layers, NeurIPS 2021
(`tridiag_inverse`). The dissipative form contains the three HiPPO matrices too, and A + A^T <= 0 makes every discretisation
with alpha >= 1/2, and the exact one, a contraction.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import nn

from sciml.ssm import hippo
from solvers.errors import SettingError, unknown_name

SLOW = 1e-3  # largest learning rate of A, B and the time scales (Gu et al. 2022, S4; larger ones lose what HiPPO gives)
MARGIN = 1e-3  # eigenvalues of unconstrained forms are kept this far left of the imaginary axis
LEAST_PIVOT = 1e-4  # of T = L U: below, T is close to singular and its inverse not a number to train with
LEAST_DAMPING = 1e-6  # where HiPPO has none: a softplus needs something to start from


class Structure(nn.Module):
    """A form of A. `order` is the number of states, `copies` the number of independent (A, B).

    is_contractive : A + A^T <= 0 for every value of the parameters.
    """

    is_contractive: bool = False

    def __init__(self, order: int, copies: int):
        super().__init__()
        self.order, self.copies = order, copies

    @abstractmethod
    def matrices(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A (copy, order, order) and B (copy, order), float64."""
        raise NotImplementedError

    @torch.no_grad()
    def stabilise(self) -> float:
        """Move eigenvalues of the right half-plane back to the left; returns the largest shift. Contractive forms have none."""
        return 0.0

    def parameter_options(self) -> dict[str, dict[str, float]]:
        """How each parameter wants to be trained; see `sciml.learners.groups`."""
        slow = {"lr_max": SLOW, "weight_decay": 0.0}
        return {name: slow for name, _ in self.named_parameters(recurse=False)}

    def own(self, name: str, values, train: bool) -> None:
        """A trained parameter, or a constant that is saved with the weights; `values` (order, ...) NumPy, one per copy."""
        tensor = torch.as_tensor(values).expand(self.copies, *values.shape).to(torch.get_default_dtype()).clone()
        if train:
            setattr(self, name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)


class Fixed(Structure):
    """A HiPPO matrix as it is; nothing is trained or stored."""

    is_contractive = True
    a: torch.Tensor
    b: torch.Tensor

    def __init__(self, kind: str, order: int, copies: int = 1):
        super().__init__(order, copies)
        self.kind = kind
        a, b = (torch.from_numpy(values) for values in hippo.matrices(kind, order))
        self.register_buffer("a", a, persistent=False)
        self.register_buffer("b", b, persistent=False)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)  # follows the device, but keeps float64: it is exact, and small
        exact = hippo.matrices(self.kind, self.order)
        self.a, self.b = (torch.from_numpy(v).to(old.device) for v, old in zip(exact, (self.a, self.b), strict=True))
        return self

    def matrices(self):
        return self.a.expand(self.copies, -1, -1), self.b.expand(self.copies, -1)


class Dense(Structure):
    """All of A and B, for ablations: from a HiPPO matrix, or "random" (Gaussian, spectral radius about one, shifted left)."""

    a: torch.Tensor
    b: torch.Tensor

    def __init__(self, init: str, order: int, copies: int = 1, train: bool = True):
        super().__init__(order, copies)
        if init == "random":
            a, b = (torch.randn(order, order) / order**0.5 - torch.eye(order)).numpy(), torch.ones(order).numpy()
        else:
            a, b = hippo.matrices(init, order)
        self.own("a", a, train)
        self.own("b", b, train)

    def matrices(self):
        return self.a.double(), self.b.double()

    @torch.no_grad()
    def stabilise(self) -> float:
        shift = excess(self.matrices()[0])
        self.a -= shift[:, None, None].to(self.a.dtype) * torch.eye(self.order, dtype=self.a.dtype, device=self.a.device)
        return float(shift.max())


class TridiagonalInverse(Structure):
    """The form of the LSSL paper, seven vectors. Keep their learning rate small, and call `stabilise` now and then."""

    VECTORS = ("lower", "diagonal", "upper", "p", "q", "shift", "b")
    diagonal: torch.Tensor
    p: torch.Tensor
    q: torch.Tensor
    shift: torch.Tensor

    def __init__(self, init: str, order: int, copies: int = 1, train: bool = True):
        super().__init__(order, copies)
        vectors = hippo.tridiagonal(init, order)
        for name in self.VECTORS:
            self.own(name, getattr(vectors, name), train)

    def vectors(self) -> dict[str, torch.Tensor]:
        """The seven vectors, (copy, order) float64, the unused ends of `lower` and `upper` set to zero."""
        found = {name: getattr(self, name).double() for name in self.VECTORS}
        found["lower"] = F.pad(found["lower"][:, 1:], (1, 0))
        found["upper"] = F.pad(found["upper"][:, :-1], (0, 1))
        return found

    def matrices(self):
        v = self.vectors()
        t = torch.diag_embed(v["diagonal"])
        if self.order > 1:
            t = t + torch.diag_embed(v["lower"][:, 1:], -1) + torch.diag_embed(v["upper"][:, :-1], 1)
        inner = torch.diag_embed(v["shift"]) + torch.linalg.inv(t)
        return -v["p"][:, :, None] * inner * v["q"][:, None], v["p"] * v["b"]

    @torch.no_grad()
    def stabilise(self) -> float:
        v = self.vectors()
        for copy in range(self.copies):
            before = 0.0
            for i in range(self.order):  # pivots of T by elimination; one that is nearly zero is pushed away from it
                carried = float(v["lower"][copy, i] * v["upper"][copy, i - 1]) / before if i else 0.0
                pivot = float(v["diagonal"][copy, i]) - carried
                if abs(pivot) < LEAST_PIVOT:
                    pivot = LEAST_PIVOT if pivot >= 0 else -LEAST_PIVOT
                    self.diagonal[copy, i] = pivot + carried
                before = pivot
        shift = excess(self.matrices()[0])
        scale = (self.p * self.q).double()
        # A - shift I within the form: p (shift / (p q)) q = shift. Where p q is nearly zero, that entry is left alone.
        moved = torch.where(scale.abs() > 1e-8, shift[:, None] / scale, torch.zeros_like(scale))
        self.shift += moved.to(self.shift.dtype)
        return float(shift.max())


class Dissipative(Structure):
    """Stable by construction, of the cost of the paper's form, and HiPPO at the start: the form to train."""

    is_contractive = True
    log_p: torch.Tensor
    raw_delta: torch.Tensor
    v: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    beta: torch.Tensor

    def __init__(self, init: str, order: int, copies: int = 1, train: bool = True):
        super().__init__(order, copies)
        vectors = hippo.quasiseparable(init, order)
        delta = torch.from_numpy(vectors.delta).clamp_min(LEAST_DAMPING)
        self.own("log_p", torch.from_numpy(vectors.p).log().numpy(), train)
        self.own("raw_delta", (delta + torch.log(-torch.expm1(-delta))).numpy(), train)  # inverse of softplus
        for name in ("v", "a", "b", "beta"):
            self.own(name, getattr(vectors, name), train)

    def matrices(self):
        p, delta = self.log_p.double().exp(), F.softplus(self.raw_delta.double())
        v, a, b = self.v.double(), self.a.double(), self.b.double()
        below = torch.tril(0.5 * a @ b.mT, -1)
        inner = torch.diag_embed(delta) + 0.5 * v @ v.mT + below - below.mT
        return -p[:, :, None] * inner * p[:, None], p * self.beta.double()


def excess(a: torch.Tensor) -> torch.Tensor:
    """How far the eigenvalues of each matrix reach beyond -MARGIN, zero if they do not: (copy,)."""
    return (torch.linalg.eigvals(a).real.amax(-1) + MARGIN).clamp_min(0.0)


KINDS = (*hippo.KINDS, "dense", "tridiag_inverse", "dissipative", "dplr", "diagonal")


def make(kind: str, order: int, copies: int = 1, *, init: str | None = None, train: bool = True) -> Structure:
    """The structure of that name.

    init : where its numbers start; a HiPPO matrix for all ("legs" by default), besides "random" for `dense`, and "inv", "lin",
        "real" for `diagonal`.
    train : False keeps them there.

    Raises
    ------
    UnknownName : no such structure or start.
    SettingError : `init` or `train` for a fixed matrix.
    """
    from sciml.ssm import modal

    if kind not in KINDS:
        raise unknown_name("structure", kind, KINDS)
    if kind in hippo.KINDS:
        if init not in (None, kind):
            raise SettingError(
                given=f"A={kind!r} with init={init!r}",
                needed="no init: this matrix is fixed",
                remedy=f"Use A='dissipative', init={init!r} for one that is trained.",
            )
        return Fixed(kind, order, copies)
    starts = hippo.KINDS + {"dense": ("random",), "diagonal": modal.STARTS}.get(kind, ())
    init = init or "legs"
    if init not in starts:
        raise unknown_name(f"start of {kind}", init, starts)
    classes = {"dense": Dense, "tridiag_inverse": TridiagonalInverse, "dissipative": Dissipative}
    classes |= {"dplr": modal.LowRank, "diagonal": modal.Diagonal}
    return classes[kind](init, order, copies, train)
