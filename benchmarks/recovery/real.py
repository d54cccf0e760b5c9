"""A measured series: pelts of hares and lynx counted by the Hudson's Bay Company, 1900 to 1920, 21 years (package pints).

    python -m benchmarks.recovery.real [--figures FOLDER]

Equations are recovered from all years with polynomials of degree two (21 points of two components carry no more), beside the
textbook's structure with its constants fitted, and both from the first 16 years, whose continuation is compared with the last
five and with two forecasts that know nothing: the mean of the past, and the value of one period (ten years) before. The page of
the fit and a figure go to the folder given by --figures.

Howard, Modeling basics, Texas A&M University 2009 (the table); Elton, Nicholson, Journal of Animal Ecology 11, 1942 (the data).
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import sympy

from benchmarks.record import record
from benchmarks.recovery import figures
from sciml.recovery import Recovery

KEPT, PERIOD = 16, 10
NAMES = ("hare", "lynx")


def pelts() -> tuple[np.ndarray, np.ndarray]:
    """Years from 1900, and thousands of pelts (hare, lynx)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pints.toy  # pyright: ignore[reportMissingImports]

        model = pints.toy.LotkaVolterraModel()
        return np.asarray(model.suggested_times(), np.float64)[:21], np.asarray(model.suggested_values(), np.float64)


class LotkaVolterra:
    """The textbook's structure as a proposal, at rough constants."""

    def propose(self, t: np.ndarray, x: np.ndarray, n: int) -> list[list[sympy.Expr]]:
        """Its two equations, with starts for their constants."""
        hare, lynx = sympy.symbols("x0 x1", real=True)
        return [[0.5 * hare - 0.03 * hare * lynx, -0.8 * lynx + 0.03 * hare * lynx]]


def forecast(model: Recovery, t: np.ndarray) -> np.ndarray:
    """States at the times after those that were kept."""
    start = model.bands()[0].mean(axis=0)[-1]
    return model.system_.simulated(start, t[KEPT - 1 :])[1:]


def described(model: Recovery) -> dict[str, Any]:
    """Equations, constants and warnings as plain values."""
    return {
        "equations": [str(e) for e in model.equations(5)],
        "constants": [
            {
                "equation": c.component,
                "term": model.term_name(c.term),
                "value": c.value,
                "error": c.error,
                "low": c.low,
                "high": c.high,
            }
            for c in model.posterior_
        ],
        "inclusion": model.inclusion_,
        "flags": model.flags_,
        "candidates": [{"equations": [str(e) for e in c.equations(3)], "bic": c.bic, "r2": c.r2} for c in model.candidates_],
        "noise": model.sigma_,
    }


def fixed_structure(t: np.ndarray, x: np.ndarray) -> Recovery:
    """Lotka and Volterra's terms alone, their constants fitted."""
    return Recovery(library="poly:2", names=NAMES, proposals=(LotkaVolterra(),), search=False).fit(t, x)


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    """Relative L2; infinite where the forecast is not finite."""
    error = np.linalg.norm(found - truth) / np.linalg.norm(truth)
    return float(error) if np.isfinite(error) else float("inf")


def drawn(whole: Recovery, part: Recovery, t: np.ndarray, x: np.ndarray) -> figures.Figure:
    """All years and their fit; the forecast of the last years from the first."""
    fine = np.linspace(t[0], t[-1], 200)
    fit = whole.system_.simulated(whole.bands()[0].mean(axis=0)[0], fine)
    panels = [
        figures.Panel("all years", fine, None, fit, t, x),
        figures.Panel(f"forecast from the first {KEPT} years", t[KEPT:], x[KEPT:], forecast(part, t)),
    ]
    lines = [f"{name}' = {e}" for name, e in zip(NAMES, whole.equations(5), strict=True)]
    return figures.Figure("hare lynx", NAMES, lines, panels, "years from 1900")


def main() -> None:
    """Fit, forecast, store; write the page where a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, help="folder for the page of the fit and the figure")
    chosen = parser.parse_args()
    t, x = pelts()
    began = time.process_time()
    whole = Recovery("poly:2", n_boot=100, names=NAMES, seed=5).fit(t, x)
    seconds = time.process_time() - began
    part = Recovery("poly:2", names=NAMES).fit(t[:KEPT], x[:KEPT])
    textbook = fixed_structure(t, x)
    textbook_part = fixed_structure(t[:KEPT], x[:KEPT])
    rest = x[KEPT:]
    mean = np.broadcast_to(x[:KEPT].mean(axis=0), rest.shape)
    payload = {
        "years": len(t),
        "seconds": seconds,
        "all": described(whole),
        "textbook": described(textbook),
        "first": {"years": KEPT, "equations": [str(e) for e in part.equations(5)]},
        "forecast_error": {
            "recovered": relative(forecast(part, t), rest),
            "Lotka-Volterra": relative(forecast(textbook_part, t), rest),
            "mean of the past": relative(mean, rest),
            "one period before": relative(x[KEPT - PERIOD : len(t) - PERIOD], rest),
        },
    }
    record("recovery_real", payload)
    if chosen.figures is not None:
        figures.write("real", [drawn(whole, part, t, x)], chosen.figures)
        whole.report(chosen.figures / "real" / "report.html", "Hares and lynx, 1900 to 1920")
    print(whole, textbook, payload["first"], payload["forecast_error"], sep="\n")


if __name__ == "__main__":
    main()
