"""Decoding under the grammar: greedy and by beams, every answer valid by construction.

Each row keeps how many operands are open, how many components are finished, whether it is inside a number, and how many words
are left. A word is allowed if the grammar has it there and the rest can still be closed with the words that are left:

    cost to close = open operands + 2 (components to come) + 1        (a bar and one word each; the end)

Beams compare structures: at the words of a number only the best is kept, and counted as certain, since numbers are refined.
"""

from dataclasses import dataclass

import torch

from pdes.vocabulary import (
    ARITY,
    BAR,
    BINARY,
    BOS,
    EOS,
    EXPONENTS,
    ID,
    MANTISSAS,
    PAD,
    SIGNS,
    UNARY,
    VARIABLES,
    WORDS,
)  # fmt: skip
from sciml.operators.prose.network import Memory, Network
from solvers.errors import SettingError

_NEVER = -1e9
_DONE, _MANTISSA, _EXPONENT, _OPERAND, _BAR, _END = range(6)


def _tables() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(class, word) what may come; change of the cost to close by each word; change of the open operands."""
    allowed = torch.zeros(6, len(WORDS), dtype=torch.bool)
    cost, operands = torch.zeros(len(WORDS), dtype=torch.long), torch.zeros(len(WORDS), dtype=torch.long)
    allowed[_DONE, ID[PAD]] = allowed[_BAR, ID[BAR]] = allowed[_END, ID[EOS]] = True
    for word in MANTISSAS[100:]:  # three digits, the first not zero: one way to write a number
        allowed[_MANTISSA, ID[word]] = True
    for word in EXPONENTS:
        allowed[_EXPONENT, ID[word]] = True
        operands[ID[word]] = -1
    for word in (*BINARY, *UNARY, *VARIABLES, *SIGNS):
        allowed[_OPERAND, ID[word]] = True
        cost[ID[word]] = operands[ID[word]] = ARITY.get(word, 0) - 1
        if word in SIGNS:
            cost[ID[word]], operands[ID[word]] = 1, 0
    return allowed, cost, operands


_ALLOWED, _COST, _OPERANDS = _tables()
_NUMBER = torch.zeros(len(WORDS), dtype=torch.long)  # state of the number after a word
_NUMBER[[ID[word] for word in SIGNS]] = 1
_NUMBER[[ID[word] for word in MANTISSAS]] = 2


class Automaton:
    """The grammar's state of many rows at once.

    components : D of each row, (row,).   length : words that a row may have, `EOS` included.
    """

    def __init__(self, components: torch.Tensor, length: int):
        least = 2 * int(components.max()) if len(components) else 2
        if length < least:
            raise SettingError(given=f"length={length}", needed=f"at least {least}", remedy="Raise it.")
        device = components.device
        self.tables = [table.to(device) for table in (_ALLOWED, _COST, _OPERANDS, _NUMBER)]
        self.components, self.room = components, length
        self.open, self.finished = torch.ones_like(components), torch.zeros_like(components)
        self.number, self.ended = torch.zeros_like(components), torch.zeros_like(components, dtype=torch.bool)
        index = torch.arange(len(WORDS), device=device)
        first = ID[VARIABLES[0]]
        self.unknown = (index >= first + components[:, None]) & (index < first + len(VARIABLES))

    @property
    def state(self) -> torch.Tensor:
        """What kind of word each row needs."""
        last = self.finished + 1 >= self.components
        here = torch.where(self.open > 0, _OPERAND, torch.where(last, _END, _BAR))
        here = torch.where(self.number == 1, _MANTISSA, torch.where(self.number == 2, _EXPONENT, here))
        return torch.where(self.ended, _DONE, here)

    def allowed(self) -> torch.Tensor:
        """(row, word) which may come next."""
        table, cost, _, _ = self.tables
        state = self.state
        close = self.open + 2 * (self.components - 1 - self.finished) + 1
        fits = (close[:, None] + cost <= self.room - 1) | (state != _OPERAND)[:, None]
        return table[state] & fits & ~self.unknown

    def advance(self, words: torch.Tensor) -> None:
        """After the words (row,) that were chosen."""
        _, _, operands, number = self.tables
        self.open = self.open + operands[words]
        bar = words == ID[BAR]
        self.open = torch.where(bar, 1, self.open)
        self.finished = self.finished + bar
        self.number = number[words]
        self.ended = self.ended | (words == ID[EOS])
        self.room -= 1

    def take(self, rows: torch.Tensor) -> None:
        """Row i becomes what row rows[i] was."""
        for name in ("components", "open", "finished", "number", "ended", "unknown"):
            setattr(self, name, getattr(self, name)[rows])


@dataclass(frozen=True)
class Decoded:
    """Answers. ids : (item, beam, word), `BOS` not included, padded.   scores : log-probabilities, (item, beam), best first."""

    ids: torch.Tensor
    scores: torch.Tensor


@torch.no_grad()
def greedy(network: Network, memory: Memory, *, constrained: bool = True, length: int | None = None) -> Decoded:
    """The most likely word each time; unconstrained, answers may be invalid."""
    length = length or int(network.config.length)
    components = memory.valid.sum(1)
    automaton, cache = Automaton(components, length), network.cache(memory)
    words = torch.full_like(components, ID[BOS])
    found, scores = [], torch.zeros(len(components), device=components.device)
    ended = torch.zeros_like(components, dtype=torch.bool)
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
    automaton, cache = Automaton(wide.valid.sum(1), length), network.cache(wide)
    scores = torch.full((count, size), _NEVER, device=device)
    scores[:, 0] = 0.0  # all beams are equal at first
    words = torch.full((count * size,), ID[BOS], device=device)
    found = torch.zeros(count * size, 0, dtype=torch.long, device=device)
    base = torch.arange(count, device=device)[:, None] * size
    for _ in range(length):
        logits = cache.step(words).masked_fill(~automaton.allowed(), _NEVER)
        chances = logits.log_softmax(-1).masked_fill(~automaton.allowed(), _NEVER)
        if marginal:
            inside = ((automaton.state == _MANTISSA) | (automaton.state == _EXPONENT))[:, None]
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
