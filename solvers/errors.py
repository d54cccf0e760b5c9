"""One vocabulary of errors for the whole package: what was given, what was needed, what to do.

Each class is also the built-in type that callers expect, so `except ValueError` keeps working.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Something that the user can mend. The command line prints it in one line and exits with 2.

    Parameters
    ----------
    given : what was received, with the offender's name (file, field, sample index).
    needed : what would have been accepted.
    remedy : what to do about it, a sentence.
    """

    def __init__(self, *, given: str, needed: str, remedy: str):
        super().__init__(f"Got {given}. Needed {needed}. {remedy}")
        self.given, self.needed, self.remedy = given, needed, remedy

    def __reduce__(self):  # keyword-only arguments: let the error travel between worker processes
        return _rebuild, (type(self), self.given, self.needed, self.remedy)


def _rebuild(kind, given, needed, remedy):
    return kind(given=given, needed=needed, remedy=remedy)


class GridError(UserError, ValueError):
    """A grid, shape or resolution that the called method cannot take."""


class DataError(UserError, ValueError):
    """Values or files that cannot be used: NaN, a missing field, a truncated or foreign file."""


class SettingError(UserError, ValueError):
    """An option out of its range, or options that exclude each other."""


class UnknownName(UserError, LookupError):
    """A name that is not registered; the message lists the nearest ones."""


class CheckpointError(UserError, ValueError):
    """A checkpoint that is damaged, incomplete, or belongs to something else."""


class MissingPackage(UserError, ImportError):
    """An optional package that is not installed; the message names the extra."""


class SolverError(UserError, ArithmeticError):
    """A solve that failed: no convergence, blow-up, violated step bound. Names the samples and the cause."""


LISTED = 80  # names that an error lists


def unknown_name(kind: str, name: Any, known: Iterable[str]) -> UnknownName:
    """Error for a misspelt `name` of some `kind` ("problem", "operator"), with near names; of very many only the nearest."""
    known = sorted(known)
    text = str(name)  # whatever was given: None, a number
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Check the spelling."
    needed = f"one of: {', '.join(known)}"
    if len(known) > LISTED:
        nearest = difflib.get_close_matches(text, known, n=LISTED // 4, cutoff=0.0)
        needed = f"one of {len(known)}, the nearest: {', '.join(nearest)}"
    return UnknownName(given=f"{kind} {name!r}", needed=needed, remedy=remedy)
