"""Which programs are tested, and how patient the tests are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("USHER_BIN_DIR") or ROOT / "build" / "dev" / "bin").resolve()
# The usherctl of the orders that only prepare a test: an instrumented one takes ten times as long to start.
USHERCTL = Path(os.environ.get("USHER_USHERCTL") or BIN / "usherctl").resolve()
SANITIZER = os.environ.get("USHER_SANITIZER", "")

# Deadlines and small time-outs are multiplied by this: instrumented programs are several times slower.
SCALE = 4 if SANITIZER else 1


def size(full):
    """A transfer of `full` bytes, smaller where the programs are instrumented."""
    return full // 16 if SANITIZER else full
