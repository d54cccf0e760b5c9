"""Transformer blocks, pre-norm: x <- x + attention(norm(x)), x <- x + W2 gelu(W1 norm(x)), with fused attention and a cache.

Post-norm, which the reference uses, needs tens of thousands of warm-up steps. Asking a library attention for its weights, as
the reference does, rules fused kernels out. The cache keeps keys and values, and the mask of the memory with them: a reference
implementation that drops the mask decodes an equation that depends on what else is in the batch.

Vaswani et al., NeurIPS 2017; pre-norm: Xiong et al., ICML 2020; RMSNorm: Zhang, Sennrich, NeurIPS 2019.
"""

import torch
from torch import nn


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v over `heads` parts of the width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.pair = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (item, head, token, width / head)

    def keys_and_values(self, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a memory (item, token, width): (item, head, token, width / head) each."""
        k, v = self.pair(memory).chunk(2, dim=-1)
        return self._split(k), self._split(v)

    def forward(self, x, keys, values, keep=None, causal: bool = False) -> torch.Tensor:
        """Answers (item, query, width) from keys and values; `keep` (item, token) is True where there is something."""
        mask = None if keep is None else keep[:, None, None, :]
        found = nn.functional.scaled_dot_product_attention(
            self._split(self.query(x)), keys, values, attn_mask=mask, is_causal=causal
        )
        return self.out(found.transpose(1, 2).flatten(2))


class Feedforward(nn.Sequential):
    """W2 gelu(W1 x)."""

    def __init__(self, width: int, hidden: int):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Layer(nn.Module):
    """Self-attention (if `own`), attention to a memory (if `cross`), and a feed-forward, each added to its input."""

    def __init__(self, width: int, hidden: int, heads: int, *, own: bool = True, cross: bool = False):
        super().__init__()
        self.own = Attention(width, heads) if own else None
        self.cross = Attention(width, heads) if cross else None
        self.own_norm = nn.RMSNorm(width) if own else None
        self.cross_norm = nn.RMSNorm(width) if cross else None
        self.last, self.last_norm = Feedforward(width, hidden), nn.RMSNorm(width)

    def forward(self, x, keep=None, memory=None, memory_keep=None, causal: bool = False) -> torch.Tensor:
        """x (item, token, width); `keep` of its own tokens, `memory_keep` of the memory's."""
        if self.own is not None and self.own_norm is not None:
            y = self.own_norm(x)
            x = x + self.own(y, *self.own.keys_and_values(y), keep, causal)
        if self.cross is not None and self.cross_norm is not None:
            assert memory is not None
            x = x + self.cross(self.cross_norm(x), *self.cross.keys_and_values(memory), memory_keep)
        return x + self.last(self.last_norm(x))

    def step(self, x, cache: "LayerCache", at: int) -> torch.Tensor:
        """The same for one more token (item, 1, width), the `at`-th, with what came before in the cache."""
        assert self.own is not None
        assert self.cross is not None
        assert self.own_norm is not None
        assert self.cross_norm is not None
        y = self.own_norm(x)
        k, v = self.own.keys_and_values(y)
        cache.keys[:, :, at : at + 1], cache.values[:, :, at : at + 1] = k, v
        x = x + self.own(y, cache.keys[:, :, : at + 1], cache.values[:, :, : at + 1])
        x = x + self.cross(self.cross_norm(x), *cache.memory, cache.memory_keep)
        return x + self.last(self.last_norm(x))


class LayerCache:
    """Keys and values of the words so far, and of the memory, of one layer."""

    def __init__(self, layer: Layer, memory: torch.Tensor, memory_keep: torch.Tensor, length: int):
        assert layer.cross is not None
        self.memory = layer.cross.keys_and_values(memory)
        self.memory_keep = memory_keep
        items, heads, _, each = self.memory[0].shape
        self.keys = memory.new_zeros(items, heads, length, each)
        self.values = torch.zeros_like(self.keys)

    def take(self, rows: torch.Tensor, at: int) -> None:
        """Row i becomes what row rows[i] was, for the first `at` words; rows stay within their item's beams."""
        self.keys[:, :, :at], self.values[:, :, :at] = self.keys[rows, :, :at], self.values[rows, :, :at]
