"""Equations from data: `recover(t, x)` and `Recovery`, see docs/recovery.md."""
