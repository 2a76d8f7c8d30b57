"""The short runs of tests/faults: real programs are made to fail at moments that a seed says, and ledgers of client, app and subscribers
are compared with the store. USHER_FAULTS_SEED takes another seed; a failure names its seed and folder. The long runs: docs/faults.md."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from faults import disk, kill, postgresql, syscalls  # noqa: E402

SEED = int(os.environ.get("USHER_FAULTS_SEED", "1"))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_kill_at_any_moment_of_a_mixed_load(tmp_path, store, request):
    database = "sqlite" if store == "sqlite" else request.getfixturevalue("postgresql_database")
    bench = kill.campaign(tmp_path / "gateway", SEED, 4 if store == "sqlite" else 2, database, longest=1.5)
    assert bench.total.answered > 10 and bench.total.exact > 5 and bench.total.crashed > 0 and bench.reconnects > 0


def test_a_file_system_call_that_fails_or_lasts_loses_nothing(tmp_path):
    if reason := syscalls.why_not():
        pytest.skip(reason)
    outcomes = []
    template = syscalls.Template(tmp_path, SEED)
    syscalls.slow_sync(template)
    for name, outcome, bench in syscalls.campaign(template, 5):
        if bench is None:
            raise AssertionError(f"seed {SEED}, {name}") from outcome
        outcomes.append(outcome)
    assert "served" in outcomes


def test_a_disk_that_fills_up_at_any_moment_loses_nothing(tmp_path):
    if reason := disk.why_not(tmp_path):
        pytest.skip(reason)
    bench = disk.campaign(tmp_path / "gateway", SEED, 2, longest=1.5)
    assert bench.total.answered > 10 and bench.total.exact > 5


def test_a_database_that_is_killed_and_loses_replies_loses_nothing(tmp_path):
    bench = postgresql.campaign(tmp_path / "gateway", SEED, 3, ("commit reply lost", "kill backends", "partition and cut"), longest=0.5)
    assert bench.total.answered > 30 and bench.lost_replies >= 2
