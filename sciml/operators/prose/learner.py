"""How PROSE learns: the squared relative error of the rest of the trajectory, and the words of its system, together.

    loss = 6 mean_b sum |D(tau) - u(tau)|^2 / (sum |u(tau)|^2 + 1e-5)  +  mean_b mean_j -log p(word_j | words before)

Noise, what the model is told about the system (`pdes.corruptions`), and the query times are drawn anew at every step, from the
seed and the step. Targets are without noise (the reference's have it). The mean over words is taken per system, so that long
ones do not weigh more; the end counts, padding does not.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pdes.canonical import System, components_of
from pdes.corruptions import ids
from pdes.vocabulary import BOS, ID, PAD, padded
from pdes.windows import with_noise
from sciml.learners.backprop import Backprop
from sciml.operator import Position, Training
from sciml.operators.prose.dialects import Dialect, States
from sciml.randomness import Purpose, generator
from solvers.errors import DataError

DATA_WEIGHT, TINY = 6.0, 1e-5


class SymbolicBackprop(Backprop):
    """AdamW on both losses; see the module."""

    def __init__(self, operator: Any, training: Training):
        super().__init__(operator, training)
        self.config = operator.config
        self.prose_operator: Any = operator
        self.prose: Any = operator.module

    def objective(self, batch: Any, at: Position) -> torch.Tensor:
        """Loss of words and trajectories of a batch, with noise, guesses and query times drawn anew."""
        config, rng = self.config, generator(self.training.seed, Purpose.STEP, at.total)
        inputs, targets = in_columns(batch.inputs), in_columns(batch.targets)
        states = np.concatenate([inputs, targets], axis=1).astype(np.float64)
        components = self.prose.dialect.present(states)
        given = inputs.shape[1]
        noisy = with_noise(states, components, config.noise, rng)[:, :given] if config.noise else states[:, :given]
        asked = np.sort(rng.choice(np.arange(given, states.shape[1]), min(config.queries, states.shape[1] - given), False))
        equations = np.asarray(getattr(batch, "equations", np.zeros((len(states), 0))))
        guesses = told(equations, components, config, rng, self.prose.dialect)
        times = self.operator.bound_signature.times
        memory = self.prose_operator.encoded(noisy, times[:given], components, guesses, dtype=self.dtype, device=self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.training.precision == "bf16"):
            answer = self.prose.states_at(memory, self._tensor(np.asarray(times)[asked]))
            width = answer.shape[2]
            targets = self._tensor(np.pad(states[:, asked], ((0, 0), (0, 0), (0, width - states.shape[2]))))
            loss = config.data_weight * data_loss(answer, targets).mean()
            if equations.shape[1]:
                words = torch.as_tensor(equations).to(self.device)
                loss = loss + word_loss(self.prose.logits(memory, words[:, :-1]), words[:, 1:]).mean()
        return loss.to(self.dtype)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values).to(self.device, self.dtype)


def data_loss(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared relative error of each item, (item, query, component) both; padding is zero in both."""
    return (answer - target).square().sum((1, 2)) / (target.square().sum((1, 2)) + TINY)


def word_loss(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each item's words, (item, word, vocabulary) and (item, word); padding does not count."""
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), words.flatten(), reduction="none")
    keep = (words != ID[PAD]).float()
    return (each.unflatten(0, words.shape) * keep).sum(1) / keep.sum(1)


def in_columns(values: np.ndarray) -> np.ndarray:
    """(item, time, column) of (item, component, time) or of a field (item, 1, time, point)."""
    return values[:, 0] if values.ndim == 4 else values.transpose(0, 2, 1)


def told(equations: np.ndarray, components: np.ndarray, config: Any, rng: np.random.Generator, dialect: Dialect) -> np.ndarray:
    """What the model is told about each system in training, ids (item, word) with `BOS` first."""
    names = list(config.modes)
    shares = np.asarray(config.shares) / sum(config.shares)
    rows = []
    for row, count in zip(equations, components, strict=True):
        mode = names[rng.choice(len(names), p=shares)]
        guess = dialect.corrupted(known(row.tobytes(), int(count), dialect), mode, rng) if len(row) else None
        rows.append([ID[BOS], *ids(guess)])
    if not rows:
        return np.full((len(components), 1), ID[BOS])
    longest = max(map(len, rows))
    if longest > config.symbols:
        raise DataError(
            given=f"a guess of {longest} words", needed=f"at most {config.symbols}", remedy="Raise `symbols` of the operator."
        )
    return padded(rows)


def known(row: bytes, components: int, dialect: Dialect | None = None) -> System:
    """The system of a row of ids (int64), which must be a label; by default of states."""
    return _known(row, components, type(dialect or States()))


@lru_cache(maxsize=100_000)
def _known(row: bytes, components: int, dialect: type) -> System:
    return components_of(dialect().words(np.frombuffer(row, np.int64).tolist(), components))
