"""What the tests of the loop share with pytrain's."""

from __future__ import annotations

from tests.pytrain.conftest import one_thread

__all__ = ["one_thread"]
