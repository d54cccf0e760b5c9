"""Linear state-space models without descent: the states of fixed systems are known, so their outputs follow by least squares.

    x_h' = A x_h + B u_h,   y = sum over h of C_h x_h + D u + d,   C, D, d by ridge regression on all samples of all signals

Gradient descent on C is hopeless at 1e-3: HiPPO states are nearly dependent (condition numbers of 1e10 and more), and each
digit costs it a factor in steps. Here the sums of products are gathered batch by batch in float64, and the penalty is chosen
by generalised cross-validation from one eigen-decomposition.

What a kernel does at lags longer than the signals is not in the data; there it is asked to be small, as in a memory that fades.

Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, Technometrics 21 (1979).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sciml.learners.backprop import pick_device, to_numpy
from sciml.operator import Arrays, Learner, Position, Scalars, Training
from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.model import SequenceModel
from sciml.tasks import Batch
from solvers.errors import DataError

PENALTIES = np.logspace(-13, 1, 57)  # relative to the largest eigenvalue; below, rounding is what one would fit
REACH = 4  # lengths of the signals up to which a kernel is asked to fade


class SolvedReadout(Learner):
    """Gathers products of states and targets over one epoch, and solves for C, D and the decoder's bias at its end.

    operator : an `LSSL` whose network is one linear layer, as `arrange` leaves it.
    """

    def __init__(self, operator: Any, training: Training):
        self.operator = operator
        self.device = pick_device(training.device)
        self.network = operator.module.double().to(self.device)
        self.layer: StateSpaceLayer = self.network.model.blocks[0].layer
        columns = self.layer.d_model * self.layer.d_state + len(self.network.kept) + 1
        outputs = len(operator.bound_signature.outputs)
        self.products = torch.zeros(columns, columns, dtype=torch.float64, device=self.device)
        self.targets = torch.zeros(columns, outputs, dtype=torch.float64, device=self.device)
        self.squares = torch.zeros(outputs, dtype=torch.float64, device=self.device)
        self.count = 0

    @torch.no_grad()
    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        x = torch.as_tensor(batch.inputs).to(self.device, torch.float64)
        y = torch.as_tensor(batch.targets).to(self.device, torch.float64)
        if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise DataError(given=f"NaN or infinity in items {batch.items[:8]}", needed="finite data", remedy="Remove them.")
        x, y = self.operator.input_normaliser.encode(x), self.operator.output_normaliser.encode(y)
        z = self.columns(x).permute(1, 0, 2).flatten(1)  # (column, sample)
        y = y.permute(1, 0, 2).flatten(1)
        self.products += z @ z.mT
        self.targets += z @ y.mT
        self.squares += (y**2).sum(1)
        self.count += z.shape[1]
        return {"loss": 0.0}

    def columns(self, x: torch.Tensor) -> torch.Tensor:
        """States, inputs and one, for normalised inputs (item, channel, time): (item, column, time)."""
        return self.responses(*self.network.signals(x))

    def responses(self, u: torch.Tensor, dt: float | torch.Tensor) -> torch.Tensor:
        """The same for signals without the channel of their steps."""
        e = self.network.model.encoder(u)
        return torch.cat([self.layer.states(e, dt).flatten(1, 2), u, torch.ones_like(u[:, :1])], 1)

    def beyond(self) -> np.ndarray:
        """Products of the kernels' columns at lags that no signal reaches, weighed as if some did: (column, column).

        An error of the kernel there shows in the outputs of longer signals with the power of their inputs.
        """
        signature, inputs = self.operator.bound_signature, len(self.network.kept)
        length, states = len(signature.times), self.layer.d_model * self.layer.d_state
        power = torch.diagonal(self.products)[states:-1]
        found = torch.zeros_like(self.products)
        for i in range(inputs):
            impulse = self.products.new_zeros(1, inputs, REACH * length)
            impulse[0, i, 1] = 1.0  # the first sample is where a signal begins
            z = self.responses(impulse, 1.0)[0, :states, length:]
            found[:states, :states] += power[i] * (z @ z.mT)
        return to_numpy(found)

    @torch.no_grad()
    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        weights, penalty, rest = ridge(
            to_numpy(self.products), self.beyond(), to_numpy(self.targets), to_numpy(self.squares), self.count
        )  # (column, output)
        model, layer = self.network.model, self.layer
        inputs, outputs = len(self.network.kept), weights.shape[1]
        found = torch.from_numpy(weights).to(self.device)
        states = layer.d_model * layer.d_state
        c = found[:states].unflatten(0, (layer.d_model, layer.d_state)).permute(0, 2, 1)
        layer.C.zero_()
        layer.C[0, :, :outputs] = c
        layer.D.zero_()
        layer.D[:inputs, :outputs] = found[states:-1]
        for o in range(outputs):  # the residual connection has brought feature o to output o already
            layer.D[o % inputs, o] -= 1.0
        model.decoder.bias.copy_(found[-1])
        self.done = True
        return {"loss": float(rest), "penalty": float(penalty)}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays = {name: to_numpy(getattr(self, name)) for name in ("products", "targets", "squares")}
        return arrays, {"count": self.count, "done": self.done}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        for name in ("products", "targets", "squares"):
            getattr(self, name).copy_(torch.from_numpy(np.array(arrays[name])))
        self.count, self.done = scalars["count"], scalars["done"]


@torch.no_grad()
def arrange(model: SequenceModel, inputs: int, outputs: int) -> None:
    """Give a one-layer linear model the wiring of a regression: feature h sees input h mod `inputs`, its channel o goes to
    output o, and its time scales are evenly spread (in their logarithm) over the layer's range instead of drawn."""
    block: Any = model.blocks[0]
    layer: StateSpaceLayer = block.layer
    h = torch.arange(layer.d_model)
    model.encoder.weight.copy_((h[:, None] % inputs == torch.arange(inputs)).to(model.encoder.weight))
    block.mix.weight.zero_()
    for o in range(outputs):
        block.mix.weight[o, o :: layer.channels] = 1.0
    model.decoder.weight.copy_(torch.eye(outputs, layer.d_model))
    for part in (model.encoder, block.mix, model.decoder):
        part.bias.zero_()
    low, high = layer.step_range
    spread = torch.linspace(0.0, 1.0, layer.d_model) if layer.d_model > 1 else torch.zeros(1)
    layer.log_dt.copy_(np.log(low) + spread * (np.log(high) - np.log(low)))


