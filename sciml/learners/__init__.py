"""How one update is made: back-propagation (torch), functional gradients (Equinox and optax), local rules, closed forms."""
