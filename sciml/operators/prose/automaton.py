"""The grammar of answers as an automaton of many rows at once: which word may come next.

Each row keeps how many operands are open, how many components are finished, whether it is inside a number, and how many words
are left. A word is allowed if the grammar has it there and the rest can still be closed with the words that are left:

    cost to close = open operands + 2 (components to come) + 1        (a bar and one word each; the end)
"""

import torch

from pdes.field_words import FIELD, RATE
from pdes.vocabulary import (
    ARITY,
    BAR,
    BINARY,
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
from solvers.errors import SettingError

_DONE, MANTISSA, EXPONENT, _OPERAND, _BAR, _END = range(6)


def _tables() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(class, word) what may come; change of the cost to close by each word; change of the open operands."""
    allowed = torch.zeros(6, len(WORDS), dtype=torch.bool)
    cost, operands = torch.zeros(len(WORDS), dtype=torch.long), torch.zeros(len(WORDS), dtype=torch.long)
    allowed[_DONE, ID[PAD]] = allowed[_BAR, ID[BAR]] = allowed[_END, ID[EOS]] = True
    for word in MANTISSAS[100:]:  # three digits, the first not zero: one way to write a number
        allowed[MANTISSA, ID[word]] = True
    for word in EXPONENTS:
        allowed[EXPONENT, ID[word]] = True
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
        here = torch.where(self.number == 1, MANTISSA, torch.where(self.number == 2, EXPONENT, here))
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


class FieldAutomaton(Automaton):
    """The same for the equation of one field: F, or u_5 | F, where u_5 is the rate (`pdes.field_words`)."""

    def __init__(self, rows: int, length: int, device=None):
        super().__init__(torch.full((rows,), 2, device=device), length)
        index = torch.arange(len(WORDS), device=device)
        first = ID[VARIABLES[0]]
        self.unknown = ((index >= first + len(FIELD)) & (index < first + len(VARIABLES))).expand(rows, -1)
        self.begun = False

    def allowed(self) -> torch.Tensor:
        """See `Automaton`; the rate is the whole of the first equation, or not in it."""
        found = super().allowed().clone()
        if self.begun:
            found[:, ID[RATE.name]] &= self.components == 2
        return found

    def advance(self, words: torch.Tensor) -> None:
        """See `Automaton`."""
        if not self.begun:
            self.begun, self.components = True, torch.where(words == ID[RATE.name], 2, 1)
        super().advance(words)
