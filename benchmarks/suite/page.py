"""The suite as one self-contained HTML page: a front page for newcomers, then every task with its table, figures and fields."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.suite import scoring, words
from benchmarks.suite.standing import Entry, Table
from benchmarks.suite.statistics import errors_of
from benchmarks.suite.tasks import Suite
from pdes.panels import Colours, colours_for, picture
from sciml import storage
from sciml.charts import Level, Series, chart
from sciml.environment import environment
from sciml.html_style import STYLE

SHOWN = 3
"""Contestants whose fields are drawn: the best network, the best peer or second network, the best trivial predictor."""


def page(suite: Suite, found: Sequence[Table], folder: str | Path, command: str) -> str:
    """The page as text."""
    lines = words.front_page(suite, found)
    ranking = _table(["", "error / error of<br>the linear map", "pairings won", "tasks"], words.ranking(found))
    body = [
        f"<h1>Suite {html.escape(suite.name)}</h1><p class='lead'>{html.escape(suite.description)}</p>",
        f"<div class='verdict'><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul></div>",
        f"<p class='note'>{html.escape(words.EXPLAINED)}</p><h2>Over all tasks</h2>{ranking}",
        *(_task(t, Path(folder)) for t in found),
        _making(command),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Suite {html.escape(suite.name)}</title><style>{STYLE}.sample{{display:grid}}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[str] = ()) -> str:
    lines = []
    for i, row in enumerate(rows):
        mark = marks[i] if marks else ""
        cells = "".join(f"<td>{mark if k == 0 else ''}{html.escape(c)}</td>" for k, c in enumerate(row))
        lines.append(f"<tr>{cells}</tr>")
    top = "".join(f"<th>{c}</th>" for c in head)
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _task(t: Table, folder: Path) -> str:
    colours = _colours(t)
    marks = [
        f"<i class='{'square' if e.kind == 'classical' else 'dot'}' style='background:{colours[e.name]}'></i>"
        for e in t.entries
    ]
    title = f"{t.task.label} — {words.MEASURE[t.task.track]}"
    sentences = "".join(f"<li>{html.escape(line)}</li>" for line in words.verdicts(t))
    floor = "" if t.floor is None else f" The labels are {words.percent(t.floor)} off."
    size = f"{words.size(t)}, {t.task.train} training and {t.task.test} test samples"
    lead = f"{t.about['description']} {t.about['equation']}; {size}.{floor}"
    figures = [_cost(t, colours), _steps(t, colours), _spectra(t, colours), _spread(t, colours)]
    return (
        f"<h2>{html.escape(title)}</h2><p class='lead'>{html.escape(lead)}</p><div class='verdict'><ul>{sentences}</ul></div>"
        f"{_table(words.HEAD, words.rows(t), marks)}<div class='pair'>{''.join(figures)}</div>"
        f"{_equations(t)}{_inverse(t)}{_fields(t, folder)}"
    )


def _equations(t: Table) -> str:
    rows = words.equation_rows(t)
    return f"<h2>The equation read from the window</h2>{_table(words.EQUATIONS, rows)}" if rows else ""


def _inverse(t: Table) -> str:
    rows = words.inverse_rows(t)
    if not rows:
        return ""
    return f"<h2>The coefficient from the answer, median |log(found / true)|</h2>{_table(words.INVERSE, rows)}"


def _colours(t: Table) -> dict[str, str]:
    learned = [e.name for e in t.entries if e.kind in words.KINDS]
    names = {name: f"var(--c{i % 8})" for i, name in enumerate(sorted(learned))}
    fixed = {"classical": "var(--classical)", "trivial": "var(--muted)", "reference": "var(--ink)"}
    return names | {e.name: fixed[e.kind] for e in t.entries if e.kind in fixed}


def _figure(heading: str, drawing: str, caption: str) -> str:
    return f"<figure><h2>{heading}</h2>{drawing}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _levels(t: Table) -> list[Level]:
    levels = [] if t.floor is None else [Level("error of the labels", t.floor)]
    ceiling = t.ceiling
    return levels + ([] if ceiling.test is None else [Level(f"best trivial: {ceiling.name}", ceiling.test.mean)])


def _cost(t: Table, colours: Mapping[str, str]) -> str:
    timed = [e for e in t.entries if e.seconds and e.test and e.kind not in ("trivial", "reference")]
    ladder = sorted((e for e in timed if e.kind == "classical"), key=lambda e: e.seconds[1])  # type: ignore[index]
    groups = [("classical solver", ladder, "squares", "var(--classical)")] if ladder else []
    groups += [(e.name, [e], "dots", colours[e.name]) for e in timed if e.kind != "classical"]
    series = []
    for name, some, kind, colour in groups:
        tests = [e.test for e in some if e.test]
        series.append(Series(
            name, [1e3 * e.seconds[1] for e in some if e.seconds], [s.mean for s in tests], colour, kind,
            [s.low for s in tests], [s.high for s in tests], [e.name for e in some],
        ))  # fmt: skip
    drawing = chart(series, x_label="milliseconds per answer, in a batch", y_label="error", x_log=True, levels=_levels(t))
    return _figure("Work and precision", drawing, "Lower left is better. Squares: what the classical solver offers.")


def _steps(t: Table, colours: Mapping[str, str]) -> str:
    if t.task.track != "rollout":
        return ""
    times = np.asarray(t.about["times"][1:])
    series = []
    for e in t.entries:
        curves = [r["scores"]["test"]["curve"] for r in t.rows[e.name] if "curve" in r.get("scores", {}).get("test", {})]
        if curves and e.kind != "trivial":
            series.append(
                Series(e.name, times, np.mean(curves, 0), colours[e.name], "dashed" if e.kind == "classical" else "line")
            )
    return _figure(
        "Roll-out",
        chart(series, x_label="time", y_label="nRMSE"),
        "Mean error at each time, from the first frame alone; cut at 10.",
    )


def _spectra(t: Table, colours: Mapping[str, str]) -> str:
    series: list[Series] = []
    for e in t.of_kind(*words.KINDS)[:4] + t.of_kind("classical")[-1:]:
        row = next((r for r in t.rows[e.name] if "spectrum" in r.get("scores", {})), None)
        if row is None:
            continue
        shells = np.arange(len(row["scores"]["spectrum"]))[1:]
        if not series:
            series.append(Series("truth", shells, row["scores"]["true spectrum"][1:], "var(--ink)"))
        series.append(Series(e.name, shells, row["scores"]["spectrum"][1:], colours[e.name], "dashed"))
    if not series:
        return ""
    truth = np.asarray(series[0].y)
    kept = truth > 1e-12 * truth.max()
    series = [Series(s.name, np.asarray(s.x)[kept], np.asarray(s.y)[kept], s.color, s.kind) for s in series]
    drawing = chart(series, x_label="waves per side", y_label="energy", x_log=True)
    return _figure("Spectrum", drawing, "Mean energy by wave number" + (", last frame." if t.task.track == "rollout" else "."))


def _spread(t: Table, colours: Mapping[str, str]) -> str:
    series = []
    for e in t.entries:
        errors = errors_of(t.rows[e.name])
        if errors is not None and e.kind in words.KINDS:
            values = np.sort(errors.mean(0))
            series.append(Series(e.name, 100 * (np.arange(len(values)) + 0.5) / len(values), values, colours[e.name]))
    drawing = chart(series, x_label="share of test samples, %", y_label="error below", levels=_levels(t))
    return _figure("All test samples", drawing, "Sorted errors, seeds averaged.")


# -- fields -----------------------------------------------------------------------------------------------------------


def _fields(t: Table, folder: Path) -> str:
    """Best, median and worst sample of the best network."""
    learned = t.of_kind(*words.KINDS) if t.task.track in scoring.FIELDS else []
    errors = errors_of(t.rows[learned[0].name]) if learned else None
    if errors is None:
        return ""
    order = np.argsort(errors.mean(0))
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    shown = [*learned[: SHOWN - 1], t.ceiling]
    data = t.task.data(folder / "data")["test"]
    true = scoring.truth(t.task, data)
    answers = {e.name: _answers(t, e, folder) for e in shown}
    draw = _lines if data.grid.dimension == 1 else _tiles
    parts = [draw(f"{word} sample of {learned[0].name}", int(i), true, answers, data) for word, i in chosen.items()]
    return f"<h2>Fields{' at the last time' if t.task.track == 'rollout' else ''}</h2>{''.join(parts)}"


def _answers(t: Table, e: Entry, folder: Path) -> np.ndarray:
    """What the first row of a contestant answered, by the name that `run` gives its file."""
    row = next(r for r in t.rows[e.name] if "failed" not in r)
    for path in sorted((folder / t.task.label).glob("*.safetensors")):
        if path.name.endswith(f"-{row['seed']}.safetensors"):
            arrays, header = storage.read_arrays(path)
            if header["contestant"] == e.name:
                return arrays["test"]
    raise FileNotFoundError(f"answers of {e.name} on {t.task.label}")


def _last(values: np.ndarray, sample: int, dimension: int) -> np.ndarray:
    """The last channel of a sample, of a roll-out at its last step."""
    one = values[sample]
    return one[-1] if one.ndim == dimension + 1 else one[-1, -1]


def _tiles(title: str, i: int, true: np.ndarray, answers: Mapping[str, np.ndarray], data) -> str:
    truth = _last(true, i, data.grid.dimension)
    colours = colours_for(truth)
    scale = float(np.abs(truth).max()) or 1.0
    wrong = Colours("inferno", 1e-4, 1.0, log=True)
    cells = [f"<div class='tile'><div class='name'>truth</div><img src='{picture(truth, colours)}' alt='truth'></div>"]
    for name, values in answers.items():
        field = _last(values, i, data.grid.dimension)
        images = (
            f"<img src='{picture(field, colours)}' alt=''><img src='{picture(np.abs(field - truth) / scale, wrong)}' alt=''>"
        )
        cells.append(f"<div class='tile'><div class='name'>{html.escape(name)}</div>{images}</div>")
    caption = f"<p class='note'>{html.escape(title)}; below each field |error| / max |truth|, logarithmic from 10⁻⁴ to 1</p>"
    return f"{caption}<div class='sample' style='--count:{len(cells)}'>{''.join(cells)}</div>"


def _lines(title: str, i: int, true: np.ndarray, answers: Mapping[str, np.ndarray], data) -> str:
    x = data.grid.axes[0].coordinates()
    series = [Series("truth", x, _last(true, i, 1), "var(--ink)")]
    series += [Series(name, x, _last(v, i, 1), f"var(--c{k})", "dashed") for k, (name, v) in enumerate(answers.items())]
    drawing = chart(series, x_label=data.grid.axes[0].name, y_label="field", y_log=False)
    return f"<p class='note'>{html.escape(title)}</p><div class='pair'><figure>{drawing}</figure></div>"


def _making(command: str) -> str:
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in environment().items())
    return f"<h2>How this was made</h2><pre>{html.escape(command)}</pre><dl>{facts}</dl>"
