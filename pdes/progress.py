"""A progress bar with the time left, or nothing."""

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def track(title: str, total: int, done: int, show: bool) -> Iterator[Callable[[], None]]:
    """`with track("darcy", 10, 3, True) as advance:` call `advance()` after each of the seven that are left."""
    if not show:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda: bar.advance(task)
