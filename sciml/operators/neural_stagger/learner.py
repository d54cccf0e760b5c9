"""Training on the equation alone: residuals of one's own roll-outs from a pool of one's own states. Labels are an option.

    L = mean over frames n of || P R(v_n, v_{n-1}) ||^2 / || P F(u_0) ||^2

Every window starts from a given frame, and its first residual is taken against that: there are as many residuals as predicted
frames, without which any common shift of them would be as good. gradient="causal": a frame is trained against the frame
before it, as in time marching, and no gradient passes through that; "full" passes it on (space-time least squares, which
teaches a sub-solver that cannot do better to damp); "energy" is full, each term relative to the rate of change of the frame
before it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sciml.learners.backprop import Backprop, to_numpy
from sciml.operator import Arrays, Position, Scalars, Training
from sciml.randomness import Purpose, generator
from sciml.tasks import Batch

if TYPE_CHECKING:
    from sciml.operators.neural_stagger import NeuralStagger

ENERGY = (0.1, 3.0)  # states whose energy leaves this range, relative to their first, are replaced


class StaggerLearner(Backprop):
    """AdamW on physics, data, or both; see `sciml.operators.neural_stagger.Config`."""

    operator: "NeuralStagger"

    def __init__(self, operator: "NeuralStagger", training: Training):
        super().__init__(operator, training)
        self.shardable = operator.learns == "data"  # a pool belongs to one process
        self.pool = Pool(operator.config.pool if operator.learns != "data" else 0, operator.horizon)
        self.task = operator.task

    def objective(self, batch: Batch, at: Position) -> torch.Tensor:
        o = self.operator
        inputs = torch.as_tensor(batch.inputs).to(self.device, self.dtype)
        total = inputs.new_zeros(())
        if o.learns in ("physics", "mixed"):
            rng = generator(self.training.seed, Purpose.STEP, at.total, 1)
            start, rows = self.pool.mixed(inputs, rng)
            frames = self._frames(at)
            windows, loss = o.window_loss(start, frames, self.network)
            self.pool.put(windows.detach(), rows, frames)
            total = total + loss
        if o.learns in ("data", "mixed"):
            weight = o.config.data_weight if o.learns == "mixed" else 1.0
            total = total + weight * self._on_labels(batch, inputs)
        return total

    def _frames(self, at: Position) -> int:
        """Frames of a window: from one up to `rollout` in the first half of the training, and one for each frame offset."""
        c = self.operator.config
        share = min(1.0, 2 * at.total / max(1, self.total_steps))
        return max(c.time, 1 + round((c.rollout - 1) * share))

    def _on_labels(self, batch: Batch, inputs: torch.Tensor) -> torch.Tensor:
        """Mean loss over the frames up to `time` ahead that the data hold."""
        o, losses = self.operator, []
        for ahead, (rows, targets) in enumerate(self._labels(batch, o.config.time), start=1):
            if len(rows):
                prediction = o.advance(inputs[rows], ahead, self.network)
                targets = torch.as_tensor(targets).to(self.device, self.dtype)
                grid = o.bound_signature.output_grid
                losses.append(self.loss_each(prediction, targets, grid).sum() / len(inputs))
        return torch.stack(losses).mean()

    def _labels(self, batch: Batch, ahead: int):
        """(rows of the batch, targets so many frames ahead)."""
        yield np.arange(len(batch.items)), batch.targets
        for more in range(1, ahead):
            stride = self.operator.bound_signature.stride
            later = batch.items + more * stride
            inside = later < len(self.task)
            rows = np.flatnonzero(inside)
            rows = rows[self.task.sample_of(later[rows]) == self.task.sample_of(batch.items[rows])]
            yield rows, self.task.batch(later[rows]).targets if len(rows) else None

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        return {**super().end_epoch(at), **self.pool.report()}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays, scalars = super().state()
        return arrays | self.pool.arrays(), scalars

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        self.pool.load({n: a for n, a in arrays.items() if n.startswith("pool.")}, self.device, self.dtype)
        super().load_state({n: a for n, a in arrays.items() if not n.startswith("pool.")}, scalars)


class Pool:
    """States that the network itself has made, with their inputs and parameters: (state, channel, *space).

    size : states kept, 0 for none.   horizon : steps after which a state is replaced by a fresh one.
    """

    def __init__(self, size: int, horizon: int):
        self.size, self.horizon = size, horizon
        self.states: torch.Tensor | None = None
        self.age, self.energy = np.zeros(0, np.int64), np.zeros(0)
        self.replaced = 0

    def mixed(self, fresh: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, np.ndarray]:
        """A batch, half of it from the pool once it is large enough, and the rows of the pool that stand at its end."""
        half = len(fresh) // 2
        if self.states is None or len(self.states) < self.size or half == 0:
            return fresh, np.zeros(0, np.int64)
        rows = rng.choice(len(self.states), size=min(half, len(self.states)), replace=False)
        return torch.cat([fresh[: len(fresh) - len(rows)], self.states[rows]]), rows

    def put(self, windows: torch.Tensor, rows: np.ndarray, frames: int) -> None:
        """Take what the batch has become: rows of the pool go on, others join it or stand in for those that ended."""
        if self.size == 0:
            return
        energy = windows.reshape(len(windows), -1).double().square().mean(1).cpu().numpy()
        fresh = len(windows) - len(rows)
        if self.states is None or len(self.states) < self.size:
            good = np.flatnonzero(np.isfinite(energy))[: self.size - (0 if self.states is None else len(self.states))]
            self.states = windows[good] if self.states is None else torch.cat([self.states, windows[good]])
            self.age = np.concatenate([self.age, np.full(len(good), frames)])
            self.energy = np.concatenate([self.energy, energy[good]])
            return
        spare = [i for i in range(fresh) if np.isfinite(energy[i])]
        for i, row in enumerate(rows, start=fresh):
            share = energy[i] / max(self.energy[row], 1e-30)
            alive = np.isfinite(share) and ENERGY[0] <= share <= ENERGY[1] and self.age[row] + frames <= self.horizon
            if alive:
                self.states[row], self.age[row] = windows[i], self.age[row] + frames
            elif spare:
                new = spare.pop(0)
                self.replaced += int(self.age[row] + frames <= self.horizon)
                self.states[row], self.age[row], self.energy[row] = windows[new], frames, energy[new]

    def report(self) -> dict[str, float]:
        """States lost to energy or not-finite values, and their mean age."""
        return {"pool_lost": float(self.replaced), "pool_age": float(self.age.mean())} if len(self.age) else {}

    def arrays(self) -> Arrays:
        """For a checkpoint."""
        if self.states is None:
            return {}
        lost = np.array([self.replaced])
        return {"pool.states": to_numpy(self.states), "pool.age": self.age, "pool.energy": self.energy, "pool.lost": lost}

    def load(self, arrays: Arrays, device, dtype) -> None:
        """Inverse of `arrays`."""
        if arrays:
            self.states = torch.from_numpy(arrays["pool.states"].copy()).to(device, dtype)
            self.age, self.energy = arrays["pool.age"].copy(), arrays["pool.energy"].copy()
            self.replaced = int(arrays["pool.lost"][0])
