"""Decoding under the grammar: greedy and by beams, every answer valid by construction (`sciml.operators.prose.automaton`).

Beams compare structures: at the words of a number only the best is kept, and counted as certain, since numbers are refined.
"""

from dataclasses import dataclass

import torch

from pdes.vocabulary import BOS, EOS, ID, PAD, WORDS
from sciml.operators.prose.automaton import EXPONENT, MANTISSA
from sciml.operators.prose.network import Memory, Network

_NEVER = -1e9


@dataclass(frozen=True)
class Decoded:
    """Answers. ids : (item, beam, word), `BOS` not included, padded.   scores : log-probabilities, (item, beam), best first."""

    ids: torch.Tensor
    scores: torch.Tensor


@torch.no_grad()
def greedy(network: Network, memory: Memory, *, constrained: bool = True, length: int | None = None) -> Decoded:
    """The most likely word each time; unconstrained, answers may be invalid."""
    length = length or int(network.config.length)
    automaton, cache = network.dialect.automaton(memory.valid, length), network.cache(memory)
    count, device = len(memory.fused), memory.fused.device
    words = torch.full((count,), ID[BOS], device=device)
    found, scores = [], torch.zeros(count, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    for _ in range(length):
        logits = cache.step(words)
        if constrained:
            logits = logits.masked_fill(~automaton.allowed(), _NEVER)
        best = logits.log_softmax(-1).max(-1)
        words = torch.where(ended, ID[PAD], best.indices)
        scores = scores + torch.where(ended, 0.0, best.values)
        if constrained:
            automaton.advance(words)
        ended = ended | (words == ID[EOS])
        found.append(words)
        if ended.all():
            break
    return Decoded(torch.stack(found, 1)[:, None], scores[:, None])


@torch.no_grad()
def beams(network: Network, memory: Memory, size: int, *, length: int | None = None, marginal: bool = True) -> Decoded:
    """The `size` most likely valid answers found by beam search; with `marginal`, over structures (see the module)."""
    length = length or int(network.config.length)
    count, device = len(memory.fused), memory.fused.device
    wide = memory.repeated(size)
    automaton, cache = network.dialect.automaton(wide.valid, length), network.cache(wide)
    scores = torch.full((count, size), _NEVER, device=device)
    scores[:, 0] = 0.0  # all beams are equal at first
    words = torch.full((count * size,), ID[BOS], device=device)
    found = torch.zeros(count * size, 0, dtype=torch.long, device=device)
    base = torch.arange(count, device=device)[:, None] * size
    for _ in range(length):
        logits = cache.step(words).masked_fill(~automaton.allowed(), _NEVER)
        chances = logits.log_softmax(-1).masked_fill(~automaton.allowed(), _NEVER)
        if marginal:
            inside = ((automaton.state == MANTISSA) | (automaton.state == EXPONENT))[:, None]
            best = torch.zeros_like(chances, dtype=torch.bool).scatter_(1, chances.argmax(1, keepdim=True), True)
            chances = torch.where(inside, torch.where(best, 0.0, _NEVER), chances)
        total = scores[:, :, None] + chances.unflatten(0, (count, size))
        scores, flat = total.flatten(1).topk(size, dim=1)
        rows = (base + flat // len(WORDS)).flatten()
        words = (flat % len(WORDS)).flatten()
        cache.take(rows)
        automaton.take(rows)
        # A beam that does not exist (its score is that of "never") may have been given a word that is not allowed.
        legal = automaton.allowed().gather(1, words[:, None])[:, 0]
        words = torch.where(legal, words, automaton.allowed().int().argmax(1))
        automaton.advance(words)
        found = torch.cat([found[rows], words[:, None]], dim=1)
        if automaton.ended.all():
            break
    return Decoded(found.unflatten(0, (count, size)), scores)
