"""The network of PROSE: data encoder, symbol encoder, fusion, operator decoder, symbol decoder.

    (t_i, u(t_i) / s, log s) -> data tokens          words of a guess -> symbol tokens          s = rms of the window
    both -> fusion -> memory          u(tau) = s D(tau, data part of the memory)          p(word | words so far, memory)

Of a field on a line, the points are what components are otherwise: a token is a frame, with all its values (PROSE-PDE).

Queries never look at each other: an answer does not depend on what else is asked. The symbol decoder looks at the whole
memory: with no guess, there is nothing in its symbol part. Embeddings of mantissas have a part that is smooth in the number.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pdes.vocabulary import EXPONENTS, ID, MANTISSAS, WORDS
from sciml.operators.prose.blocks import Layer, LayerCache
from sciml.operators.prose.dialects import Dialect, Field, States

_WAVES = 7  # frequencies of the features of time and of mantissas
_TINY = 1e-12
PADDING = ID["<PAD>"]


@dataclass
class Memory:
    """What the decoders look at.

    fused : (item, token, width), data tokens first.   keep : (item, token), False where there is padding.
    frames : number of data tokens.   scale : rms of the window, (item,).   valid : (item, component), which components exist.
    """

    fused: torch.Tensor
    keep: torch.Tensor
    frames: int
    scale: torch.Tensor
    valid: torch.Tensor

    def repeated(self, times: int) -> "Memory":
        """Every item that many times in a row."""
        again = lambda x: x.repeat_interleave(times, dim=0)  # noqa: E731
        return Memory(again(self.fused), again(self.keep), self.frames, again(self.scale), again(self.valid))


class Network(nn.Module):
    """See the module. `config` is `sciml.operators.prose.Config`; `span` the time that counts as 1; `points` those of the grid
    of a field, 0 for states."""

    clock: torch.Tensor
    numbers: torch.Tensor

    def __init__(self, config: Any, span: float, points: int = 0):
        super().__init__()
        c = self.config = config
        self.dialect: Dialect = Field() if points else States()
        self.points, self.columns = points, points or c.components
        parts = (c.width, c.hidden, c.heads)
        self.register_buffer("clock", torch.tensor(1.0 / span))
        inputs = self.columns * (1 if points else 2) + 1 + (1 + 2 * _WAVES)
        self.embed_data = nn.Sequential(nn.Linear(inputs, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.embed_query = nn.Sequential(nn.Linear(1 + 2 * _WAVES, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.words = nn.Parameter(torch.randn(len(WORDS), c.width) * c.width**-0.5)
        self.register_buffer("numbers", number_features(), persistent=False)
        self.number_weights = nn.Parameter(torch.randn(self.numbers.shape[1], c.width) * (c.width * 8) ** -0.5)
        self.positions = nn.Parameter(torch.randn(2, max(c.symbols, c.length) + 1, c.width) * c.width**-0.5)
        self.kinds = nn.Parameter(torch.randn(2, c.width) * c.width**-0.5)
        self.data_encoder = nn.ModuleList(Layer(*parts) for _ in range(c.encoder))
        self.symbol_encoder = nn.ModuleList(Layer(*parts) for _ in range(c.symbol_encoder))
        self.fusion = nn.ModuleList(Layer(*parts) for _ in range(c.fusion))
        self.fused_norm = nn.RMSNorm(c.width)
        self.decoder = nn.ModuleList(Layer(*parts, own=False, cross=True) for _ in range(c.decoder))
        self.decoder_norm, self.readout = nn.RMSNorm(c.width), nn.Linear(c.width, self.columns)
        self.symbol_decoder = nn.ModuleList(Layer(*parts, cross=True) for _ in range(c.symbol_decoder))
        self.symbol_norm, self.bias = nn.RMSNorm(c.width), nn.Parameter(torch.zeros(len(WORDS)))
        with torch.no_grad():
            self.words[PADDING] = 0

    # -- encoders ------------------------------------------------------------------------------------------------------

    def table(self) -> torch.Tensor:
        """Embeddings of all words, (word, width)."""
        return self.words + self.numbers @ self.number_weights

    def encode(self, states: torch.Tensor, times: torch.Tensor, valid: torch.Tensor, symbols: torch.Tensor) -> Memory:
        """Memory of windows and guesses.

        states : (item, time, component), padded with zeros.   times : (time,) or (item, time).
        valid : (item, component), True for the components that exist.   symbols : ids (item, word), `BOS` first, padded.
        """
        scale = (states.square().sum((1, 2)) / (valid.sum(1) * states.shape[1])).sqrt().clamp_min(_TINY)
        u, size = states / scale[:, None, None], scale.log()
        if "data" not in self.config.sources:
            u, size, scale = torch.zeros_like(u), torch.zeros_like(size), torch.ones_like(scale)
        if "symbols" not in self.config.sources:
            symbols = symbols[:, :1]
        shape = (*u.shape[:2], 1)
        waves = self._waves(times).expand(*u.shape[:2], -1)
        flags = valid[:, None].to(u).expand(u.shape)
        seen = [u] if self.points else [u * flags, flags]
        x = self.embed_data(torch.cat([*seen, size[:, None, None].expand(shape), waves], dim=-1))
        for layer in self.data_encoder:
            x = layer(x)
        keep = symbols != PADDING
        y = self.table()[symbols] + self.positions[0, : symbols.shape[1]]
        for layer in self.symbol_encoder:
            y = layer(y, keep)
        fused = torch.cat([x + self.kinds[0], y + self.kinds[1]], dim=1)
        keep = torch.cat([keep.new_ones(u.shape[:2]), keep], dim=1)
        for layer in self.fusion:
            fused = layer(fused, keep)
        return Memory(self.fused_norm(fused), keep, u.shape[1], scale, valid)

    def _waves(self, times: torch.Tensor) -> torch.Tensor:
        t = (times * self.clock)[..., None]
        angles = t * (torch.pi * 2.0 ** torch.arange(_WAVES, device=t.device).to(t))
        return torch.cat([2 * t - 1, angles.sin(), angles.cos()], dim=-1)

    # -- decoders ------------------------------------------------------------------------------------------------------

    def states_at(self, memory: Memory, times: torch.Tensor) -> torch.Tensor:
        """States (item, query, component) at times (query,) or (item, query)."""
        x = self.embed_query(self._waves(times)).expand(len(memory.fused), -1, -1)
        data = memory.fused[:, : memory.frames]
        for layer in self.decoder:
            x = layer(x, memory=data)
        return self.readout(self.decoder_norm(x)) * memory.scale[:, None, None] * memory.valid[:, None].to(x)

    def logits(self, memory: Memory, words: torch.Tensor) -> torch.Tensor:
        """Logits of the word after each of words (item, word), (item, word, vocabulary)."""
        table = self.table()
        x = table[words] + self.positions[1, : words.shape[1]]
        for layer in self.symbol_decoder:
            x = layer(x, None, memory.fused, memory.keep, causal=True)
        return self.symbol_norm(x) @ table.T + self.bias

    def cache(self, memory: Memory) -> "Cache":
        """For decoding word by word."""
        return Cache(self, memory)


class Cache:
    """Decodes word by word: `step` gives the logits after one more word, which equal those of `Network.logits`."""

    def __init__(self, network: Network, memory: Memory):
        self.network, self.at = network, 0
        self.table = network.table()
        length = network.config.length + 1
        self.layers = [LayerCache(layer, memory.fused, memory.keep, length) for layer in network.symbol_decoder]  # pyright: ignore[reportArgumentType]

    def step(self, words: torch.Tensor) -> torch.Tensor:
        """Logits (item, vocabulary) after the words (item,)."""
        x = (self.table[words] + self.network.positions[1, self.at])[:, None]
        for layer, cache in zip(self.network.symbol_decoder, self.layers, strict=True):
            x = layer.step(x, cache, self.at)  # pyright: ignore[reportCallIssue]
        self.at += 1
        return self.network.symbol_norm(x[:, 0]) @ self.table.T + self.network.bias

    def take(self, rows: torch.Tensor) -> None:
        """Continue row i from what row rows[i] has said; both must belong to the same item."""
        for cache in self.layers:
            cache.take(rows, self.at)


def number_features() -> torch.Tensor:
    """Smooth features of the words of numbers, (word, feature), zero for all others."""
    found = torch.zeros(len(WORDS), 2 * _WAVES + 3)
    m = torch.arange(len(MANTISSAS)) / len(MANTISSAS)
    angles = m[:, None] * (torch.pi * 2.0 ** torch.arange(_WAVES))
    first = ID[MANTISSAS[0]]
    found[first : first + len(m)] = torch.cat(
        [2 * m[:, None] - 1, (m[:, None] + 1e-3).log10() / 3, m[:, None] * 0, angles.sin(), angles.cos()], dim=1
    )
    first = ID[EXPONENTS[0]]
    found[first : first + len(EXPONENTS), 2] = torch.linspace(-1, 1, len(EXPONENTS))
    return found
