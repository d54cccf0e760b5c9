"""A page about recovered equations: data, formulas with uncertainties, fitted trajectories, residual checks, code.

One HTML file that needs nothing else; formulas are MathML, drawings SVG.
"""

import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sympy

from pdes.printing import PagePrinter
from sciml.charts import Series, chart
from sciml.html_style import STYLE
from sciml.recovery.estimator import Recovery
from solvers.files import write_bytes

MOST_POINTS = 600
"""Drawn of one trajectory."""
LAGS = 20


def write(model: Recovery, path: Any, title: str) -> Path:
    """Write the page, atomically; returns its path."""
    path = Path(path)
    write_bytes(path, page(model, title).encode())
    return path


def page(model: Recovery, title: str) -> str:
    """The page as text."""
    parts = [
        f"<h1>{html.escape(title)}</h1><p class='lead'>{html.escape(_subject(model))}</p>",
        _remarks(model),
        "<h2>Equations</h2>",
        _formulas(model),
        _constants(model),
        _candidates(model),
        _inclusion(model),
        "<h2>Fitted trajectories</h2>",
        _trajectories(model),
        "<h2>Residuals</h2>",
        _residuals(model),
        f"<h2>Code</h2><pre>{html.escape(model.python())}</pre><pre>{html.escape(model.latex())}</pre>",
    ]
    return document(title, parts)


def document(title: str, parts: Sequence[str]) -> str:
    """An HTML page that needs nothing else, of pieces of HTML."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )


def drawing(title: str, series: Sequence[Series], y_label: str, x_label: str = "time") -> str:
    """One figure of a page: curves and points over time, thinned to what a page can hold."""
    thinned = []
    for one in series:
        step = max(1, np.size(one.x) // MOST_POINTS)
        thinned.append(replace(one, x=np.asarray(one.x)[::step], y=np.asarray(one.y)[::step]))
    drawn = chart(thinned, x_label=x_label, y_label=y_label, y_log=False)
    return f"<figure><h2>{html.escape(title)}</h2>{drawn}</figure>"


def whiteness(residuals: np.ndarray, lags: int = LAGS) -> tuple[np.ndarray, float]:
    """Autocorrelation of a series at lags 1, 2, ..., and the share of them inside 95 % bounds of white noise.

    residuals : (time,).
    """
    r = residuals - residuals.mean()
    lags = min(lags, len(r) - 2)
    total = max(float(r @ r), 1e-300)
    found = np.array([float(r[k:] @ r[:-k]) / total for k in range(1, lags + 1)])
    return found, float(np.mean(np.abs(found) < 1.96 / np.sqrt(len(r))))


def _subject(model: Recovery) -> str:
    parts = model.recording_.trajectories
    points = sum(len(one.t) for one in parts)
    names = ", ".join(model.system_.names)
    ranges = [
        f"{name} from {low:.4g} to {high:.4g}"
        for name, low, high in zip(
            model.system_.names, model.recording_.states().min(0), model.recording_.states().max(0), strict=True
        )
    ]
    kind = f"{len(parts)} trajectories" if len(parts) > 1 else "One trajectory"
    return f"{kind}, {points} points of {names}. The equations were fitted for {'; '.join(ranges)}, and are known there alone."


def _remarks(model: Recovery) -> str:
    lines = [*model.flags_, *model.notes_]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<div class='verdict'><ul>{items}</ul></div>" if items else ""


def _formulas(model: Recovery) -> str:
    printer = PagePrinter()
    lines = []
    for name, side in zip(model.system_.names, model.equations(4), strict=True):
        left = f"<mfrac><mrow><mi>d</mi><mi>{html.escape(name)}</mi></mrow><mrow><mi>d</mi><mi>t</mi></mrow></mfrac>"
        right = printer.doprint(sympy.sympify(side))
        right = right.removeprefix("<math>").removesuffix("</math>")
        lines.append(f"<p><math display='block'>{left}<mo>=</mo>{right}</math></p>")
    return "".join(lines)


def _constants(model: Recovery) -> str:
    booted = any(np.isfinite(c.low) for c in model.posterior_)
    head = ["equation", "constant of", "value", "standard error", *(["90 % interval (bootstrap)"] if booted else [])]
    rows = []
    for c in model.posterior_:
        where = f"{model.system_.names[c.component]}'" if c.component is not None else "all with this term"
        what = model.term_name(c.term) + ("" if c.inner is None else f", inner constant {c.inner + 1}")
        row = [where, what, f"{c.value:.10g}", f"{c.error:.2g}"]
        rows.append([*row, f"{c.low:.6g} … {c.high:.6g}"] if booted else row)
    return _table(head, rows)


def _candidates(model: Recovery) -> str:
    best = model.candidates_[0].bic
    rows = [
        [
            "; ".join(f"{n}' = {e}" for n, e in zip(c.system.names, c.equations(3), strict=True)),
            f"{c.bic - best:.1f}",
            f"{c.r2:.5f}",
        ]
        for c in model.candidates_
    ]
    return "<h2>Other structures</h2>" + _table(["equations", "BIC above the best", "R² on the data"], rows)


def _inclusion(model: Recovery) -> str:
    rows = [
        [f"{name}'", term, f"{100 * share:.0f} %"]
        for name, terms in model.inclusion_.items()
        for term, share in list(terms.items())[:8]
    ]
    if not rows:
        return ""
    note = "<p class='note'>How often weak regression on resampled rows chooses a term.</p>"
    return "<h2>Inclusion of terms</h2>" + _table(["equation", "term", "bootstrap samples"], rows) + note


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _trajectories(model: Recovery) -> str:
    figures = []
    for k, (one, band) in enumerate(zip(model.recording_.trajectories[:4], model.bands(), strict=False)):
        simulated = model.system_.simulated(band[:, 0].mean(axis=0), one.t, one.u if one.u.shape[1] else None)
        for d, name in enumerate(model.system_.names):
            series = [
                Series("data", one.t, one.x[:, d], "var(--classical)", "dots"),
                Series("fit, 90 % band", one.t, band[0, :, d], "var(--c0)"),
                Series("", one.t, band[1, :, d], "var(--c0)"),
                Series("simulated from the first state", one.t, simulated[:, d], "var(--c1)", "dashed"),
            ]
            figures.append(drawing(f"{name}, trajectory {k}", series, name))
    return f"<div class='pair'>{''.join(figures)}</div>"


def _residuals(model: Recovery) -> str:
    figures, rows = [], []
    for k, (one, band) in enumerate(zip(model.recording_.trajectories[:4], model.bands(), strict=False)):
        r = (one.x - band.mean(axis=0)) / one.scale
        for d, name in enumerate(model.system_.names):
            correlations, inside = whiteness(r[:, d])
            size = float(np.sqrt(np.mean(r[:, d] ** 2)))
            rows.append([name, str(k), f"{size:.2f}", f"{correlations[0]:.2f}", f"{100 * inside:.0f} %"])
            series = [Series(name, one.t, r[:, d], f"var(--c{d % 8})", "dots")]
            figures.append(drawing(f"{name}, trajectory {k}", series, "residual / noise"))
    head = [
        "component",
        "trajectory",
        "residual / estimated noise",
        "correlation at lag 1",
        f"of {LAGS} lags inside 95 % bounds",
    ]
    note = "<p class='note'>White residuals of the size of the noise mean that the equations leave nothing to explain.</p>"
    return _table(head, rows) + note + f"<div class='pair'>{''.join(figures)}</div>"
