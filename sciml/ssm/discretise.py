"""From x' = A x + B u and a step to x_k = a x_{k-1} + lead u_k + lag u_{k-1}.

    gbt        R = (1 - alpha dt A)^-1,  a = R (1 + (1 - alpha) dt A),  b = dt R B       (alpha = 1/2: bilinear, Tustin)
    zoh        a = exp(dt A),  b = dt phi_1(dt A) B                                      exact for an input held constant

How the two samples at the ends of a step enter (`input_rule`):

    right      lead = b, lag = 0                       first order in dt: half a step late. As in the LSSL and S4 papers
    trapezoid  lead = lag = b / 2                      second order
    foh        lead = dt phi_2(dt A) B, lag = b - lead second order; for `zoh` exact for an input that is linear on each step

phi_1(z) = (e^z - 1) / z, phi_2(z) = (phi_1(z) - 1) / z, with e^z replaced by the same rational function as in a for `gbt`,
where phi_2 = alpha / (1 - alpha z): then lead = alpha b, lag = (1 - alpha) b (for `bilinear` the same as `trapezoid`).

All of it is computed in float64, whatever the layer's type: it is a small part of the work, and powers of a follow.
"""

from dataclasses import dataclass

import torch

from sciml.ssm.system import DenseSystem, DiagonalSystem
from solvers.errors import SettingError

METHODS = ("bilinear", "zoh", "gbt")
RULES = ("right", "trapezoid", "foh")


@dataclass(frozen=True)
class Discretisation:
    """How time becomes discrete; see the module.

    method : "bilinear", "zoh", or "gbt" with its `alpha` in [0, 1].   rule : "right", "trapezoid" or "foh".
    allow_unstable : permit alpha < 1/2, which turns fast decaying modes into growing ones.
    """

    method: str = "bilinear"
    alpha: float = 0.5
    rule: str = "right"
    allow_unstable: bool = False

    def __post_init__(self):
        for name, value, known in (("disc", self.method, METHODS), ("input_rule", self.rule, RULES)):
            if value not in known:
                raise SettingError(given=f"{name}={value!r}", needed=f"one of {known}", remedy=f"Change `{name}`.")
        if self.method != "gbt" and self.alpha != 0.5:
            raise SettingError(given=f"alpha={self.alpha} with disc={self.method!r}", needed="disc='gbt'", remedy="Set it.")
        if not 0 <= self.alpha <= 1:
            raise SettingError(given=f"alpha={self.alpha}", needed="a number in [0, 1]", remedy="1/2 is the bilinear method.")
        if self.alpha < 0.5 and not self.allow_unstable:
            raise SettingError(
                given=f"alpha={self.alpha}",
                needed="alpha >= 1/2: below, the fast modes of HiPPO matrices grow (spectral radius 5 at order 64, dt 0.1)",
                remedy="Use disc='bilinear' or 'zoh', or pass allow_unstable=True to see it happen.",
            )

    @property
    def rational_shares(self) -> tuple[float, float]:
        """(lead, lag) as multiples of b, where they are multiples of it (all but `zoh` with `foh`)."""
        return {"right": (1.0, 0.0), "trapezoid": (0.5, 0.5), "foh": (self.alpha, 1 - self.alpha)}[self.rule]

    @property
    def uses_previous_input(self) -> bool:
        """Whether a step looks at both its ends."""
        return self.rule != "right"

    def _shared(self, kind, step: torch.Tensor, held: torch.Tensor, *more):
        """A system both of whose input weights are multiples of `held`."""
        lead, lag = self.rational_shares
        if lead == 0:
            return kind(step, 0 * held, *more, lag=lag * held)
        return kind(step, lead * held, *more, ratio=lag / lead)

    # -- real matrices -------------------------------------------------------------------------------------------------

    def dense(self, a: torch.Tensor, b: torch.Tensor, dt: torch.Tensor, dtype: torch.dtype) -> DenseSystem:
        """A (feature or 1, n, n) and B (feature or 1, n) float64 with steps dt (..., feature), as a system of type `dtype`."""
        a, b = a.expand(dt.shape[-1], -1, -1), b.expand(dt.shape[-1], -1)
        scaled, driven = dt[..., None, None] * a, dt[..., None] * b
        if self.method == "zoh":
            return self._exponential(scaled, driven, dtype)
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        if self.alpha == 0:
            step, held = identity + scaled, driven
        else:
            inverse = torch.linalg.inv(identity - self.alpha * scaled)
            step, held = (inverse - (1 - self.alpha) * identity) / self.alpha, (inverse @ driven[..., None])[..., 0]
        return self._shared(DenseSystem, step.to(dtype), held.to(dtype))

    def _exponential(self, scaled: torch.Tensor, driven: torch.Tensor, dtype: torch.dtype) -> DenseSystem:
        """By one matrix exponential of [[dt A, dt B, 0], [0, 0, 1], [0, 0, 0]] (Van Loan 1978)."""
        n, extra = scaled.shape[-1], 2 if self.rule == "foh" else 1
        block = torch.nn.functional.pad(torch.cat([scaled, driven[..., None]], -1), (0, extra - 1, 0, extra))
        if extra == 2:
            block = block.clone()
            block[..., n, n + 1] = 1.0
        whole = torch.linalg.matrix_exp(block)
        step, held = whole[..., :n, :n].to(dtype), whole[..., :n, n]
        if self.rule == "foh":
            lead = whole[..., :n, n + 1]
            return DenseSystem(step, lead.to(dtype), lag=(held - lead).to(dtype))
        return self._shared(DenseSystem, step, held.to(dtype))

    # -- diagonal matrices ---------------------------------------------------------------------------------------------

    def diagonal(self, lam: torch.Tensor, b: torch.Tensor, dt: torch.Tensor, dtype: torch.dtype, order: int) -> DiagonalSystem:
        """lam and B (feature or 1, mode) complex128 with steps dt (..., feature), as a system of real type `dtype`."""
        z, driven = dt[..., None] * lam, dt[..., None] * b
        if self.method != "zoh":
            solved = 1 / (1 - self.alpha * z)
            return self._shared(DiagonalSystem, (1 + (1 - self.alpha) * z) * solved, solved * driven, order, dtype)
        phi1, phi2 = _phi(z)
        if self.rule == "foh":
            return DiagonalSystem(z.exp(), phi2 * driven, order, dtype, lag=(phi1 - phi2) * driven)
        return self._shared(DiagonalSystem, z.exp(), phi1 * driven, order, dtype)


def _phi(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """phi_1(z) and phi_2(z), to rounding also near zero, where a Taylor series replaces the quotients."""
    small = z.abs() < 0.5
    safe = torch.where(small, torch.ones_like(z), z)
    phi1 = torch.expm1(safe) / safe
    phi2 = (phi1 - 1) / safe
    near = torch.where(small, z, torch.zeros_like(z))
    series = torch.zeros_like(z)
    for k in range(18, 1, -1):  # phi_2 = 1/2 + z/6 + z^2/24 + ..., by Horner's rule; 0.5^17 / 18! is below rounding
        series = series * near / (k + 1) + 1.0
    series = series / 2
    return torch.where(small, 1 + near * series, phi1), torch.where(small, series, phi2)
