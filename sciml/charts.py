"""Line and scatter charts as inline SVG: sharp at any size, coloured by the page's style sheet, values on hover.

Coordinates are data; the page supplies the classes `axis grid tick label` and colours `--c0 ... --c7`, `--ink`.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 46
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """One curve or set of points.

    name : for legend and hover; "" keeps it out of the legend.
    x, y : values; not-finite points are left out.   color : CSS colour.   kind : "line", "dots", "squares", "dashed".
    low, high : error bars in y.   labels : text beside each point.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    color: str = "var(--c0)"
    kind: str = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Level:
    """A horizontal line with a name."""

    name: str
    y: float


class Scale:
    """Data to pixels along one axis, linear or logarithmic, with round ticks."""

    def __init__(self, low: float, high: float, start: float, stop: float, log: bool):
        self.log, self.start, self.stop = log, start, stop
        if log:
            low, high = math.log10(low), math.log10(high)
        margin = 0.06 * (high - low) or (0.3 if log else 0.5 * abs(high) or 0.5)
        self.low, self.high = low - margin, high + margin

    def __call__(self, value: float) -> float:
        value = math.log10(value) if self.log else value
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the range."""
        if not self.log:
            return _round_values(self.low, self.high)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        for mantissas in ((1,), (1, 3), (1, 2, 5)):
            values = [m * 10.0**d for d in decades for m in mantissas if self.low <= math.log10(m * 10.0**d) <= self.high]
            if len(values) >= 3:
                return values[:: 1 + len(values) // 8]
        return _round_values(10.0**self.low, 10.0**self.high)


def _round_values(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= 6)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def tick_text(value: float) -> str:
    """Short text of a tick: 0.02, 300, 10⁻⁵."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    if -4 < exponent < 5:
        return f"{value:.10g}"
    mantissa = value / 10.0**exponent
    front = "" if abs(mantissa - 1) < 1e-9 else f"{mantissa:.2g}·"
    return f"{front}10{str(exponent).translate(_SUPERSCRIPT)}"


def chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = True,
    levels: Sequence[Level] = (),
    description: str = "",
) -> str:
    """An SVG element with axes, grid, curves, points, level lines and a legend below."""
    points = [(s, *_finite(s, x_log, y_log)) for s in series]
    xs = np.concatenate([x for _, x, _, _ in points]) if points else np.array([])
    ys = np.concatenate([*(y for _, _, y, _ in points), *(_bars(s, keep, y_log) for s, _, _, keep in points)]) if points else xs
    if xs.size == 0:
        return "<p class='muted'>Nothing to draw.</p>"
    ys = np.append(ys, [v.y for v in levels if np.isfinite(v.y) and (v.y > 0 or not y_log)])
    across = Scale(xs.min(), xs.max(), LEFT, WIDTH - RIGHT, x_log)
    up = Scale(ys.min(), ys.max(), HEIGHT - BOTTOM, TOP, y_log)
    body = [_axes(across, up, x_label, y_label)]
    body += [_level(v, up) for v in levels if np.isfinite(v.y) and (v.y > 0 or not y_log)]
    taken: list[tuple[float, float]] = []
    for s, x, y, keep in points:
        body.append(_draw(s, x, y, keep, across, up, taken))
    legend = "".join(_key(s) for s, x, _, _ in points if len(x) and s.name)
    title = f"<title>{html.escape(description)}</title>" if description else ""
    svg = f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>{title}{''.join(body)}</svg>"
    return f"{svg}<div class='legend'>{legend}</div>"


def _key(s: Series) -> str:
    shape = "square" if s.kind == "squares" else "dot"
    return f"<span><i class='{shape}' style='background:{s.color}'></i>{html.escape(s.name)}</span>"


def _finite(s: Series, x_log: bool, y_log: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = np.asarray(s.x, float), np.asarray(s.y, float)
    keep = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not x_log)) & ((y > 0) | (not y_log))
    return x[keep], y[keep], np.flatnonzero(keep)