def ridge(
    products: np.ndarray, wishes: np.ndarray, targets: np.ndarray, squares: np.ndarray, count: int
) -> tuple[np.ndarray, float, float]:
    """Ridge regression from sums of products.

    Parameters
    ----------
    products : Z^T Z, (column, column).   wishes : the same of rows whose target is zero, and that are not data.
    targets : Z^T Y, (column, output).   squares : sums of Y^2, (output,).   count : rows of Z.

    Returns
    -------
    Weights (column, output), the penalty of least generalised cross-validation (relative to the largest eigenvalue, columns
    scaled to one), and the relative root mean square of what is left.
    """
    scale = np.sqrt(np.diag(products))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh((products + wishes) / np.outer(scale, scale))
    values = np.maximum(values, 0.0)
    along = vectors.T @ (targets / scale[:, None])  # (direction, output)
    size = np.where(squares > 0, squares, 1.0)
    best = (np.inf, 0.0, 0.0, along)
    for penalty in PENALTIES:
        damped = values + penalty * values[-1]
        fitted = along / damped[:, None]
        left = (squares - (2 * along * fitted - values[:, None] * fitted**2).sum(0)) / size
        left = float(np.maximum(left, 1e-16).mean())  # where the difference is rounding, more fit is not seen
        free = 1 - (values / damped).sum() / count
        score = left / free**2 if free > 0 else np.inf
        if score < best[0]:
            best = (score, penalty, left, fitted)
    _, penalty, left, fitted = best
    return (vectors @ fitted) / scale[:, None], penalty, np.sqrt(left)
