"""The short runs of tests/faults: real programs are made to fail at moments that a seed says, and ledgers of client, app and subscribers
are compared with the store. USHER_FAULTS_SEED takes another seed; a failure names its seed and folder. The long runs: docs/faults.md."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from faults import kill  # noqa: E402

SEED = int(os.environ.get("USHER_FAULTS_SEED", "1"))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_kill_at_any_moment_of_a_mixed_load(tmp_path, store, request):
    database = "sqlite" if store == "sqlite" else request.getfixturevalue("postgresql_database")
    bench = kill.campaign(tmp_path / "gateway", SEED, 4, database, longest=1.5)
    assert bench.total.answered > 20 and bench.total.exact > 10 and bench.total.crashed > 0 and bench.reconnects > 0
