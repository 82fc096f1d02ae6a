"""The closed loop on one machine: start its processes, watch them, stop them, report."""
