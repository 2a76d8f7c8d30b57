"""docs/store.md is right: its questions run, as the role that it describes, and that role may do nothing else."""

import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from harness.postgresql import psql
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "store.md").read_text()
VIEWS = ("access_log", "event_log", "retention_log")


def questions(kind):
    found = re.findall(rf"^```sql {kind}\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(found) == 6
    return found


@pytest.fixture
def gateway(prepared, database):  # noqa: F811
    gateway = prepared(database=database)
    token = gateway.sign_in("alice")
    for _ in range(3):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            tunnel.send(b"abc")
            assert tunnel.recv_exactly(3) == b"abc"
    gateway.wait_closed(lambda r: r["app"] == "demo")
    gateway.ctl("retention", "run")
    wait_for(gateway.shipped, "everything in the store")
    return gateway


def rows_of(gateway, statement):
    if gateway.config["database"] != "sqlite":
        shown = psql(gateway.config["database"], "SET ROLE usher_reader; " + statement)
        return [line for line in shown.splitlines() if line not in ("SET", "")]
    connection = sqlite3.connect(f"file:{gateway.data_dir / 'usher.db'}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_each_question_of_the_page_is_answered(gateway):
    kind = "sqlite" if gateway.config["database"] == "sqlite" else "postgresql"
    for statement in questions(kind):
        rows = rows_of(gateway, statement)
        assert rows or "event IN" in statement, statement  # nothing is open


def test_the_page_names_the_columns_that_there_are(gateway):
    documented = {word for line in PAGE.splitlines() for word in re.findall(r"`([a-z_]+)`", line)}
    for view in VIEWS:
        if gateway.config["database"] == "sqlite":
            columns = {row[1] for row in rows_of(gateway, f"PRAGMA table_info({view})")}
        else:
            columns = set(rows_of(gateway, f"SELECT attname FROM pg_attribute WHERE attrelid = 'usher.{view}'::regclass AND attnum > 0"))
        assert columns and columns <= documented


def test_who_only_reads_sees_the_views_and_nothing_else(gateway):
    if gateway.config["database"] == "sqlite":
        pytest.skip("SQLite has no roles")
    tables = set(psql(gateway.config["database"], "SELECT relname FROM pg_class WHERE relnamespace = 'usher'::regnamespace AND relkind IN ('r', 'p', 'v')").split())
    assert {"accounts", "sessions", "accesses", "audit_events", "audit_parked"} <= tables
    for table in tables - set(VIEWS):
        with pytest.raises((AssertionError, subprocess.CalledProcessError, RuntimeError)):
            rows_of(gateway, f'SELECT 1 FROM usher."{table}" LIMIT 1')
    for statement in ("DELETE FROM usher.access_log", "UPDATE usher.event_log SET sequence = 0", "CREATE TABLE usher.x (i int)",
                      "SELECT usher.make_audit_day(20000)"):
        with pytest.raises((AssertionError, subprocess.CalledProcessError, RuntimeError)):
            rows_of(gateway, statement)
