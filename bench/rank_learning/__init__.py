"""How well and how fast a ranking's classifiers are learnt: against a hidden truth, and on a real log."""
