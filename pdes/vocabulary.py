"""Words in which a symbolic model reads and writes systems u' = f(u): prefix notation, numbers in three words each.

    system := eq ("|" eq)^(D-1)        eq := BIN eq eq | UN eq | u_i | NUM | <PLACEHOLDER>
    NUM    := sign mantissa exponent   + N172 E-3  =  172e-3  =  0.172

Numbers keep three digits: 2.6 is + N260 E-2, and what is below 1e-8 is zero. A system is simulated with the numbers that its
words say, so that a label is exact. In Python, words are strings, and each number one float in their place.

Liu, Zhang, Schaeffer, PROSE, Neural Networks 180, 2024 (arXiv 2309.16816); numbers after Charton, Linear algebra with
transformers, TMLR 2022. Theirs has 1072 words, some twice or never used; here each word is used by the grammar.
"""

from collections.abc import Sequence

import numpy as np

from solvers.errors import DataError

PAD, BOS, EOS, HOLE, BAR = "<PAD>", "<BOS>", "<EOS>", "<PLACEHOLDER>", "|"
BINARY = ("add", "sub", "mul", "div")
UNARY = ("neg", "inv", "pow2", "pow3", "sin", "cos", "tan", "exp", "log", "sqrt", "tanh", "abs")
MAX_COMPONENTS = 8
VARIABLES = tuple(f"u_{i}" for i in range(MAX_COMPONENTS))
SIGNS = ("+", "-")
MANTISSAS = tuple(f"N{i:03d}" for i in range(1000))
LEAST, MOST = -10, 10
"""Exponents of ten of a number's last digit."""
EXPONENTS = tuple(f"E{i}" for i in range(LEAST, MOST + 1))
WORDS = (PAD, BOS, EOS, HOLE, BAR, *BINARY, *UNARY, *VARIABLES, *SIGNS, *MANTISSAS, *EXPONENTS)
ID = {word: i for i, word in enumerate(WORDS)}
ARITY = {**dict.fromkeys(BINARY, 2), **dict.fromkeys(UNARY, 1)}
LARGEST = 999 * 10.0**MOST

Words = tuple  # of str and float


