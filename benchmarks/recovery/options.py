"""Options that the scripts share."""

import argparse
from collections.abc import Callable, Sequence

from solvers.errors import unknown_name


def listed(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """What `argparse` makes of names with commas between; an unknown one is an error that says which there are."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(str(unknown_name(kind, name, known)))
        return names

    return read
