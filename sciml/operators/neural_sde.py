"""Neural stochastic differential equation, trained on moments: means (and variances) over paths at every stored time.

    dy = f(y, t, c) dt + g(y) o dW,   f = a tanh network, g = diag(A y + b),   Stratonovich
    loss = sum over times and components of (mean of paths - mean)^2 + (variance of paths - variance)^2

Paths start at the initial frame. A dataset of means alone holds them as its fields; one of means and variances holds first the
means, then as many variances (`moments=2`), and the answer is both. Predictions use the same Brownian paths for every item and
call, so they do not depend on a batch.

backend="jax": diffrax's adaptive stochastic Heun, all regularisers.   backend="torch": torchsde; penalties need equal steps of
Heun's method (`steps_per_frame`), since torchsde adapts its steps outside the graph. Weights and files are the same for both,
Brownian paths are not.

Kidger, On Neural Differential Equations, thesis, Oxford 2021; moment loss and penalties: Pal, Ma, Shah, Rackauckas, Opening
the Blackbox, ICML 2021, section 4.2; torchsde: Li, Wong, Chen, Duvenaud, Scalable Gradients for Stochastic Differential
Equations, AISTATS 2020. The solves are those of `sciml.nde.RegularizedSDESolve`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.nde.fields import perceptron, run, with_time
from sciml.nde.operator import Answer, NeuralDE, Solving
from sciml.nde.stochastic import REGULARISERS, RegularizedSDESolve
from sciml.operators.neural_ode import frames_of, solve_times, state_fields
from solvers.errors import DataError, SettingError, unknown_name

CHECKS = {"dataset": "moving", "task": "trajectory", "epochs": 60}
PRESETS = {"tiny": {"width": 24, "paths": 4, "noise": 0.02}, "small": {}, "base": {"width": 128, "paths": 200}}


@dataclass(frozen=True)
class Config(Solving):
    """Settings of a neural SDE, beside those of its solves (`sciml.nde.operator.Solving`; steer is not for these).

    width, depth : hidden units and layers of f.   cubed : f sees y^3.   paths : per item.
    moments : 1, fields are means; 2, the first half are means, the second variances.
    noise : size of g at the start.
    batching : "coupled", all paths of an item are one system; "per-sample", each path has its own steps (JAX only).
    steps_per_frame : so many equal steps between stored times, instead of step-size control; 0 for that.
    """

    backend: str = "jax"
    rtol: float = 0.05
    atol: float = 0.05
    method: str = "heun"
    width: int = 50
    depth: int = 1
    cubed: bool = False
    paths: int = 100
    moments: int = 1
    noise: float = 0.1
    steps_per_frame: int = 0

    def __post_init__(self):
        if self.steer:
            raise SettingError(given=f"steer={self.steer} for a stochastic equation", needed="0", remedy="Leave it out.")
        if self.backend == "torch" and self.batching != "coupled":
            raise SettingError(
                given=f"batching={self.batching!r} on torch", needed="'coupled': torchsde steps all paths of an item alike",
                remedy="Change it, or use backend='jax'.",
            )  # fmt: skip
        if self.target_evaluations and self.steps_per_frame:
            raise SettingError(
                given=f"target_evaluations={self.target_evaluations} with equal steps", needed="step-size control",
                remedy="Leave one out: the number of equal steps is not learned.",
            )  # fmt: skip
        unknown = next((name for name in self.regularisers if name not in REGULARISERS), None)
        if unknown is not None:
            raise unknown_name("regulariser of a stochastic solve", unknown, REGULARISERS)
        super().__post_init__()
        if min(self.width, self.depth, self.paths) < 1 or self.moments not in (1, 2) or self.noise < 0:
            raise SettingError(
                given=f"width={self.width}, depth={self.depth}, paths={self.paths}, moments={self.moments}, noise={self.noise}",
                needed="sizes >= 1, moments 1 or 2, noise >= 0", remedy="Change them.",
            )  # fmt: skip
        if self.moments == 2 and self.paths < 2:
            raise SettingError(given="variances of one path", needed="paths >= 2", remedy="Raise `paths`.")

    @property
    def solve(self) -> RegularizedSDESolve:
        """The solve that these settings describe."""
        first: dict[str, Any] = {} if self.first_step is None else {"first_step": self.first_step}
        return RegularizedSDESolve(
            self.rtol, self.atol, self.regularisers, self.aggregate, max_steps=self.max_steps, backend=self.backend,
            method=self.method, steps_per_frame=self.steps_per_frame, **first,
        )  # fmt: skip


def moments_each(prediction, target, grid) -> Any:
    """Sum of squared differences of an item over times, components and moments (the published loss)."""
    return ((prediction - target) ** 2).reshape(len(target), -1).sum(-1)


class NeuralSDE(NeuralDE):
    """Neural SDE for moments of trajectories; see `Config`.

    Examples
    --------
    >>> NeuralSDE(regularisers=("R_E",), weights=(0.1,)).config.solve.rtol
    0.05
    """

    takes = ("trajectory", "final")

    def __init__(self, **config):
        self.config = Config(**config)
        self.shifts = (not self.config.cubed, True)

    def draw(self, signature, rng):
        c, fields, points = self.config, state_fields(signature), int(np.prod(signature.grid.shape))
        if fields % c.moments:
            raise DataError(
                given=f"{fields} fields as means and variances", needed="as many variances as means",
                remedy="Give the means first, then the variances, or moments=1.",
            )  # fmt: skip
        state, constants = fields // c.moments * points, (len(signature.inputs) - fields) * points
        weights = perceptron(rng, "drift", (state + constants + 1, *[c.width] * c.depth, state))
        diagonal = {"diffusion_w0": np.zeros((state, state), np.float32)}
        return weights | diagonal | {"diffusion_b0": np.full(state, c.noise, np.float32)}

    def model(self, p, x, scales, xp, solve, share=1.0, noise=None):
        signature, c = self.bound_signature, self.config
        fields = state_fields(signature)
        means, frames = fields // c.moments, frames_of(signature)
        y0, constants = x[:, :means].reshape(len(x), -1), x[:, fields:].reshape(len(x), -1)

        def drift(t, y, constants):  # constants (..., constant) of y (..., path, state)
            fixed = xp.broadcast_to(constants[..., None, :], (*y.shape[:-1], constants.shape[-1]))
            return run(p, "drift", with_time(t, [y**3 if c.cubed else y, fixed], xp), xp)

        def diffusion(t, y, constants):
            return run(p, "diffusion", y, xp)

        if c.backend == "torch":
            start = xp.stack([y0] * c.paths, 1)
            paths, statistics = solve(drift, start, solve_times(signature), diffusion, constants)
            paths = xp.moveaxis(paths, 0, 1)
        else:
            paths, statistics = self._each_by_vmap(drift, diffusion, y0, constants, solve, noise is not None)
        # paths (item, time, path, state)
        scale, shift = (scales[f"input.{n}"][:means].reshape(1, 1, means, *(1,) * (x.ndim - 2)) for n in ("scale", "shift"))
        shape = (len(x), frames, means, *x.shape[2:])
        mean = paths[:, 1:].mean(2)
        answers = [mean.reshape(shape) * scale + shift]
        if c.moments == 2:
            spread = ((paths[:, 1:] - mean[:, :, None]) ** 2).mean(2)
            answers.append(spread.reshape(shape) * scale**2)
        return Answer(xp.concatenate(answers, 2).reshape(len(x), -1, *x.shape[2:]), statistics)

    def _each_by_vmap(self, drift, diffusion, y0, constants, solve, training: bool) -> tuple[Any, Any]:
        """(item, time, path, state) on JAX: items, or paths, have steps of their own."""
        from solvers.precision import jax

        c, xp, times = self.config, jax.numpy, solve_times(self.bound_signature)

        def of_item(y, constants, index):
            def of_paths(y, index):
                f, g = (lambda t, y, h=h: h(t, y, constants) for h in (drift, diffusion))
                return solve(f, y, times, g, index)

            if c.batching == "coupled":
                return of_paths(xp.stack([y] * c.paths), index)
            own = jax.vmap(of_paths)(xp.stack([y] * c.paths)[:, None], index * c.paths + xp.arange(c.paths))
            return xp.moveaxis(own[0][:, :, 0], 0, 1), own[1]

        # In training every item has paths of its own; predictions of an item must not depend on its place in the batch.
        index = xp.arange(len(y0)) if training else xp.zeros(len(y0), int)
        return jax.vmap(of_item)(y0, constants, index)

    def recommended(self, task) -> dict[str, Any]:
        return {"lr": 1e-2, "batch_size": 16, "weight_decay": 0.0, "epochs": 100, "loss": moments_each, "clip": 10.0}