def encode_numbers(values) -> np.ndarray:
    """Ids of the three words of each number, (..., 3).

    Raises
    ------
    DataError : a number that is not finite, or beyond 999e10.
    """
    values = np.asarray(values, np.float64)
    size = np.abs(values)
    if not np.all(size <= LARGEST):  # also false for NaN
        raise DataError(
            given=f"the number {values[~(size <= LARGEST)].flat[0]:g}",
            needed=f"finite numbers up to {LARGEST:g}",
            remedy="Rescale the system.",
        )
    size = np.where(size < 1e-12, 0.0, size)  # far below the smallest word, and log10 stays harmless
    power = np.floor(np.log10(np.where(size > 0, size, 1.0))).astype(int) - 2
    mantissa = np.rint(_scaled(size, -power)).astype(int)
    low = mantissa < 100  # log10 rounded up across a power of ten
    power = np.where(low & (size > 0), power - 1, power)
    mantissa = np.where(low, np.rint(_scaled(size, -power)).astype(int), mantissa)
    carried = mantissa >= 1000
    power, mantissa = np.where(carried, power + 1, power), np.where(carried, mantissa // 10, mantissa)
    nothing = (mantissa == 0) | (power < LEAST)
    mantissa, power = np.where(nothing, 0, mantissa), np.where(nothing, 0, power)
    sign = np.where((values < 0) & ~nothing, ID["-"], ID["+"])
    return np.stack([sign, ID["N000"] + mantissa, ID["E0"] + power], axis=-1)


def decode_numbers(ids) -> np.ndarray:
    """Numbers of ids (..., 3), each the nearest float64 to its decimal."""
    ids = np.asarray(ids)
    sign = np.where(ids[..., 0] == ID["-"], -1.0, 1.0)
    return sign * _scaled((ids[..., 1] - ID["N000"]).astype(np.float64), ids[..., 2] - ID["E0"])


def _scaled(values: np.ndarray, power: np.ndarray) -> np.ndarray:
    """values * 10^power, by one operation on exact powers, so that it is rounded once."""
    power = np.asarray(power)
    return np.where(power >= 0, values * 10.0 ** np.maximum(power, 0), values / 10.0 ** np.maximum(-power, 0))


def rounded(values) -> np.ndarray:
    """To what the words can say: three digits."""
    return decode_numbers(encode_numbers(values))


def ids_of(words: Sequence) -> list[int]:
    """Ids of words; floats become three ids each.

    Raises
    ------
    DataError : a word that does not exist.
    """
    ids: list[int] = []
    for word in words:
        if isinstance(word, str):
            if word not in ID:
                raise DataError(given=f"the word {word!r}", needed="one of the vocabulary", remedy="See pdes.vocabulary.WORDS.")
            ids.append(ID[word])
        else:
            ids += encode_numbers(float(word)).tolist()
    return ids


def padded(rows: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    """Rows of ids as one array (row, length), filled up with `PAD`."""
    longest = max(map(len, rows), default=1)
    if length is not None and longest > length:
        raise DataError(
            given=f"a system of {longest} words", needed=f"at most {length}", remedy="Raise the length, or drop such systems."
        )
    out = np.zeros((len(rows), length or longest), np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def words_of(ids: Sequence[int], components: int, variables: int | None = None) -> list[Words]:
    """Words of each equation, under the strict definition of a valid answer.

    ids : what a model wrote: with or without `BOS` before; `EOS` must follow, and only `PAD` after it.
    components : number D of equations.   variables : how many variables there are, u_0, u_1, ...; by default D.

    Raises
    ------
    DataError : anything else: a missing or additional equation, words left over, an incomplete number or expression, unknown
        variables. The message says what and where.
    """
    names = [WORDS[i] if 0 <= i < len(WORDS) else f"id {i}" for i in map(int, ids)]
    names = names[1:] if names[:1] == [BOS] else names
    if EOS not in names:
        raise _invalid(names, "no end")
    end = names.index(EOS)
    if any(name != PAD for name in names[end + 1 :]):
        raise _invalid(names, "words after the end")
    known = set(VARIABLES[: components if variables is None else variables])
    found, at = [], 0
    for component in range(components):
        words, at = _equation(names[:end], at, known)
        found.append(words)
        if component + 1 < components:
            if at >= end or names[at] != BAR:
                raise _invalid(names[:end], f"equation {component + 1} of {components} not followed by {BAR!r}, at word {at}")
            at += 1
    if at != end:
        raise _invalid(names, f"words left over from word {at}")
    return found


def _equation(names: list[str], at: int, known: set[str]) -> tuple[Words, int]:
    """Words of the expression that begins at a place, and where it ends."""
    words: list = []
    open_slots = 1
    while open_slots:
        if at >= len(names):
            raise _invalid(names, "an incomplete expression")
        name = names[at]
        if name in ARITY:
            open_slots += ARITY[name] - 1
        elif name in known or name == HOLE:
            open_slots -= 1
        elif name in SIGNS and _is_number(names[at : at + 3]):
            words.append(float(decode_numbers([ID[part] for part in names[at : at + 3]])))
            open_slots, at = open_slots - 1, at + 3
            continue
        else:
            raise _invalid(names, f"{name!r} as word {at}")
        words.append(name)
        at += 1
    return tuple(words), at


def _is_number(names: list[str]) -> bool:
    return len(names) == 3 and names[1] in MANTISSA_SET and names[2] in EXPONENT_SET


MANTISSA_SET, EXPONENT_SET = frozenset(MANTISSAS), frozenset(EXPONENTS)


def _invalid(names: Sequence[str], what: str) -> DataError:
    return DataError(
        given=f"the words {' '.join(names[:24])!r} with {what}",
        needed="as many equations as components, in prefix notation, separated by '|' and ended by '<EOS>'",
        remedy="Decode with the grammar's constraint, or count this answer as invalid.",
    )


def is_valid(ids: Sequence[int], components: int) -> bool:
    """Whether `words_of` takes them."""
    try:
        words_of(ids, components)
    except DataError:
        return False
    return True
