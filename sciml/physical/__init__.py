"""Networks whose layers are physical systems, fixed and not differentiable; digital linear layers between learn locally."""
