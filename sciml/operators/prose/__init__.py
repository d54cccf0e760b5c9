"""PROSE: a short noisy trajectory, and what one believes its equations to be, to the rest of it and the right equations.

    u(t_0 ... t_63), guess  ->  u(t_64 ... t_191)          operator decoder, at any times
                            ->  u' = f(u) with numbers     symbol decoder, then refined against the trajectory

Of a field on a line (`pdes.field_windows`) frames take the place of states, and derivatives that of components in the words
(`pdes.field_words`).

Liu, Zhang, Schaeffer, PROSE: Predicting Multiple Operators and Symbolic Expressions using Multimodal Transformers, Neural
Networks 180, 2024 (arXiv 2309.16816); fields: Sun, Liu, Zhang, Schaeffer, PROSE-PDE, Physical Review E 111, 2025. Other than
there: pre-norm, targets without noise, guesses may be absent, answers obey the grammar, equations have one canonical form, and
numbers and initial states are fitted before systems are solved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sympy
import torch
from torch import nn

from pdes.canonical import canonical, system_of
from pdes.corruptions import MODES, ids
from pdes.equation import Equation
from pdes.field_words import field_sides
from pdes.vocabulary import BOS, EOS, HOLE, ID, PAD, padded
from sciml.learners.backprop import TorchOperator
from sciml.normalize import Normaliser
from sciml.operator import Learner, Training, load
from sciml.operators.prose.answers import Answer, Search, candidates_of, settled, settled_fields
from sciml.operators.prose.decoding import beams, greedy
from sciml.operators.prose.learner import DATA_WEIGHT, SymbolicBackprop, in_columns
from sciml.operators.prose.network import Memory, Network
from sciml.tasks import Signature, Task
from solvers.errors import DataError, GridError, SettingError, unknown_name

CHECKS = {"dataset": "prose_rossler", "task": "continuation", "epochs": 150}
_LARGE = {"width": 512, "hidden": 2048, "heads": 8, "encoder": 2, "symbol_encoder": 4, "fusion": 8, "decoder": 8,
          "symbol_decoder": 8}  # fmt: skip
PRESETS = {
    "tiny": {"width": 32, "hidden": 64, "heads": 2, "fusion": 1, "decoder": 1, "symbol_decoder": 1},
    "small": {},
    "base": {"width": 256, "hidden": 1024, "heads": 8, "encoder": 2, "symbol_encoder": 2, "fusion": 4, "decoder": 4,
             "symbol_decoder": 4, "queries": 128},
    "paper": _LARGE | {"queries": 128},
}  # fmt: skip
"""Parameters: tiny 0.1 M, small 0.5 M (minutes on a CPU), base 14 M (for a GPU), paper 0.1 G, the published sizes."""


STORED = Path(__file__).parents[2] / "checkpoints" / "prose_small.safetensors"
"""Size small, trained on the twelve three-dimensional families with the settings of `python -m benchmarks.prose_table --recipe
twelve --checkpoint`, in two runs that were joined: that command makes another one like it, not this very file."""


def stored() -> "PROSE":
    """The trained operator that comes with the package: windows of 64 frames on [0, 2], states of one to three components."""
    operator = load(STORED)
    assert isinstance(operator, PROSE)
    return operator


@dataclass(frozen=True)
class Config:
    """Settings of PROSE.

    width, hidden, heads : of every layer.   encoder, symbol_encoder, fusion, decoder, symbol_decoder : numbers of layers.
    components : largest dimension D of a state.   symbols, length : longest guess and longest answer, in words.
    noise : of the given frames in training, relative to the trajectory.   queries : times asked for in a step.
    modes, shares : what the model is told about a system in training (`pdes.corruptions.MODES`), and how often.
    sources : without "data" or "symbols", the network sees nothing there (for ablations with the same parameters).
    data_weight : of the trajectory's loss beside the words' loss.
    """

    width: int = 64
    hidden: int = 256
    heads: int = 4
    encoder: int = 1
    symbol_encoder: int = 1
    fusion: int = 2
    decoder: int = 2
    symbol_decoder: int = 2
    components: int = 5
    symbols: int = 112
    length: int = 136
    noise: float = 0.02
    queries: int = 32
    modes: tuple[str, ...] = ("unknown", "blank", "known")
    shares: tuple[float, ...] = (0.55, 0.35, 0.1)
    sources: tuple[str, ...] = ("data", "symbols")
    data_weight: float = DATA_WEIGHT

    def __post_init__(self):
        sizes = (self.width, self.hidden, self.heads, self.components, self.symbols, self.length, self.queries)
        if min(sizes) < 1 or self.width % self.heads or self.noise < 0 or self.data_weight < 0:
            raise SettingError(
                given=f"width={self.width}, heads={self.heads}, noise={self.noise}, sizes {sizes}",
                needed="sizes >= 1, width a multiple of heads, noise and data_weight >= 0",
                remedy="Change them.",
            )
        for mode in self.modes:
            if mode not in MODES:
                raise unknown_name("mode", mode, MODES)
        if len(self.modes) != len(self.shares) or min(self.shares, default=0) < 0 or not sum(self.shares) > 0:
            raise SettingError(given=f"modes {self.modes} with shares {self.shares}", needed="one share >= 0 for each",
                               remedy="Change `shares`.")  # fmt: skip
        if not self.sources or not set(self.sources) <= {"data", "symbols"}:
            raise SettingError(given=f"sources={self.sources}", needed="of 'data' and 'symbols'", remedy="Change it.")


class PROSE(TorchOperator):
    """PROSE; see `Config`. `predict` forecasts, `equations` finds systems and says how sure it is, `propose` lists systems."""

    takes = ("continuation",)
    answers_at = ("times",)
    module: Any

    def __init__(self, **config):
        super().__init__(Config(**config))

    # -- the contract --------------------------------------------------------------------------------------------------

    def build(self, signature: Signature) -> nn.Module:
        span = signature.times[-1] - signature.times[0]
        if signature.grid.dimension == 2:
            return Network(self.config, span, points=signature.grid.shape[1])
        if len(signature.inputs) > self.config.components:
            raise DataError(
                given=f"states of {len(signature.inputs)} components for PROSE with components={self.config.components}",
                needed=f"at most {self.config.components}",
                remedy="Make it with more `components` (up to 8).",
            )
        return Network(self.config, span)

    def bind(self, task: Task, *, seed: int = 0) -> None:
        task.dataset.check_finite()
        super().bind(task, seed=seed)
        count = len(task.signature.inputs)  # the network scales every window by itself
        self.input_normaliser = self.output_normaliser = Normaliser(np.zeros(count), np.ones(count))

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return SymbolicBackprop(self, training)

    def recommended(self, task) -> dict[str, Any]:
        wide = self.config.width > 128
        return {"lr": 6e-4 if wide else 2e-3, "batch_size": 64, "epochs": 20, "weight_decay": 1e-4, "warmup": 0.1}

    @torch.no_grad()
    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, inputs: Any, *, batch_size: int | None = None, guesses: Any = None, times: Any = None
    ) -> Any:
        """The rest of trajectories, by the operator decoder.

        inputs : (item, component, time), the frames given; trailing components that are zero throughout do not exist.
            Of a field (item, 1, time, point).
        guesses : what is known of the systems: None for nothing, or as for `equations`.
        times : of all frames, given and asked for; by default those of training.

        Returns
        -------
        (item, component, time), the frames asked for; of a field (item, 1, time, point).
        """
        given, asked = self._checked(inputs, times)
        device = next(self.module.parameters()).device
        states = in_columns(np.asarray(inputs.detach().cpu() if isinstance(inputs, torch.Tensor) else inputs))
        _finite(states)
        symbols = self._symbols(guesses, len(states))
        was_training = self.module.training
        self.module.eval()
        found = []
        for start in range(0, len(states), batch_size or 64):
            part = slice(start, start + (batch_size or 64))
            counts = self.module.dialect.present(states[part])
            memory = self.encoded(states[part], given, counts, symbols[part], device=device)
            answer = self.module.states_at(memory, torch.as_tensor(asked, dtype=torch.float32).to(device))
            found.append(answer[:, :, : states.shape[2]])
        self.module.train(was_training)
        joined = torch.cat(found) if found else torch.empty((0, len(asked), states.shape[2]))
        joined = joined[:, None] if inputs.ndim == 4 else joined.transpose(1, 2)
        return joined.to(inputs.device) if isinstance(inputs, torch.Tensor) else joined.cpu().numpy()

    # -- equations -----------------------------------------------------------------------------------------------------

    def equations(
        self, inputs: np.ndarray, *, guesses: Any = None, times: Any = None, search: Search | None = None
    ) -> list[Answer]:
        """Systems, forecasts and bands of noisy trajectories, by decoding, refinement and comparison of simulations.

        inputs, times : as for `predict`.
        guesses : None for nothing; or one per item: None, right-hand sides in u_0, u_1, ... (sympy; other symbols stand for
            unknown numbers), or a row of ids. Of a field also an equation, or its text, in the unit of time of training.
        search : options.

        Returns
        -------
        One `Answer` per item. Of fields, forecasts are (time, point), without bands; on lines that are not periodic nothing is
        fitted or solved. `Answer.equation` is the system as an equation.
        """
        search = search or Search()
        inputs = np.asarray(inputs)
        given, asked = self._checked(inputs, times)
        head = in_columns(np.asarray(self.predict(inputs, guesses=guesses, times=times)))
        states = in_columns(inputs).astype(np.float64)
        decoded = self._decoded(states, given, guesses, search)
        if self.module.points:
            line = self.bound_signature.grid.axes[1]
            return settled_fields(given, asked, states, head, decoded, search, line)
        counts = self.module.dialect.present(states)
        rows = range(len(states))
        return settled(
            given, asked, [states[i][:, : counts[i]] for i in rows], [head[i][:, : counts[i]] for i in rows], decoded, search
        )

    def propose(self, t: np.ndarray, x: np.ndarray, n: int = 8) -> list[list[Any]]:
        """Up to n systems u' = f(u), most likely first, for one trajectory: times (time,), states (time, component).

        Each is a list of right-hand sides in u_0, u_1, ... with numbers, as decoded, in the unit of t; none is refined. A
        window longer or shorter than those of training is read on their clock, and the numbers are brought back to that of t.
        """
        signature = self.bound_signature
        t, states = np.asarray(t, float), np.asarray(x, float)
        if self.module.points:
            raise SettingError(
                given="PROSE trained on fields", needed="one trained on states of ordinary equations",
                remedy="Call `equations` with windows of a field.",
            )  # fmt: skip
        if t.ndim != 1 or states.ndim != 2 or len(t) != len(states) or len(t) < 2 or not np.isfinite(states).all():
            raise DataError(
                given=f"times of shape {t.shape} and states of shape {states.shape}",
                needed="(time,) and (time, component), finite, at least two",
                remedy="Transpose them, or drop what is missing.",
            )
        given = signature.grid.shape[0]
        if len(t) > 2 * given:  # many more frames than the network has seen: as many, evenly
            kept = np.unique(np.linspace(0, len(t) - 1, given).round().astype(int))
            t, states = t[kept], states[kept]
        rate = (signature.times[given - 1] - signature.times[0]) / (t[-1] - t[0])
        decoded = self._decoded(states[None], (t - t[0]) * rate, None, Search(beams=n))[0]
        same = abs(rate - 1) < 1e-6
        return [[f if same else sympy.expand(f * rate) for f in system_of(c.words)] for c in decoded[:n]]

    @torch.no_grad()
    def _decoded(self, states: np.ndarray, given: np.ndarray, guesses: Any, search: Search) -> list[list]:
        """Candidates of each item, best first."""
        self.bound_signature  # noqa: B018 - a clear error when unbound
        device = next(self.module.parameters()).device
        was_training, found = self.module.training, []
        dialect = self.module.dialect
        symbols, counts = self._symbols(guesses, len(states)), dialect.present(states)
        self.module.eval()
        for start in range(0, len(states), 64):
            part = slice(start, start + 64)
            memory = self.encoded(states[part], given, counts[part], symbols[part], device=device)
            answer = greedy(self.module, memory) if search.beams == 1 else beams(self.module, memory, search.beams)
            for rows, scores, count in zip(answer.ids.cpu().numpy(), answer.scores.cpu().numpy(), counts[part], strict=True):
                found.append(candidates_of(rows, scores, partial(dialect.words, columns=int(count))))
        self.module.train(was_training)
        return found

    # -- helpers -------------------------------------------------------------------------------------------------------

    def encoded(
        self, states: np.ndarray, times: Any, components: np.ndarray, symbols: np.ndarray, dtype=torch.float32, device=None
    ) -> Memory:
        """The network's memory of windows (item, time, component) with D components each, and guesses as ids."""
        width = self.module.columns
        if states.shape[2] > width:
            raise DataError(given=f"{states.shape[2]} components", needed=f"at most {width}", remedy="Drop some.")
        filled = np.pad(states, ((0, 0), (0, 0), (0, width - states.shape[2])))
        tensor = lambda x: torch.as_tensor(np.ascontiguousarray(x)).to(device)  # noqa: E731
        valid = np.arange(width) < components[:, None]
        t = np.asarray(times, float)
        return self.module.encode(
            tensor(filled).to(dtype), tensor(t - t.min()).to(dtype), tensor(valid), tensor(symbols)
        )  # fmt: skip

    def _checked(self, inputs: Any, times: Any) -> tuple[np.ndarray, np.ndarray]:
        """Times given and asked for, of inputs that fit."""
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        if self.module.points and inputs.shape[3] != self.module.points:
            raise GridError(
                given=f"frames of {inputs.shape[3]} points", needed=f"{self.module.points}, as in training",
                remedy="Resample them, or train on that grid.",
            )  # fmt: skip
        return self._times(inputs.shape[2], times)

    def _times(self, frames: int, times: Any) -> tuple[np.ndarray, np.ndarray]:
        times = np.asarray(self.bound_signature.times if times is None else times, float)
        if not 0 < frames < len(times):
            raise DataError(
                given=f"{frames} frames and {len(times)} times", needed="times of the frames given and of those asked for",
                remedy="Pass `times` with more entries than frames.",
            )  # fmt: skip
        times = times - times[0]
        return times[:frames], times[frames:]

    def _symbols(self, guesses: Any, count: int) -> np.ndarray:
        if guesses is None:
            return np.full((count, 1), ID[BOS])
        if len(guesses) != count:
            raise DataError(given=f"{len(guesses)} guesses for {count} items", needed="one for each", remedy="Pass None in it.")
        return padded([[ID[BOS], *self._row(guess)] for guess in guesses])

    def _row(self, guess: Any) -> list[int]:
        if guess is None:
            return []
        if self.module.points and isinstance(guess, str | Equation):
            guess = field_sides(Equation(guess, dimension=1))
        if isinstance(guess, str):
            raise DataError(
                given=f"the guess {guess!r}",
                needed="a list of right-hand sides in u_0, u_1, ..., one for each component, or None",
                remedy="Wrap it: guesses=[[...], None, ...], one for each item.",
            )
        if isinstance(guess, Sequence) and guess and not isinstance(guess[0], int | np.integer):
            guess = ids(_with_holes(canonical(guess)))
        row = [int(i) for i in guess if int(i) not in (ID[BOS], ID[EOS], ID[PAD])]
        if len(row) >= self.config.symbols:
            raise DataError(given=f"a guess of {len(row)} words", needed=f"fewer than {self.config.symbols}",
                            remedy="Shorten it, or raise `symbols`.")  # fmt: skip
        return row


def _finite(states: np.ndarray) -> None:
    if not np.isfinite(states).all():
        bad = np.flatnonzero(~np.isfinite(states).all((1, 2)))
        raise DataError(
            given=f"NaN or infinity in windows {bad[:8].tolist()}",
            needed="finite frames",
            remedy="Drop these windows, or fill them.",
        )


def _with_holes(system):
    """Numbers that are symbols become placeholders."""
    plain = lambda words: tuple(w if isinstance(w, str | float | int) else HOLE for w in words)  # noqa: E731
    return tuple(
        replace(
            c,
            terms=tuple(replace(t, coefficient=plain((t.coefficient,))[0], body=plain(t.body)) for t in c.terms),
            denominator=plain(c.denominator),
        )
        for c in system
    )
