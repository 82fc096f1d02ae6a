"""`python -m bench.peers.weights VERSION OUT.npz`: write a version's variables, for servers without TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def main(version: Path, out: Path) -> None:
    """Write table, bias, head, kernels/0 …, biases/0 … as arrays."""
    reader = tf.train.load_checkpoint(str(version / "variables/variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith(SUFFIX)]
    np.savez(out, **{name.removesuffix(SUFFIX): reader.get_tensor(name) for name in names})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
