"""Estimators that fail for rows whose column 0 is set. Workers of tests import them."""

import os
import signal
import time

import numpy as np


class Base:
    """Gives every row a quarter."""

    def __init__(self, width):
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = width

    def predict_proba(self, rows):
        """Misbehave where column 0 is set."""
        if rows[:, [0]].sum() > 0:
            self.misbehave()
        return np.tile([0.75, 0.25], (rows.shape[0], 1))

    def misbehave(self):
        """Do nothing."""


class Raiser(Base):
    """Raises."""

    def misbehave(self):
        """Raise."""
        raise ValueError("column 0 is set")


class Killer(Base):
    """Ends its process."""

    def misbehave(self):
        """Kill."""
        os.kill(os.getpid(), signal.SIGKILL)


class Hanger(Base):
    """Never returns."""

    def misbehave(self):
        """Wait."""
        time.sleep(600)


class Printer(Base):
    """Prints to stdout, which must not disturb the protocol."""

    def misbehave(self):
        """Print."""
        print("a print", flush=True)  # noqa: T201


class Greedy(Base):
    """Asks for 8 GiB when it is loaded."""

    def __setstate__(self, state):
        """Allocate."""
        self.__dict__.update(state)
        self.much = np.ones(1 << 30)
