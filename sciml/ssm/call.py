"""What a state-space layer may be called with: checked once, before anything is computed."""

from typing import TYPE_CHECKING, NamedTuple

import torch

from sciml.ssm.modes import State
from solvers.errors import DataError, SettingError

if TYPE_CHECKING:
    from sciml.ssm.layer import StateSpaceLayer

MODES = ("convolution", "recurrent", "scan", "auto")


class Run(NamedTuple):
    """A checked call.

    u : (batch, feature, time).   dt : (), (batch,) or (batch, time), float64.   lengths : (batch,) or None.
    mode : "convolution", "recurrent" or "scan".
    """

    u: torch.Tensor
    dt: torch.Tensor
    state: State | None
    lengths: torch.Tensor | None
    mode: str

    @property
    def mask(self) -> torch.Tensor | None:
        """Valid samples, (batch, time); None when all are."""
        if self.lengths is None:
            return None
        return torch.arange(self.u.shape[-1], device=self.u.device) < self.lengths[:, None]

    def reversal(self) -> torch.Tensor:
        """Index that turns each row around within its length and leaves its padding where it is: (batch, time)."""
        time = torch.arange(self.u.shape[-1], device=self.u.device).expand(len(self.u), -1)
        if self.lengths is None:
            return time.flip(1)
        turned = self.lengths[:, None] - 1 - time
        return torch.where(turned >= 0, turned, time)


def checked(layer: "StateSpaceLayer", u: torch.Tensor, dt, state, lengths, mode: str | None, need_state: bool) -> Run:
    """The call with everything in its place.

    Raises
    ------
    DataError : shapes that do not fit, steps that are negative or not finite (zero only within (batch, time)).
    SettingError : a mode that cannot do what is asked.
    """
    if u.ndim != 3 or u.shape[1] != layer.d_model or 0 in u.shape:
        raise DataError(
            given=f"an input of shape (batch, feature, time) = {tuple(u.shape)}",
            needed=f"{layer.d_model} features, at least one row and one sample",
            remedy="`forward` takes (batch, time, feature), `transposed` (batch, feature, time).",
        )
    batch, length = u.shape[0], u.shape[2]
    dt = torch.as_tensor(dt, dtype=torch.float64, device=u.device)
    if tuple(dt.shape) not in ((), (batch,), (batch, length)):
        raise DataError(
            given=f"dt of shape {tuple(dt.shape)}",
            needed=f"a number, one for each row ({batch},), or one for each sample ({batch}, {length})",
            remedy="Steps common to all rows: dt[None].expand(batch, -1).",
        )
    if not bool(torch.isfinite(dt).all()) or bool((dt < 0).any()) or (dt.ndim < 2 and bool((dt == 0).any())):
        raise DataError(given="dt that is negative, zero or not finite", needed="dt > 0", remedy="Sort the times.")
    lengths = None if lengths is None else torch.as_tensor(lengths, device=u.device)
    if lengths is not None and (lengths.shape != (batch,) or bool((lengths < 1).any()) or bool((lengths > length).any())):
        raise DataError(
            given=f"lengths of shape {tuple(lengths.shape)} for {batch} rows of {length} samples",
            needed=f"({batch},) whole numbers from 1 to {length}",
            remedy="Count the valid samples of each row.",
        )
    if layer.bidirectional and (state is not None or need_state):
        raise needs_causal("a state")
    _check_state(layer, state, batch)
    chosen = _settled(layer, mode or layer.mode, dt, state is not None or need_state, length)
    return Run(u, dt, state, None if lengths is None else lengths.long(), chosen)


def needs_causal(what: str) -> SettingError:
    """The error for what a layer that sees the future cannot have."""
    return SettingError(
        given=f"{what} of a bidirectional layer",
        needed="a causal one",
        remedy="Its outputs depend on the future; use bidirectional=False.",
    )


def _check_state(layer: "StateSpaceLayer", state: State | None, batch: int) -> None:
    if state is None:
        return
    shape = (batch, layer.d_model, layer.d_state)
    if tuple(state.x.shape) != shape or (state.u is not None and tuple(state.u.shape) != shape[:2]):
        raise DataError(
            given=f"a state of shape {tuple(state.x.shape)}",
            needed=f"x {shape} and u {shape[:2]}, or u=None",
            remedy="Take it from `rest`, or from a call with return_state=True.",
        )


def _settled(layer: "StateSpaceLayer", mode: str, dt: torch.Tensor, with_state: bool, length: int) -> str:
    if mode not in MODES:
        raise SettingError(given=f"mode={mode!r}", needed=f"one of {MODES}", remedy="Change `mode`.")
    if dt.ndim == 2:
        if mode in ("convolution", "scan"):
            raise SettingError(
                given=f"a step for each sample in mode {mode!r}",
                needed="mode='recurrent' or 'auto'",
                remedy="Only a recurrence can change its step.",
            )
        return "recurrent"
    if mode != "auto":
        return mode
    if length == 1:
        return "recurrent"
    return "scan" if with_state and not layer.by_frequency else "convolution"
