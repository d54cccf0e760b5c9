"""Fit any operator to PDE data with one call, and know honestly whether it beats the solver."""
