#!/usr/bin/python3
"""How long retention takes for a million expired rows: retention.py sqlite, or retention.py postgresql://... (an empty database).

A real gateway, one real access that is copied into the past by SQL (two events and a row each), and `usherctl retention run --confirm`.
Meanwhile another access is made every 100 ms, and the slowest of them is told: nobody may wait for a removal.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from harness.postgresql import psql  # noqa: E402
from harness.prepared import PreparedGateway  # noqa: E402

DAY = 86_400_000_000


def execute(gateway, statement):
    if gateway.config["database"] != "sqlite":
        return psql(gateway.config["database"], "SET search_path = usher; " + statement)
    connection = sqlite3.connect(gateway.data_dir / "usher.db", timeout=60)
    with connection:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return "\n".join("|".join(str(value) for value in row) for row in rows)


def fill(gateway, accesses, access_id):
    """Copies of one access, all 400 days old."""
    if gateway.config["database"] == "sqlite":
        columns = [line.split("|")[1] for line in execute(gateway, "PRAGMA table_info(accesses)").splitlines()]
        numbers = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {accesses}) SELECT i FROM n) AS s"
        made = "'01900000-0000-7000-8000-' || printf('%012x', i)"
    else:
        columns = execute(
            gateway, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'usher' AND table_name = 'accesses'"
        ).splitlines()
        columns = [column for column in columns if column != "SET"]
        numbers = f"generate_series(1, {accesses}) AS s(i)"
        made = "'01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')"
        execute(gateway, f"SELECT make_audit_day((opened_at - {400 * DAY}) / {DAY}) FROM accesses WHERE access_id = '{access_id}'")
    moved = {"access_id": made, "opened_at": f"opened_at - {400 * DAY}", "closed_at": f"closed_at - {400 * DAY}"}
    values = ", ".join(moved.get(column, column) for column in columns)
    execute(
        gateway,
        f"INSERT INTO accesses ({', '.join(columns)}) SELECT {values} FROM accesses, {numbers} WHERE access_id = '{access_id}'",
    )
    for type_, offset in ((1, 1_000_000_000), (3, 2_000_000_000)):
        execute(
            gateway,
            "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload, started_at) "
            f"SELECT 'copies', {offset} + i, type, recorded_at - {400 * DAY} + i, {made}, payload, started_at - {400 * DAY} FROM audit_events, {numbers} "
            f"WHERE access_id = '{access_id}' AND type = {type_}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in both tables together")
    parser.add_argument("--hold", action="store_true", help="with a hold that keeps none of them, so that each record is read")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gateway = PreparedGateway(Path(folder) / "gateway", database=options.database)
        gateway.prepare()
        token = gateway.sign_in("alice")

        def access():
            with gateway.connect(gateway.app.address, token=token) as tunnel:
                tunnel.send(b"x")
                tunnel.recv_exactly(1)

        access()
        access_id = gateway.wait_closed()["access_id"]
        accesses = options.rows // 3
        fill(gateway, accesses, access_id)
        gateway.apply("kind: retention_class\nname: access\nmax_days: 365\n")
        if options.hold:
            gateway.apply("kind: hold\nname: other\naccount: bob\n")
        done, waits = threading.Event(), []

        def others():
            while not done.wait(0.1):
                began = time.monotonic()
                access()
                waits.append(time.monotonic() - began)

        thread = threading.Thread(target=others)
        thread.start()
        began = time.monotonic()
        gateway.ctl("retention", "run", "--confirm", check=False)
        while True:
            (status,) = gateway.ctl_json("retention", "status")
            if status["runs"][0]["state"] != "RUNNING":
                break
            time.sleep(0.2)
        seconds = time.monotonic() - began
        done.set()
        thread.join()
        (count,) = [c for c in status["runs"][0]["counts"] if c["retention_class"] == "access"]
        print(json.dumps({
            "database": options.database.split(":")[0], "hold": options.hold, "state": status["runs"][0]["state"],
            "records_removed": int(count["removed"]), "rows_removed": 3 * int(count["removed"]), "seconds": round(seconds, 1),
            "accesses_meanwhile": len(waits), "slowest_access_ms": round(1000 * max(waits, default=0), 1),
        }))
        gateway.check()
        gateway.app.close()
        gateway.close()
    return 0 if int(count["removed"]) == accesses else 1


if __name__ == "__main__":
    sys.exit(main())