def _bars(s: Series, keep: np.ndarray, y_log: bool) -> np.ndarray:
    values = np.array([bound[i] for bound in (s.low, s.high) if len(bound) for i in keep], float)
    return values[(values > 0) | (not y_log)] if values.size else values


def _axes(across: Scale, up: Scale, x_label: str, y_label: str) -> str:
    parts = []
    for value in up.ticks():
        y = up(value)
        parts.append(f"<line class='grid' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text class='tick' x='{LEFT - 7}' y='{y + 4:.1f}' text-anchor='end'>{tick_text(value)}</text>")
    for value in across.ticks():
        x = across(value)
        parts.append(f"<line class='grid' x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}'/>")
        parts.append(
            f"<text class='tick' x='{x:.1f}' y='{HEIGHT - BOTTOM + 17}' text-anchor='middle'>{tick_text(value)}</text>"
        )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f"<text class='label' x='{middle_x}' y='{HEIGHT - 8}' text-anchor='middle'>{html.escape(x_label)}</text>")
    turned = f"transform='translate(15 {middle_y}) rotate(-90)'"
    parts.append(f"<text class='label' {turned} text-anchor='middle'>{html.escape(y_label)}</text>")
    return "".join(parts)


def _level(level: Level, up: Scale) -> str:
    y = up(level.y)
    return (
        f"<line class='level' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
        f"<text class='tick' x='{WIDTH - RIGHT - 4}' y='{y - 5:.1f}' text-anchor='end'>{html.escape(level.name)}</text>"
    )


def _draw(s: Series, x: np.ndarray, y: np.ndarray, keep: np.ndarray, across: Scale, up: Scale, taken: list) -> str:
    px, py = [across(v) for v in x], [up(v) for v in y]
    parts = []
    if s.kind in ("line", "dashed") or (s.kind == "squares" and len(x) > 1):
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        dash = "" if s.kind == "line" else " stroke-dasharray='5 4'"
        parts.append(
            f"<polyline points='{path}' fill='none' stroke='{s.color}' stroke-width='2'{dash}>"
            f"<title>{html.escape(s.name)}</title></polyline>"
        )
    if s.kind in ("dots", "squares"):
        for j, i in enumerate(keep):
            if len(s.low) and len(s.high) and s.low[i] > 0:
                parts.append(
                    f"<line x1='{px[j]:.1f}' x2='{px[j]:.1f}' y1='{up(s.low[i]):.1f}' y2='{up(s.high[i]):.1f}' "
                    f"stroke='{s.color}' stroke-width='1.5'/>"
                )
            text = str(s.labels[i]) if len(s.labels) else s.name
            note = f"<title>{html.escape(text)}: {x[j]:.3g}, {y[j]:.3g}</title>"
            parts.append(
                f"<circle cx='{px[j]:.1f}' cy='{py[j]:.1f}' r='5.5' fill='{s.color}'>{note}</circle>"
                if s.kind == "dots"
                else f"<rect x='{px[j] - 4.5:.1f}' y='{py[j] - 4.5:.1f}' width='9' height='9' fill='{s.color}'>{note}</rect>"
            )
            if len(s.labels):
                parts.append(_beside(text, px[j], py[j], taken))
    return f"<g>{''.join(parts)}</g>"


def _beside(text: str, x: float, y: float, taken: list) -> str:
    """A label right of a point (left near the edge), moved down while it would cover another."""
    width = 6.3 * len(text)
    right = x + 10 + width < WIDTH - 4
    left = x + 10 if right else x - 10 - width
    at = y + 4
    while any(abs(at - b) < 14 and left < a + w and a < left + width for a, b, w in taken):
        at += 14
    taken.append((left, at, width))
    return f"<text class='mark' x='{left:.1f}' y='{at:.1f}'>{html.escape(text)}</text>"
