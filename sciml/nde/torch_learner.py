"""Neural differential equations on torch: weights, predictions, and the usual back-propagation with penalties in its loss."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import Backprop, to_numpy
from sciml.nde.operator import Answer, NeuralDE
from sciml.nde.quantities import penalty
from sciml.nde.statistics import Statistics
from sciml.nde.training import Coefficients
from sciml.operator import Arrays, Position, Scalars, Training
from sciml.randomness import Purpose, derived_seed, generator
from sciml.tasks import Batch

PREDICTED_PATH = 0  # names the Brownian paths of all predictions


class Weights(nn.Module):
    """Named arrays as a torch module."""

    def __init__(self, arrays: Arrays):
        super().__init__()
        for name, array in arrays.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(np.array(array))))


def adopted(arrays: Arrays) -> Weights:
    """Weights for this backend."""
    return Weights(arrays)


def by_name(module: Weights) -> Arrays:
    """Copies of them as NumPy arrays."""
    return {name: to_numpy(tensor) for name, tensor in module.named_parameters()}


def loaded(module: Weights, arrays: Arrays) -> Weights:
    """The same module with other values, in their precision."""
    for name, tensor in module.named_parameters():
        tensor.data = torch.from_numpy(np.array(arrays[name])).to(tensor.device)
    return module


def applied(operator: NeuralDE, inputs: torch.Tensor, setting, training: bool, share: float, noise, random) -> Answer:
    """The operator's model on a batch of physical inputs."""

    def solve(f, y0, times, diffusion=None, args=None):
        if diffusion is not None:
            key = int(torch.randint(2**62, (1,), generator=random)) if random is not None else PREDICTED_PATH
            return importlib.import_module("sciml.nde.on_torchsde").of_items(
                setting, f, diffusion, y0, times, key, training, args
            )
        return setting(f, y0, times, training=training, random=random)

    scales = scales_for(operator, inputs)
    encoded = operator.input_normaliser.encode(inputs)
    return operator.model(dict(operator.module.named_parameters()), encoded, scales, torch, solve, share, noise)


def scales_for(operator: NeuralDE, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Numbers of the normalisers, where and as precise as the tensor."""
    return {name: torch.as_tensor(a).to(tensor) for name, a in operator.scales().items()}


@torch.no_grad()
def answer(operator: NeuralDE, inputs: np.ndarray, setting) -> tuple[np.ndarray, Statistics]:
    """Predictions of one batch and statistics of its solve."""
    like = next(operator.module.parameters())
    batch = torch.as_tensor(inputs).to(like.device, like.dtype)
    outputs, statistics, _ = applied(operator, batch, setting, False, 1.0, None, None)
    return outputs.cpu().numpy(), statistics


class NeuralDELearner(Backprop):
    """AdamW on task loss + weighted penalties; see `sciml.nde.operator.Solving`."""

    shardable = False  # a coupled solve of half a batch has other steps, so every process steps on the whole

    def __init__(self, operator: NeuralDE, training: Training):
        super().__init__(operator, training)  # pyright: ignore[reportArgumentType] - of an operator it uses the module
        self.nde, self.coefficients, self.setting = operator, Coefficients(operator.config), operator.config.solve
        self.seen: dict[str, Any] = {}

    def objective(self, batch: Batch, at: Position) -> torch.Tensor:
        """The task's loss and the regularisers, weighted."""
        inputs, targets = (torch.as_tensor(a).to(self.device, self.dtype) for a in (batch.inputs, batch.targets))
        seed, share = self.training.seed, at.total / max(1, self.total_steps)
        noise = generator(seed, Purpose.STEP, at.total).standard_normal(self.nde.noise_shape(len(inputs)))
        random = torch.Generator().manual_seed(derived_seed(seed, Purpose.STEP, at.total, 1))
        outputs, statistics, further = applied(
            self.nde, inputs, self.setting, True, share, torch.as_tensor(noise).to(inputs), random
        )
        loss = self.nde.task_loss(outputs, targets, inputs, scales_for(self.nde, inputs), self.loss_each, torch)
        values = {name: torch.as_tensor(value).mean() for name, value in statistics.regularisers.items()}
        weights = self.coefficients.at(share)
        evaluations = float(torch.as_tensor(statistics.evaluations, dtype=torch.float64).mean())
        self.coefficients.after(evaluations)
        self.seen = {"evaluations": evaluations, "task_loss": loss.detach()} | {n: v.detach() for n, v in values.items()}
        self.seen |= {"weight": self.coefficients.multiplier} if self.coefficients.target else {}
        return loss + further + penalty(values, weights)

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        return {**super().step(batch, at), **self.seen}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays, scalars = super().state()
        return arrays, {**scalars, "multiplier": self.coefficients.multiplier}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        super().load_state(arrays, scalars)
        self.coefficients.multiplier = float(scalars["multiplier"])
