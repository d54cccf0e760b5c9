"""Fields as pictures: arrays to PNG bytes through a colour map, upscaled by whole factors so that every cell stays a square.

Arrays are (x, y); the picture shows x to the right and y upwards.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np

TARGET_PIXELS = 224
"""Pictures are enlarged by the whole factor that comes nearest."""


@dataclass(frozen=True)
class Colours:
    """A colour map over a range of values, linear or logarithmic."""

    name: str
    low: float
    high: float
    log: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(…) values to (…, 3) bytes; values that are not finite are grey."""
        from matplotlib import colormaps

        values = np.asarray(values, float)
        low, high = (np.log10(self.low), np.log10(self.high)) if self.log else (self.low, self.high)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = (np.log10(np.maximum(values, self.low)) if self.log else values) - low
        share = np.clip(scaled / max(high - low, np.finfo(float).tiny), 0, 1)
        colours = np.asarray(colormaps[self.name](np.nan_to_num(share)))[..., :3]
        colours[~np.isfinite(values)] = 0.5
        return np.round(255 * colours).astype(np.uint8)

    def bar(self) -> str:
        """The map itself as a picture, left to right."""
        along = np.linspace(0, 1, 128)
        values = self.low * (self.high / self.low) ** along if self.log else self.low + (self.high - self.low) * along
        return png(self(values)[None])


def colours_for(values: np.ndarray, sequential: str = "viridis") -> Colours:
    """A map that suits a field: diverging about zero when it changes sign, else the `sequential` one."""
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        bound = max(-low, high)
        return Colours("RdBu_r", -bound, bound)
    return Colours(sequential, low, high if high > low else low + 1.0)


def picture(values: np.ndarray, colours: Colours) -> str:
    """One field, (x, y) or a middle slice of (x, y, z), as a PNG data address."""
    while values.ndim > 2:
        values = values[..., values.shape[-1] // 2]
    rows = np.flip(values.T, 0)
    scale = max(1, round(TARGET_PIXELS / max(rows.shape)))
    return png(np.repeat(np.repeat(colours(rows), scale, 0), scale, 1))


def png(pixels: np.ndarray) -> str:
    """(row, column, 3) bytes as a data address."""
    from PIL import Image  # comes with matplotlib

    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
