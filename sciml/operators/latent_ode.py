"""Latent ODE: an irregular, masked series is read backwards into the start of a hidden flow, then read off at all times.

    q(z_0 | x) = N(m, s^2),  (m, log s^2) = e(GRU over (x, masks, dt), last sample first)
    dz/dt = f(z),   y(t) = d(z(t)) + noise,   minimise  -E log p(y | z_0) + kl KL(q || N(0, 1))

For the task "sequence": inputs are what was observed (zeros where it was not), masks that say where, and, with `steps=`, the
time since the previous sample; outputs are wanted at all times of the dataset, which may be uneven. Series that were sampled
at times of their own share the union of these times, with masks. The loss is then the negative evidence bound per valid value.
For "classification" and "regression" the answer is read off z at the end, and the loss is the task's, with the divergence.

Rubanova, Chen, Duvenaud, Latent ODEs for Irregularly-Sampled Time Series, NeurIPS 2019; penalties: Pal et al., ICML 2021.
"""

from dataclasses import dataclass
from typing import Any

from sciml.nde.fields import gru, gru_backwards, perceptron, run
from sciml.nde.operator import Answer, NeuralDE, Solving
from solvers.errors import GridError, SettingError

CHECKS = {"dataset": "labelled", "task": "classification", "epochs": 60}
PRESETS = {"tiny": {"hidden": 16, "latent": 8, "kl": 0.01}, "small": {}, "base": {"hidden": 48, "latent": 24, "width": 64}}
WARM_UP = 0.25  # share of the training in which the divergence gains its full weight, as in the published schedule


@dataclass(frozen=True)
class Config(Solving):
    """Settings of a latent ODE, beside those of its solves (`sciml.nde.operator.Solving`).

    hidden : states of the GRU.   latent : components of z.   width : hidden layers of f and of the decoder.
    sigma : standard deviation of the noise of observations, in units of the outputs' own spread.
    kl : weight of the divergence of z_0 from a standard normal, 1 for the evidence bound; it is reached after a quarter of the
        training. For one answer per series values about 0.01 are usual. 0 trains a plain autoencoder: z_0 = m, no noise.
    valid : name of an input that is 1 where there is a value to learn, and 0 in padding (""; every value counts).
    """

    hidden: int = 24
    latent: int = 16
    width: int = 32
    sigma: float = 0.1
    kl: float = 1.0
    valid: str = ""

    def __post_init__(self):
        super().__post_init__()
        if min(self.hidden, self.latent, self.width) < 1 or self.kl < 0 or self.sigma <= 0:
            raise SettingError(
                given=f"hidden={self.hidden}, latent={self.latent}, width={self.width}, kl={self.kl}, sigma={self.sigma}",
                needed="sizes >= 1, kl >= 0, sigma > 0", remedy="Change them.",
            )  # fmt: skip


class LatentODE(NeuralDE):
    """Latent ODE for series; see `Config`.

    Examples
    --------
    >>> LatentODE(latent=8, valid="valid").config.kl
    1.0
    """

    takes = ("sequence", "classification", "regression")

    def __init__(self, **config):
        self.config = Config(**config)

    def draw(self, signature, rng):
        c = self.config
        if signature.grid.dimension != 1:
            raise GridError(
                given=f"a task with the axes {signature.grid.names}", needed="time alone: series at a point",
                remedy="Give components as channels (sample, time, component).",
            )  # fmt: skip
        if c.valid and c.valid not in signature.inputs:
            raise SettingError(given=f"valid={c.valid!r}", needed=f"one of {signature.inputs}", remedy="Rename it.")
        weights = gru(rng, "encoder", len(signature.inputs), c.hidden)
        weights |= perceptron(rng, "start", (c.hidden, c.hidden, 2 * c.latent if c.kl else c.latent))
        weights |= perceptron(rng, "field", (c.latent, c.width, c.latent))
        return weights | perceptron(rng, "decoder", (c.latent, c.width, len(signature.outputs)))

    def noise_shape(self, items):
        return (items, self.config.latent) if self.config.kl else (0,)

    def model(self, p, x, scales, xp, solve, share=1.0, noise=None):
        signature, c = self.bound_signature, self.config
        masked = signature.inputs.index(signature.mask) if signature.mask else None
        valid = xp.ones_like(x[:, :1]) if masked is None else x[:, masked : masked + 1]
        h = gru_backwards(p, "encoder", x, valid, c.hidden, xp)
        start, further = run(p, "start", h, xp), 0.0
        z = start[:, : c.latent]
        if c.kl:
            log_variance = start[:, c.latent :]
            divergence = 0.5 * (z * z + xp.exp(log_variance) - log_variance - 1).sum(-1)
            values = 1 if signature.per_item else self._valid(x, scales, xp).sum((1, 2)) * len(signature.outputs)
            warm = 0.5 * (share / WARM_UP + 1 - abs(share / WARM_UP - 1))  # at most 1, for numbers and for traced arrays
            further = c.kl * warm * (divergence / values).mean()
            z = z if noise is None else z + xp.exp(0.5 * log_variance) * noise
        y, statistics = solve(lambda t, y: run(p, "field", y, xp), z, self._times())
        if signature.per_item:
            answer = run(p, "decoder", y[-1], xp)
            return Answer(answer * scales["output.scale"] + scales["output.shift"], statistics, further)
        y = xp.moveaxis(run(p, "decoder", y, xp), 0, 2)  # (item, channel, time)
        y = y * scales["output.scale"][:, None] + scales["output.shift"][:, None]
        return Answer(y * self._valid(x, scales, xp) if c.valid else y, statistics, further)

    def _times(self) -> list[float]:
        times = self.bound_signature.times
        if self.bound_signature.per_item:
            return [0.0, 1.0]
        return [(t - times[0]) / (times[-1] - times[0]) for t in times]

    def _valid(self, x: Any, scales: Any, xp: Any) -> Any:
        """(item, 1, time), 1 where there is a value to learn, from normalised inputs."""
        if not self.config.valid:
            return xp.ones_like(x[:, :1])
        i = self.bound_signature.inputs.index(self.config.valid)
        return x[:, i : i + 1] * scales["input.scale"][i] + scales["input.shift"][i]

    def task_loss(self, outputs, targets, inputs, scales, each, xp):
        """-log p(y | z_0) per valid value but for a constant; of one answer per series, the task's loss."""
        if self.bound_signature.per_item:
            return super().task_loss(outputs, targets, inputs, scales, each, xp)
        shaped = lambda name: scales[name][:, None]  # noqa: E731
        valid = self._valid((inputs - shaped("input.shift")) / shaped("input.scale"), scales, xp)
        off = (outputs - targets) / (self.config.sigma * shaped("output.scale"))
        values = valid.sum((1, 2)) * targets.shape[1]
        return (0.5 * (valid * off * off).sum((1, 2)) / values).mean()

    def recommended(self, task) -> dict[str, Any]:
        return {"lr": 1e-2, "weight_decay": 0.0, "epochs": 100, "batch_size": 32}
