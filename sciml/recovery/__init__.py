"""Equations from data: `recover(t, x)` and `Recovery`, see docs/recovery.md."""

from sciml.recovery.estimator import Candidate, Recovery, recover

__all__ = ["Candidate", "Recovery", "recover"]
