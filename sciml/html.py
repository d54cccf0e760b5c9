"""A report as one self-contained page: verdict, table, fields, curves, and how it was made. No script, no file beside it.

What the page says beyond the scores comes from `report.notes`, which the JSON keeps too: "classical" (names of the solver's
rungs), "label_seconds", "train_samples", "command", "environment".
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pdes.panels import Colours, colours_for, picture
from sciml.charts import Level, Series, chart
from sciml.comparison import Standing, classical_names, error_of, milliseconds, percent, standings_of, verdicts
from sciml.history import History
from sciml.html_style import STYLE, tabs
from sciml.report import LABELS, Report, Score
from solvers.files import write_bytes

_PALETTE = [f"var(--c{i})" for i in range(8)]


def write_report(
    report: Report,
    path: str | Path,
    *,
    histories: Mapping[str, History] | None = None,
    title: str = "Report",
    intro: str = "",
) -> Path:
    """Write the page, atomically.

    Parameters
    ----------
    report : scores of one or several operators; see the module's text for its `notes`.
    path : the .html file.
    histories : learning curves by contestant.
    title, intro : heading and a sentence below it (plain text).

    Returns
    -------
    The path.
    """
    path = Path(path)
    write_bytes(path, page(report, histories or {}, title, intro).encode())
    return path


def page(report: Report, histories: Mapping[str, History], title: str, intro: str = "") -> str:
    """The page as text."""
    classical = classical_names(report)
    standings = standings_of(report)
    colours = _colours(report.scores, classical)
    sections = [
        f"<h1>{html.escape(title)}</h1><p class='lead'>{html.escape(intro or _subject(report))}</p>",
        _verdict(verdicts(standings, report)),
        "<h2>Errors and costs</h2>",
        _table(report, standings, colours),
        _fields(report, colours),
        _curves(report, histories, standings, colours, classical),
        _making(report),
    ]
    shown = len(report.preview[0]) if report.preview is not None else 0
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}{tabs(shown)}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>"
    )


def _subject(report: Report) -> str:
    grid = " × ".join(map(str, report.signature.grid.shape))
    equation = report.provenance.get("equation", "")
    return f"{report.samples} test samples on a {grid} grid, task “{report.signature.kind}”. {equation}".strip()


def _colours(scores: Sequence[Score], classical: Sequence[str]) -> dict[str, str]:
    others = [s.name for s in scores if s.name not in classical]
    return {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(others)} | dict.fromkeys(classical, "var(--classical)")


def _verdict(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<div class='verdict'><ul>{items}</ul></div>" if items else ""


# -- the table --------------------------------------------------------------------------------------------------------


def _table(report: Report, standings: Sequence[Standing], colours: Mapping[str, str]) -> str:
    by_name = {s.name: s for s in standings}
    primary, *others = (LABELS.get(name, name) for name in (report.scores[0].primary, *report.others()))
    head = ["", f"{primary}<br><span class='interval'>95 % interval</span>"]
    head += ["worst point" if name == LABELS["max_error"] else name for name in others]
    head += ["parameters", "training", "one sample", "per sample,<br>in a batch"]
    if standings:
        head += ["speed at<br>equal error", "repaid after"]
    scores = sorted(report.scores, key=error_of)
    cells = lambda s: _cells(s, report.others(), by_name, colours, bool(standings))  # noqa: E731
    rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in cells(s))}</tr>" for s in scores)
    table = f"<table><thead><tr>{''.join(f'<th>{c}</th>' for c in head)}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class='scroll'>{table}</div><p class='note'>{_notes(report, bool(standings))}</p>"


def _cells(score: Score, others: Sequence[str], standings: Mapping[str, Standing], colours, compared: bool) -> list[str]:
    summary = score.summary()
    low, high = summary[score.primary]["interval"]
    shape = "square" if colours[score.name] == "var(--classical)" else "dot"
    mean = lambda metric: percent(summary[metric]["mean"]) if metric in summary else "–"  # noqa: E731
    time = lambda seconds: "–" if seconds is None else milliseconds(seconds)  # noqa: E731
    train = score.training_seconds
    cells = [
        f"<i class='{shape}' style='background:{colours[score.name]}'></i>{html.escape(score.name)}",
        f"<b>{mean(score.primary)}</b><br><span class='interval'>{percent(low)} … {percent(high)}</span>",
        *map(mean, others),
        f"{score.parameters:,}" if score.parameters else "–",
        "–" if train is None else f"{train:.0f} s" if train >= 1 else "< 1 s",
        time(score.seconds_single),
        time(score.seconds_batch),
    ]
    if compared:
        cells += _standing_cells(standings.get(score.name))
    return cells


def _standing_cells(standing: Standing | None) -> list[str]:
    if standing is None:
        return ["–", "–"]
    sign = {"": "", "at most": "≤ ", "at least": "≥ "}[standing.faster_bound]
    if standing.faster_bound == "at most" or standing.invested is None:
        repaid = "–"
    else:
        repaid = "never" if standing.break_even is None else f"{standing.break_even:,.0f} solves"
    return [f"{sign}{standing.faster:.2g}×", repaid]


def _notes(report: Report, compared: bool) -> str:
    parts = [
        "Means over test samples; intervals by bootstrap over samples. Worst point: largest error over the root mean square."
    ]
    if report.label_error is not None:
        parts.append(f"The labels themselves are {percent(report.label_error)} off, measured against a solve on a finer grid.")
    if compared:
        parts.append(
            "Speed at equal error: time of the classical solver, on the grid on which it is as wrong as the operator, over the "
            "operator's time, on this machine, at the operator's better batch size; above 1 the operator is faster. "
            "Repaid after: solves until the time saved has paid for training and its data."
        )
    return " ".join(map(html.escape, parts))


# -- fields -----------------------------------------------------------------------------------------------------------


def _fields(report: Report, colours: Mapping[str, str]) -> str:
    if report.preview is None or not len(report.preview[0]) or report.preview[1].ndim < 3:  # labels are no pictures
        return ""
    inputs, targets = report.preview
    one_dimensional = targets.ndim == 3
    draw = _lines_of if one_dimensional else _tiles_of
    count = len(targets)
    shown = "".join(draw(report, i, inputs[i], targets[i], colours) for i in range(count))
    buttons = "".join(_tab(i) for i in range(count))
    return f"<h2>Input, truth, predictions and their errors</h2><div class='samples'>{buttons}{shown}</div>"


def _tab(i: int) -> str:
    checked = " checked" if i == 0 else ""
    return f"<input type='radio' name='sample' id='sample{i}'{checked}><label for='sample{i}'>sample {i + 1}</label>"


def _tiles_of(report: Report, i: int, inputs: np.ndarray, truth: np.ndarray, colours: Mapping[str, str]) -> str:
    names, outputs = report.signature.inputs, report.signature.outputs
    steady = [k for k, name in enumerate(names) if name not in report.signature.parameters][:2]
    field = colours_for(truth[-1])
    scale = float(np.abs(truth[-1]).max()) or 1.0
    scores = sorted((s for s in report.scores if s.preview is not None), key=error_of)
    errors = {s.name: np.abs(s.preview[i, -1] - truth[-1]) / scale for s in scores if s.preview is not None}
    spread = _error_colours(list(errors.values()))
    given = [picture(inputs[k], colours_for(inputs[k], "cividis")) for k in steady]
    tiles = [
        _tile(f"{', '.join(names[k] for k in steady)} → {outputs[-1]}", [*given, picture(truth[-1], field)], "input, truth")
    ]
    for s in scores:
        assert s.preview is not None
        pictures = [picture(s.preview[i, -1], field), picture(errors[s.name], spread)]
        tiles.append(_tile(s.name, pictures, f"error {percent(float(s.errors[s.primary][i]))}"))
    bars = _bar(field, html.escape(outputs[-1])) + _bar(spread, "|error| / max |truth|, one scale for all")
    ratio = report.signature.grid.lengths
    style = f"--ratio:{ratio[0] / ratio[1]:.4g};--count:{len(tiles)}"
    return f"<div class='sample' style='{style}'>{''.join(tiles)}<div class='bars'>{bars}</div></div>"


def _tile(name: str, pictures: Sequence[str], number: str = "") -> str:
    images = "".join(f"<img src='{p}' alt='{html.escape(name)}'>" for p in pictures)
    return f"<div class='tile'><div class='name'>{html.escape(name)}</div>{images}<div class='number'>{number}</div></div>"


def _bar(colours: Colours, name: str) -> str:
    return f"<span>{colours.low:.3g}<img src='{colours.bar()}' alt=''>{colours.high:.3g} &ensp;{name}</span>"


def _error_colours(errors: Sequence[np.ndarray]) -> Colours:
    values = np.concatenate([e[np.isfinite(e)].ravel() for e in errors]) if errors else np.array([1.0])
    high = 10 ** np.ceil(np.log10(max(float(np.quantile(values, 0.99)), 1e-12)))
    low = 10 ** np.floor(np.log10(max(float(np.quantile(values, 0.1)), 1e-12)))
    return Colours("inferno", float(min(max(low, 1e-4 * high), 0.1 * high)), float(high), log=True)


def _lines_of(report: Report, i: int, inputs: np.ndarray, truth: np.ndarray, colours: Mapping[str, str]) -> str:
    axis = report.signature.grid.axes[0]
    x = axis.coordinates()
    name, field = report.signature.outputs[-1], truth[-1]
    scores = [s for s in report.scores if s.preview is not None]
    k = 0
    if len(field) == len(x):
        after = x
    else:  # a continuation: the same component, later
        after, k = np.asarray(report.signature.times)[-len(field) :], -1
    curves = [
        Series(f"input {report.signature.inputs[k]}", x, inputs[k], "var(--muted)", "dashed"),
        Series("truth", after, field, "var(--ink)"),
    ]
    x = after
    curves += [Series(s.name, x, s.preview[i, -1], colours[s.name]) for s in scores if s.preview is not None]
    wrong = [Series(s.name, x, np.abs(s.preview[i, -1] - field), colours[s.name]) for s in scores if s.preview is not None]
    left = chart(curves, x_label=axis.name, y_label=name, y_log=False)
    right = chart(wrong, x_label=axis.name, y_label=f"|error| of {name}", y_log=True)
    pair = f"<div class='pair'><figure>{left}</figure><figure>{right}</figure></div>"
    return f"<div class='sample'>{pair}</div>"


# -- curves -----------------------------------------------------------------------------------------------------------


def _curves(
    report: Report,
    histories: Mapping[str, History],
    standings: Sequence[Standing],
    colours: Mapping[str, str],
    classical: Sequence[str],
) -> str:
    figures = [
        _cost_chart(report, colours, classical),
        _learning_chart(report, histories, colours),
        _rollout_chart(report, colours, classical),
        _spread_chart(report, colours, classical),
        _budget_chart(standings, colours),
    ]
    return f"<div class='pair'>{''.join(figures)}</div>"


def _figure(heading: str, drawing: str, caption: str) -> str:
    return f"<figure><h2>{heading}</h2>{drawing}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _floor(report: Report) -> list[Level]:
    return [] if report.label_error is None else [Level("error of the labels", report.label_error)]


def _error_name(report: Report) -> str:
    primary = report.scores[0].primary
    return f"{LABELS[primary]} error" if primary.startswith("relative") else LABELS.get(primary, primary)


def _cost_chart(report: Report, colours: Mapping[str, str], classical: Sequence[str]) -> str:
    timed = [s for s in report.scores if s.seconds_batch]
    if not timed:
        return ""
    ladder = sorted((s for s in timed if s.name in classical), key=lambda s: s.seconds_batch or 0.0)
    groups = [("classical solver", ladder, "squares", "var(--classical)")] if ladder else []
    groups += [(s.name, [s], "dots", colours[s.name]) for s in timed if s.name not in classical]
    series = []
    for name, scores, kind, colour in groups:
        bounds = [s.summary()[s.primary]["interval"] for s in scores]
        times, errors = [1e3 * (s.seconds_batch or np.nan) for s in scores], [error_of(s) for s in scores]
        labels = [s.name for s in scores]
        series.append(Series(name, times, errors, colour, kind, [b[0] for b in bounds], [b[1] for b in bounds], labels))
    drawing = chart(
        series, x_label="milliseconds per sample, in a batch", y_label=_error_name(report), x_log=True, levels=_floor(report)
    )
    return _figure("Error against time", drawing, "Lower left is better. The line is what the classical solver offers.")


def _learning_chart(report: Report, histories: Mapping[str, History], colours: Mapping[str, str]) -> str:
    series = []
    for name, history in histories.items():
        if len(history) < 2:
            continue
        colour = colours.get(name, "var(--ink)")
        if "validation" in history.names:
            series.append(Series(name, history["seconds"], history["validation"], colour))
        if "loss" in history.names:
            series.append(Series("", history["seconds"], history["loss"], colour, "dashed"))
    if not series:
        return ""
    drawing = chart(series, x_label="seconds of training", y_label="loss" if report.signature.per_item else _error_name(report))
    return _figure("Learning curves", drawing, "Solid: held-out samples. Dashed: training loss.")


def _spread_chart(report: Report, colours: Mapping[str, str], classical: Sequence[str]) -> str:
    if report.samples < 5 or report.scores[0].primary == "error_rate":  # zeros and ones
        return ""
    series = []
    for s in report.scores:
        errors = np.sort(s.errors[s.primary])
        share = 100 * (np.arange(len(errors)) + 0.5) / len(errors)
        series.append(Series(s.name, share, errors, colours[s.name], "dashed" if s.name in classical else "line"))
    drawing = chart(series, x_label="share of test samples, %", y_label=f"{_error_name(report)} below", levels=_floor(report))
    return _figure("All test samples", drawing, "Sorted errors: the left end is the easiest sample, the right end the hardest.")


def _budget_chart(standings: Sequence[Standing], colours: Mapping[str, str]) -> str:
    comparable = [s for s in standings if s.faster_bound != "at most" and s.invested]
    if not comparable:
        return ""
    last = max([1e5, *(10 * s.break_even for s in comparable if s.break_even is not None)])
    solves = np.geomspace(1, last, 40)
    series = []
    for s in comparable:
        series.append(Series(s.name, solves, (s.invested or 0.0) + s.seconds * solves, colours[s.name]))
        series.append(Series("", solves, s.classical_seconds * solves, colours[s.name], "dashed"))
    drawing = chart(series, x_label="number of solves", y_label="total seconds", x_log=True)
    caption = "Solid: data, training and inference. Dashed: the classical solver at that operator's accuracy."
    return _figure("What it costs in all", drawing, caption)


def _rollout_chart(report: Report, colours: Mapping[str, str], classical: Sequence[str]) -> str:
    series = [
        Series(s.name, s.rollout_times, s.rollout_errors.mean(0), colours[s.name], "dashed" if s.name in classical else "line")
        for s in report.scores
        if s.rollout_times is not None and s.rollout_errors is not None
    ]
    if not series:
        return ""
    drawing = chart(series, x_label="time", y_label="relative L2 error", levels=[Level("nothing learned", 1.0)])
    return _figure("Roll-out from the first frame", drawing, "Mean over test samples; each step starts from the step before.")


# -- provenance -------------------------------------------------------------------------------------------------------


def _making(report: Report) -> str:
    source, notes = report.provenance, report.notes
    rows = [
        (key, str(source[key]))
        for key in ("family", "equation", "description", "seed", "version")
        if source.get(key) not in (None, "")
    ]
    if isinstance(source.get("solver"), Mapping):
        rows.append(("labels by", ", ".join(f"{k} {v}" for k, v in source["solver"].items())))
    rows += [(str(k), str(v)) for k, v in notes.get("environment", {}).items()]
    if notes.get("label_seconds"):
        rows.append(("one label", milliseconds(notes["label_seconds"])))
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows)
    command = f"<pre>{html.escape(notes['command'])}</pre>" if notes.get("command") else ""
    return f"<h2>How this was made</h2>{command}<dl>{facts}</dl>"
