"""A gateway under faults: alice may use the app of the ledgers, the journal's segments are small, subscribers follow, and at the end
everything is compared."""

import os
import sqlite3

from harness.build import SANITIZER
from harness.gateway import Gateway, free_port
from harness.postgresql import psql
from harness.wait import wait_for

from . import compare
from .ledger import Addresses, LedgerApp
from .load import Load
from .tailers import Subscriber

LONG = int(os.environ.get("USHER_FAULTS_PATIENCE", "120"))


class Wrong(AssertionError):
    """A promise was broken."""


class Bench:
    def __init__(self, directory, seed, database="sqlite", segment="64KiB", workers=2, config=None, port=None):
        self.seed = seed
        self.app = LedgerApp(port or free_port())
        self.addresses = Addresses()
        self.gateway = Gateway(directory, database, {
            "journal": {"segment_size": segment},
            "workers": workers,
            # One machine plays an office that comes back all at once, many times a minute.
            "limits": {"handshakes_per_second": 100000, "handshakes_burst": 100000},
            **(config or {}),
        })  # fmt: skip
        self.judged = 0  # events up to here have been compared
        self.rounds = 0
        self.subscribers = []
        self.total = compare.Result()
        self.reconnects = 0
        self.loads = []
        self.earlier = {}  # of the app's ledger, from before a copy was made

    def prepare(self):
        self.gateway.start()
        self.gateway.account("alice")
        self.gateway.apply(
            f"kind: app\nname: demo\ndestinations: ['127.0.0.0/8:{self.app.port}']\nallow_addresses: ['127.0.0.0/8']\n---\n"
            "kind: policy\nname: demo\napps: [demo]\nallow: [{departments: [Finance]}]\n"
        )
        self.token = self.gateway.sign_in("alice")
        self.gateway_id = self.status()["gateway_id"]
        return self

    def subscribe(self, count):
        for number in range(count):
            self.subscribers.append(Subscriber(self.gateway, f"{self.gateway_id}:0", f"{self.seed} subscriber {number}"))

    def load(self, **options):
        self.rounds += 1
        load = Load(self.gateway, self.token, self.app, self.addresses, f"{self.seed}.{self.rounds}", **options)
        self.loads.append(load)
        return load

    def status(self):
        (status,) = self.gateway.ctl_json("audit", "status")
        return status

    def shipped(self):
        status = self.status()
        return int(status["shipped_sequence"]) == int(status["durable_sequence"])

    def nothing_open(self):
        return int(self.status().get("open_accesses", 0)) == 0

    def drain(self):
        """Until nothing is open and everything is in the store."""
        wait_for(lambda: self.nothing_open() and self.shipped(), f"the store to have everything; it says {self.status()}", LONG)

    def stored_sequences(self):
        """What the store holds, by plain SQL: a list of (sequence, how often)."""
        statement = "SELECT sequence, count(*) FROM {}audit_events GROUP BY sequence ORDER BY sequence"
        if self.gateway.config["database"] != "sqlite":
            text = psql(self.gateway.config["database"], statement.format("usher."))
            return [tuple(map(int, line.split("|"))) for line in text.splitlines()]
        # Not read-only: what the write-ahead log holds is to be seen too.
        connection = sqlite3.connect(self.gateway.data_dir / "usher.db", timeout=30)
        try:
            return connection.execute(statement.format("")).fetchall()
        finally:
            connection.close()

    def compare(self, killed_at=None, time_bound=None):
        """Everything since the last comparison. The gateway serves, the load is over and the store has everything."""
        self.app.wait_over(LONG)
        cursor = f"{self.gateway_id}:{self.judged}"
        events = self.gateway.ctl_json("audit", "tail", "--after", cursor)
        rows = self.gateway.records(f"sequence > {self.judged}")
        clients = [access for load in self.loads for access in load.accesses]
        result = compare.accesses(clients, {**self.earlier, **self.app.entries()}, rows, killed_at, time_bound)
        result.wrong += compare.dense(events)
        if events and int(events[0]["sequence"]) != self.judged + 1:
            result.wrong.append(f"after {cursor} the stream begins with {events[0]}")
        result.wrong += compare.histories(events)
        last = int(events[-1]["sequence"]) if events else self.judged
        by_sequence = {int(e["sequence"]): e for e in events}
        rows_wrong = [r for r in rows if r != by_sequence.get(int(r["sequence"]), {}).get("access")]
        result.wrong += [f"the store's row is not the access's last event: {r}" for r in rows_wrong]
        # The tail has left records of itself, which it ends with.
        wait_for(lambda: int(self.status()["shipped_sequence"]) >= last, "the store to have all that was read", LONG)
        stored = self.stored_sequences()
        # The store may be ahead of the stream that was read before, by what the reading itself leaves.
        if [s for s, _ in stored[:last]] != list(range(1, last + 1)) or any(n != 1 for _, n in stored):
            result.wrong.append(f"the store's sequences are not dense up to {last}: {_holes(stored, last)}")
        self.judged = last
        self.loads = []
        self.app.forget()
        self.total.add(result)
        if result.wrong:
            raise self.wrong(result.wrong)
        return result

    def finish(self):
        """The subscribers' ledgers against the whole stream."""
        for subscriber in self.subscribers:
            subscriber.stop()
        events = self.gateway.ctl_json("audit", "tail", "--after", f"{self.gateway_id}:0")
        by_sequence = {int(e["sequence"]): e for e in events}
        wrong = compare.dense(events)
        for subscriber in self.subscribers:
            wrong += subscriber.compare(by_sequence)
            self.reconnects += subscriber.connects
        self.subscribers = []
        if wrong:
            raise self.wrong(wrong)
        if SANITIZER:
            assert self.gateway.stop() == 0  # whoever looks for leaks looks at the end

    def wrong(self, what):
        return Wrong(f"seed {self.seed}, folder {self.gateway.directory}: {len(what)} broken promises:\n" + "\n".join(what[:20]))

    def close(self):
        for subscriber in self.subscribers:
            subscriber.stop()
        for load in self.loads:
            load.over.set()
        try:
            self.gateway.check()
        finally:
            if self.gateway.process and self.gateway.process.poll() is None:
                self.gateway.kill()
            self.app.close()


def _holes(stored, last):
    have = {s for s, _ in stored}
    missing = [s for s in range(1, last + 1) if s not in have]
    return f"missing {missing[:10]}, twice {[s for s, n in stored if n != 1][:10]}"
