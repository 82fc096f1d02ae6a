"""The closed loop's own parts, without its processes."""
