"""The linear state-space layer: one linear system of one input for each feature, run in the form that suits.

    x'(t) = A x(t) + B u(t),   y(t) = C x(t) + D u(t),   with its own step exp(log_dt) * dt for each feature

Gu, Johnson, Goel, Saab, Dao, Rudra, Re, Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space
Layers, NeurIPS 2021 (arXiv 2110.13985). Parameters belong to continuous time, so a layer trained at one sampling step answers
at any other when told it (`dt`); with a two-point input rule its error falls with the square of the step. Beside the paper's
form of A there is a dissipative one, stable whatever training does to it.
"""

import contextlib
import math
from typing import Any

import torch
from torch import nn

from sciml.ssm import frequency, modes, structures
from sciml.ssm.call import MODES, Run, checked, needs_causal
from sciml.ssm.discretise import Discretisation
from sciml.ssm.modal import Diagonal
from sciml.ssm.modes import State
from solvers.errors import SettingError

KERNELS = ("auto", "two_level", "frequency")
STEP_RANGE = (1e-6, 10.0)  # of exp(log_dt): outside, training has lost a time scale
MANY_STATES = 256  # from here the closed form of LegS is faster than matrices (measured on 2 CPU cores)
STEPS_AT_ONCE = 2**24  # numbers in the systems of distinct steps that are kept together


