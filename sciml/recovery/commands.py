"""What `sciml recover` does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sciml.recovery.estimator import Recovery
from sciml.recovery.fields import FieldRecovery
from sciml.recovery.files import load
from solvers.errors import SettingError
from solvers.files import write_bytes


def run(
    data: Path,
    inputs: Sequence[str],
    library: Sequence[str] | None,
    boot: int,
    digits: int | None,
    html: Path | None,
    python: Path | None,
    latex: bool,
    seed: int,
) -> Iterator[str]:
    """Recover, write the files that were asked for, and give the lines to print."""
    loaded = load(data, inputs)
    if loaded.space is not None:
        if html or python or library:
            raise SettingError(
                given="--html, --python or --library with a field on a grid",
                needed="none of them",
                remedy="Partial differential equations are printed, with --latex too.",
            )
        field = FieldRecovery(name=loaded.names[0]).fit(loaded.t, loaded.x, loaded.space)
        yield field.text(digits)
        yield from field.flags_
        if latex:
            yield field.latex()
        return
    model = Recovery(library or "auto", n_boot=boot, names=loaded.names, inputs=loaded.inputs, seed=seed)
    model.fit(loaded.t, loaded.x, loaded.u)
    for name, side in zip(loaded.names, model.equations(digits), strict=True):
        yield f"{name}' = {side}"
    yield from model.flags_
    yield from model.notes_
    if latex:
        yield model.latex()
    if python is not None:
        write_bytes(python, model.python().encode())
        yield f"wrote {python}"
    if html is not None:
        model.report(html, title=f"Equations of {data.name}")
        yield f"wrote {html}"
