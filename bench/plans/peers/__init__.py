"""The peers' sides: programs that answer what Gavel's driver answers, each run by the Python of its environment."""