class StateSpaceLayer(nn.Module):
    """Linear state-space layer on (batch, time, feature).

    Parameters
    ----------
    d_model : features H.   d_state : states N of each.   channels : outputs M of each.
    A : "legs", "legt", "lagt" (fixed); "dissipative" (recommended to train), "dense", "tridiag_inverse", "dplr", "diagonal".
    init : where a trained A starts, "legs" unless told otherwise; see `structures.make`.
    train_A, train_dt : whether A, B and the time scales learn.
    n_ssm : independent pairs (A, B), shared by groups of d_model / n_ssm features.
    dt_min, dt_max : steps are drawn log-uniformly between them; a LegS state remembers about 1 / step samples.
    disc, alpha, input_rule, allow_unstable : see `discretise.Discretisation`. "right" is the papers'; "trapezoid" and "foh" are
        of second order, and take a first sample as the beginning of the signal (nothing was before, not zero was before).
    mode : "convolution", "recurrent", "scan" or "auto": scan where a state comes in or goes out or the signal is long,
        recurrent for single samples and unequal steps, else convolution.
    chunk : samples of a scan's chunk.
    bidirectional : add a second system, with its own C, run from the end. Where the rule is "right" it leaves the present
        sample to the first one; with a two-point rule each has its half.
    kernel_method : "two_level" (matrix products), "frequency" (closed forms, where there are some) or "auto".

    Raises
    ------
    SettingError, UnknownName : options out of range, or that exclude each other.

    Examples
    --------
    >>> layer = StateSpaceLayer(4, 8)
    >>> layer(torch.ones(2, 100, 4)).shape
    torch.Size([2, 100, 4])
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        channels: int = 1,
        *,
        A: str = "dissipative",
        init: str | None = None,
        train_A: bool = True,
        train_dt: bool = True,
        n_ssm: int = 1,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        disc: str = "bilinear",
        alpha: float = 0.5,
        input_rule: str = "right",
        allow_unstable: bool = False,
        mode: str = "auto",
        chunk: int = 128,
        bidirectional: bool = False,
        kernel_method: str = "auto",
    ):
        super().__init__()
        if min(d_model, d_state, channels, n_ssm, chunk) < 1 or d_model % n_ssm:
            raise SettingError(
                given=f"d_model={d_model}, d_state={d_state}, channels={channels}, n_ssm={n_ssm}, chunk={chunk}",
                needed="positive numbers, n_ssm a divisor of d_model",
                remedy="Mend them.",
            )
        if not STEP_RANGE[0] <= dt_min <= dt_max <= STEP_RANGE[1]:
            raise SettingError(
                given=f"dt_min={dt_min}, dt_max={dt_max}",
                needed=f"{STEP_RANGE[0]} <= dt_min <= dt_max <= {STEP_RANGE[1]}, in units of a sampling step",
                remedy="A range of a factor 100 that covers 1 / (number of samples) is a good start.",
            )
        for name, value, known in (("mode", mode, MODES), ("kernel_method", kernel_method, KERNELS)):
            if value not in known:
                raise SettingError(given=f"{name}={value!r}", needed=f"one of {known}", remedy=f"Change `{name}`.")
        self.d_model, self.d_state, self.channels, self.n_ssm = d_model, d_state, channels, n_ssm
        self.mode, self.chunk, self.bidirectional, self.kernel_method = mode, chunk, bidirectional, kernel_method
        self.discretisation = Discretisation(disc, alpha, input_rule, allow_unstable)
        self.step_range = (dt_min, dt_max)
        self.structure = structures.make(A, d_state, n_ssm, init=init, train=train_A)
        if kernel_method == "frequency" and not frequency.supports(self.structure, self.discretisation):
            raise SettingError(
                given=f"kernel_method='frequency' with A={A!r}, disc={disc!r}",
                needed="A='legs', 'tridiag_inverse' or 'dplr' and disc='bilinear' or 'gbt'",
                remedy="Use kernel_method='auto'.",
            )
        log_dt = torch.empty(d_model).uniform_(math.log(dt_min), math.log(dt_max))
        if train_dt:
            self.log_dt = nn.Parameter(log_dt)
        else:
            self.register_buffer("log_dt", log_dt)
        directions = 2 if bidirectional else 1
        self.C = nn.Parameter(torch.randn(directions, d_model, channels, d_state))
        self.D = nn.Parameter(torch.randn(d_model, channels))

    # -- what training should know -------------------------------------------------------------------------------------

    def parameter_options(self) -> dict[str, dict[str, float]]:
        """How each parameter wants to be trained; see `sciml.learners.groups`."""
        plain = {"weight_decay": 0.0}
        return {"log_dt": plain | {"lr_max": structures.SLOW}, "C": plain, "D": plain}

    def param_groups(self, base_lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for a torch optimiser: A, B and log_dt at no more than 1e-3, they and C, D without weight decay."""
        from sciml.learners.groups import parameter_groups

        return parameter_groups(self, base_lr, weight_decay)

    def after_update(self) -> None:
        """Keep an unconstrained A stable; called by `fit` after some of the updates."""
        self.structure.stabilise()

    # -- discrete systems ----------------------------------------------------------------------------------------------

    def steps_of(self, dt: torch.Tensor) -> torch.Tensor:
        """Each feature's step for sampling steps dt (...): (..., feature) float64."""
        low, high = (math.log(v) for v in STEP_RANGE)
        return dt[..., None].double() * self.log_dt.double().clamp(low, high).exp()

    def system(self, dt: float | torch.Tensor = 1.0) -> modes.System:
        """The discrete systems of all features for sampling steps dt (...)."""
        steps = self.steps_of(torch.as_tensor(dt, device=self.log_dt.device))
        each, dtype = self.d_model // self.n_ssm, self._dtype
        spread = lambda v: v if self.n_ssm == 1 else v.repeat_interleave(each, 0)  # noqa: E731
        if isinstance(self.structure, Diagonal):
            lam, b = spread(self.structure.lam()), spread(self.structure.b_modes())
            return self.discretisation.diagonal(lam, b, steps, dtype, self.d_state)
        a, b = self.structure.matrices()
        return self.discretisation.dense(spread(a), spread(b), steps, dtype)

    def kernel(self, length: int, dt: float = 1.0) -> torch.Tensor:
        """Response to a unit impulse after rest, without D: (channel, feature, length); twice the channels if bidirectional."""
        with _exact_products(self.log_dt.device):
            system, found = self.system(dt), []
            for c in self.C.to(self._dtype):
                found.append(modes.kernel(self._responses(system, c, length, dt), system.ratio))
        return torch.cat(found, 1).transpose(0, 1)

    def _responses(self, system, c: torch.Tensor, length: int, dt) -> torch.Tensor:
        if not self.by_frequency:
            return system.responses(c, length)
        steps = self.steps_of(torch.as_tensor(dt, device=self.log_dt.device))
        return frequency.responses(self.structure, self.discretisation, steps, c, length)

    @property
    def by_frequency(self) -> bool:
        if self.kernel_method == "auto":
            large = self.d_state >= MANY_STATES and isinstance(self.structure, structures.Fixed)
            return large and frequency.supports(self.structure, self.discretisation)
        return self.kernel_method == "frequency"

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self.C.dtype == torch.float64 else torch.float32

    # -- running -------------------------------------------------------------------------------------------------------

    def forward(
        self,
        u: torch.Tensor,
        dt: float | torch.Tensor = 1.0,
        state: State | None = None,
        lengths: torch.Tensor | None = None,
        mode: str | None = None,
        return_state: bool = False,
    ) -> Any:
        """Outputs of signals.

        Parameters
        ----------
        u : (batch, time, feature).
        dt : sampling step over the one trained at: a number, (batch,), or for unequal steps (batch, time), where dt[:, k] leads
            from sample k - 1 to k.
        state : from `rest` or an earlier call; None for a signal that begins.
        lengths : (batch,) valid samples; what follows is padding and its outputs are meaningless.
        mode : instead of the layer's own.
        return_state : also give the state after the last (valid) sample.

        Returns
        -------
        (batch, time, feature * channels), channels of a feature together; with `return_state` also a `State`.

        Raises
        ------
        DataError : shapes that do not fit, steps that are not positive and finite (0 is allowed within (batch, time)).
        SettingError : a mode that cannot do what is asked.
        """
        y = self.transposed(u.transpose(1, 2), dt, state, lengths, mode, return_state)
        y, end = y if return_state else (y, None)
        y = y.flatten(1, 2).transpose(1, 2)
        return (y, end) if return_state else y

    def transposed(
        self, u: torch.Tensor, dt: float | torch.Tensor = 1.0, state=None, lengths=None, mode=None, return_state: bool = False
    ) -> Any:
        """`forward` on (batch, feature, time), with outputs (batch, feature, channel, time)."""
        dtype = u.dtype
        with torch.autocast(u.device.type, enabled=False), _exact_products(u.device):
            run = checked(self, u.to(self._dtype), dt, state, lengths, mode, return_state)
            c = self.C.to(self._dtype)
            y, x = self._run(run, c[0], return_state)
            if self.bidirectional:
                y = y + self._backwards(run, c[1])
            y = torch.addcmul(y, self.D.to(self._dtype)[..., None], run.u[:, :, None])
        y = y.to(dtype)
        return (y, State(x, self._last(run))) if return_state else y

    def states(self, u: torch.Tensor, dt: float | torch.Tensor = 1.0) -> torch.Tensor:
        """x at every sample of signals (batch, feature, time): (batch, feature, order, time). Large, and for regression."""
        run = checked(self, u.to(self._dtype), dt, None, None, None, False)
        every = torch.eye(self.d_state, dtype=self._dtype, device=u.device).expand(self.d_model, -1, -1)
        return self._run(run, every, False)[0]

    def rest(self, batch: int) -> State:
        """State of a system that has seen nothing but zeros."""
        zeros = self.C.new_zeros(batch, self.d_model, self.d_state, dtype=self._dtype)
        return State(zeros, zeros[..., 0] if self.discretisation.uses_previous_input else None)

    def step(self, u: torch.Tensor, state: State | None = None, dt: float | torch.Tensor = 1.0) -> tuple[torch.Tensor, State]:
        """One sample u (batch, feature) to y (batch, feature * channels) and the state. For many at one step use `stream`."""
        y, end = self.forward(u[:, None], dt, state, mode="recurrent", return_state=True)
        return y[:, 0], end

    @torch.no_grad()
    def stream(self, dt: float = 1.0) -> "Stream":
        """The layer as it is now, made discrete once, for samples that come one at a time."""
        if self.bidirectional:
            raise needs_causal("stream")
        return Stream(self.system(dt), self.C[0].to(self._dtype), self.D.to(self._dtype), self.discretisation)

    def _run(self, run: Run, c: torch.Tensor, need_state: bool) -> tuple[torch.Tensor, Any]:
        if run.dt.ndim == 2:
            return self._unequal(run, c)
        if run.dt.ndim == 1:  # rows of equal step together
            values, group = torch.unique(run.dt, return_inverse=True)
            if len(values) > 1:
                return self._grouped(run, c, values, group, need_state)
            run = run._replace(dt=values[0])
        system = self.system(run.dt)
        beginning = modes.begin(system, run.state, run.u[..., 0], self.discretisation.uses_previous_input)
        if run.mode == "recurrent":
            return modes.recur(system, c, run.u, beginning, run.mask)
        if run.mode == "scan" and run.lengths is None:
            return modes.scan(system, c, run.u, beginning, self.chunk)
        if run.mode == "scan":
            y, _ = modes.scan(system, c, run.u, beginning, self.chunk)
        else:
            y = modes.convolve(system, c, run.u, beginning, self._responses(system, c, run.u.shape[-1], run.dt))
        return y, modes.end_state(system, run.u, beginning, self.chunk, run.lengths) if need_state else None

    def _grouped(self, run: Run, c, values, group, need_state: bool):
        rows = [torch.nonzero(group == i)[:, 0] for i in range(len(values))]
        order = torch.argsort(torch.cat(rows))
        found = []
        for value, row in zip(values, rows, strict=True):
            state = run.state
            if state is not None:
                state = State(state.x[row], None if state.u is None else state.u[row])
            lengths = None if run.lengths is None else run.lengths[row]
            found.append(self._run(Run(run.u[row], value, state, lengths, run.mode), c, need_state))
        ys, xs = zip(*found, strict=True)
        return torch.cat(ys)[order], torch.cat(xs)[order] if need_state else None

    def _unequal(self, run: Run, c: torch.Tensor):
        """Recurrence with a step of its own for each row and sample; equal ones are made discrete once."""
        values, index = torch.unique(run.dt, return_inverse=True)
        each = self.d_model * self.d_state * (1 if isinstance(self.structure, Diagonal) else self.d_state)
        if len(values) * each <= STEPS_AT_ONCE:
            systems = self.system(values)
            at = lambda k: systems[index[:, k]]  # noqa: E731
        else:
            at = lambda k: self.system(run.dt[:, k])  # noqa: E731
        first = at(0)
        beginning = modes.begin(first, run.state, run.u[..., 0], self.discretisation.uses_previous_input)
        return modes.steps(at, c, run.u, beginning, run.mask)

    def _backwards(self, run: Run, c: torch.Tensor) -> torch.Tensor:
        """The second system over the reversed signals; each is reversed within its own length."""
        flip = run.reversal()
        turned = run.u.gather(-1, flip[:, None].expand_as(run.u))
        dt = run.dt
        if dt.ndim == 2:  # the step into sample k is, backwards, the step out of it
            ahead = torch.cat([dt[:, 1:], dt[:, :1]], 1)
            dt = ahead.gather(1, flip)
        y, _ = self._run(run._replace(u=turned, dt=dt), c, False)
        y = y.gather(-1, flip[:, None, None].expand_as(y))
        if self.discretisation.uses_previous_input:
            return y
        if dt.ndim == 2:
            present = torch.stack([self.system(v).lead for v in run.dt.unbind(1)], -1)  # (batch, feature, order, time)
            index = torch.arange(dt.shape[1], device=dt.device)
            present = present[..., (index + 1) % dt.shape[1]]
            return y - torch.einsum("hmn,bhnt->bhmt", c, present) * run.u[:, :, None]
        lead = self.system(dt).lead
        lead = lead if lead.ndim == 3 else lead[None]
        return y - (c @ lead[..., None])[..., 0][..., None] * run.u[:, :, None]

    def _last(self, run: Run) -> torch.Tensor | None:
        """Last valid input of each row, where the rule needs it."""
        if not self.discretisation.uses_previous_input:
            return None
        if run.lengths is None:
            return run.u[..., -1]
        return run.u.gather(-1, (run.lengths - 1)[:, None, None].expand(-1, self.d_model, 1))[..., 0]


class Stream:
    """A layer frozen at one sampling step, for samples that come one at a time; see `StateSpaceLayer.stream`."""

    def __init__(self, system: modes.System, c: torch.Tensor, d: torch.Tensor, discretisation: Discretisation):
        self.system, self.c, self.d, self.two_point = system, c, d, discretisation.uses_previous_input

    @torch.no_grad()
    def __call__(self, u: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """u (batch, feature) to y (batch, feature * channels) and the state; None for a signal that begins."""
        u = u.to(self.c.dtype)
        beginning = modes.begin(self.system, state, u, self.two_point)
        y, x = modes.recur(self.system, self.c, u[..., None], beginning)
        y = y[..., 0] + self.d * u[..., None]
        return y.flatten(1), State(x, u if self.two_point else None)


@contextlib.contextmanager
def _exact_products(device: torch.device):
    """Powers of a are products of products: no TF32 here, whatever the caller has chosen elsewhere."""
    chosen = torch.get_float32_matmul_precision() if device.type == "cuda" else "highest"
    if chosen == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)
