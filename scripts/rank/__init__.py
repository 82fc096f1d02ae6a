"""The closed loop of ranking on one machine: start its processes, watch them, stop them, report."""
