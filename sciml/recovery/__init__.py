"""Equations from data: `recover(t, x)` and `Recovery`, see docs/recovery.md."""

from sciml.recovery.candidates import Candidate
from sciml.recovery.estimator import Recovery, recover

__all__ = ["Candidate", "Recovery", "recover"]
