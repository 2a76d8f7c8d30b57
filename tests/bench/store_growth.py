#!/usr/bin/python3
"""What the store costs as it grows: store_growth.py sqlite, or store_growth.py postgresql://... (an empty database).

A real gateway makes the schema and one access, which SQL copies over the last 30 days, for 997 users and 50 apps: an access is two events
and a row. At each size it is measured, in the database alone, what a batch of 500 accesses costs to insert today (SQLite: with its commit;
PostgreSQL: rolled back), and what
the statement of 'audit query' costs for the 20 newest accesses of a user, of an app on one day, and of all; then 'usherctl audit query' as
a person waits for it. Medians; one line of JSON a size.
"""

import argparse
import json
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from harness.postgresql import psql  # noqa: E402
from harness.prepared import PreparedGateway  # noqa: E402

DAY = 86_400_000_000
DAYS, USERS, APPS, BATCH, TRIES = 30, 997, 50, 500, 15
CHUNK = 500_000
CACHE = -16384


class Sqlite:
    def __init__(self, gateway):
        self.connection = sqlite3.connect(gateway.data_dir / "usher.db", timeout=60, isolation_level=None)
        # As base/sql/sqlite_connection.cpp has it.
        for pragma in ("synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "wal_autocheckpoint=16000", f"cache_size={CACHE}"):
            self.connection.execute("PRAGMA " + pragma).fetchall()

    def columns(self, table):
        return [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]

    def make_days(self, today):
        pass

    def numbers(self, first, last):
        return f"(WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n) AS s"

    made_id = "'01900000-0000-7000-8000-' || printf('%012x', i)"

    def execute(self, *statements):
        self.connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            self.connection.execute(statement)
        self.connection.execute("COMMIT")

    def settle(self):
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def series(self, batches):
        """What each batch of statements takes, in ms, in one session, made durable as the gateway does: undoing one would forget what the
        cache holds."""
        times = []
        for statements in batches:
            began = time.perf_counter()
            self.connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                self.connection.execute(statement).fetchall()
            self.connection.execute("COMMIT")
            times.append(1000 * (time.perf_counter() - began))
        return times

    def one(self, statement):
        return self.connection.execute(statement).fetchone()[0]


class Postgresql:
    def __init__(self, gateway):
        self.url = gateway.config["database"]

    def run(self, statement):
        return psql(self.url, "SET search_path = usher; " + statement).removeprefix("SET\n")

    def columns(self, table):
        return self.run(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum").split()

    def make_days(self, today):
        for day in range(today - DAYS, today + 1):
            self.run(f"SELECT make_audit_day({day})")

    def numbers(self, first, last):
        return f"generate_series({first}::bigint, {last}) AS s(i)"

    made_id = "'01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')"

    def execute(self, *statements):
        self.run("BEGIN; " + "; ".join(statements) + "; COMMIT")

    def settle(self):
        psql(self.url, "VACUUM (ANALYZE)")
        psql(self.url, "CHECKPOINT")

    def series(self, batches):
        """What each batch of statements takes to plan and carry out, in ms, in one session and undone, as the server measures it."""
        explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "
        script = "".join("BEGIN; SET LOCAL search_path = usher; " + "".join(f"{explain}{statement}; " for statement in statements) + "ROLLBACK; " for statements in batches)
        shown = self.run(script)
        plans = [json.loads("[" + part) for part in re.split(r"^\[$", shown, flags=re.M)[1:] for part in [re.split(r"^\]$", part, flags=re.M)[0] + "]"]]
        assert len(plans) == sum(len(statements) for statements in batches)
        each = iter(plan["Planning Time"] + plan["Execution Time"] for (plan,) in plans)
        return [sum(next(each) for _ in statements) for statements in batches]

    def one(self, statement):
        return self.run(statement)


class Store:
    def __init__(self, database, access_id):
        self.database = database
        self.columns = database.columns("accesses")
        self.access_id = access_id
        self.now = int(database.one(f"SELECT opened_at FROM accesses WHERE access_id = '{access_id}'"))
        self.gateway_id = database.one(f"SELECT gateway_id FROM accesses WHERE access_id = '{access_id}'")
        self.today = self.now // DAY
        self.measured = 10**11  # what is measured is kept in SQLite, so its ids are new each time

    def copies(self, first, last, opened):
        numbers = self.database.numbers(first, last)
        moved = {
            "access_id": self.database.made_id, "username": f"'user-' || (i % {USERS})", "account_id": f"'account-' || (i % {USERS})",
            "app": f"'app-' || (i % {APPS})", "destination_host": f"'host-' || (i % {USERS})", "opened_at": opened, "closed_at": opened,
        }
        values = ", ".join(moved.get(column, column) for column in self.columns)
        yield (f"INSERT INTO accesses ({', '.join(self.columns)}) SELECT {values} FROM "
               f"(SELECT * FROM accesses WHERE access_id = '{self.access_id}' LIMIT 1) AS one, {numbers}")
        for type_, offset in ((1, 0), (3, 1)):
            yield ("INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload, started_at) "
                   f"SELECT 'copies', 2 * i + {offset}, type, {opened}, {self.database.made_id}, payload, {opened} "
                   f"FROM (SELECT * FROM audit_events WHERE access_id <> '' AND access_id = '{self.access_id}' AND type = {type_} LIMIT 1) "
                   f"AS one, {numbers}")

    def grow(self, first, last):
        # In the order of time, as records come; the last of them today.
        opened = f"({self.now} - {DAYS} * {DAY} + (i - {first}) * ({DAYS} * {DAY} / {last - first + 1}))"
        for begin in range(first, last + 1, CHUNK):
            self.database.execute(*self.copies(begin, min(begin + CHUNK - 1, last), opened))
        if isinstance(self.database, Postgresql):
            self.database.execute(*(
                f"INSERT INTO audit_days VALUES ('copies', {day}, 1, {2 * last + 1}) ON CONFLICT (gateway_id, day) DO UPDATE SET "
                "last_sequence = excluded.last_sequence" for day in range(self.today - DAYS, self.today + 1)))
        self.database.settle()

    def insert_ms(self):
        first = self.measured
        self.measured += TRIES * BATCH
        batches = [list(self.copies(first + n * BATCH, first + (n + 1) * BATCH - 1, str(self.now))) for n in range(TRIES)]
        return statistics.median(self.database.series(batches))

    def query_ms(self, where):
        statement = ("SELECT opened_at, access_id, payload FROM accesses WHERE {} AND opened_at >= {} AND opened_at < {} "
                     "ORDER BY opened_at DESC, access_id DESC LIMIT 21")
        # The stretch that is asked first: the newest 16 days.
        begin, end = (self.today - 15) * DAY, (self.today + 1) * DAY
        batches = [[statement.format(where.format(n=n), begin, end)] for n in range(TRIES)]
        return statistics.median(self.database.series(batches))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6], help="accesses")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gateway = PreparedGateway(Path(folder) / "gateway", database=options.database)
        gateway.prepare()
        with gateway.connect(gateway.app.address, token=gateway.sign_in("alice")) as tunnel:
            tunnel.send(b"x")
            tunnel.recv_exactly(1)
        access_id = gateway.wait_closed()["access_id"]
        database = (Sqlite if options.database == "sqlite" else Postgresql)(gateway)
        store = Store(database, access_id)
        database.make_days(store.today)
        there = 0
        for size in sorted(options.sizes):
            store.grow(there + 1, size)
            there = size
            waits = []
            for n in range(5):
                began = time.perf_counter()
                rows = gateway.ctl_json("audit", "query", "--filter", f'username = "user-{n}"', "--limit", "20")
                waits.append(1000 * (time.perf_counter() - began))
                assert 0 < len(rows) <= 20
            print(json.dumps({
                "database": options.database.split(":")[0], "accesses": size, "rows": 3 * size,
                "insert_us_an_access": round(1000 * store.insert_ms() / BATCH, 1),
                "of_a_user_ms": round(store.query_ms("username = 'user-{n}'"), 2),
                "of_an_app_on_a_day_ms": round(store.query_ms(
                    f"app = 'app-{{n}}' AND opened_at >= {(store.today - 3) * DAY} AND opened_at < {(store.today - 2) * DAY}"), 2),
                "newest_ms": round(store.query_ms("1 = 1"), 2),
                "usherctl_ms": round(statistics.median(waits), 1),
            }), flush=True)
        gateway.check()
        gateway.app.close()
        gateway.close()


if __name__ == "__main__":
    main()
