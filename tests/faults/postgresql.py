"""PostgreSQL stopped, killed, partitioned, and its replies to COMMIT lost, at random moments of a mixed load (ADVERSARIES K7): nothing
is lost, nothing is there twice, and nobody who is signed in waits for it."""

import os
import random
import signal
import time

from harness.build import SCALE
from harness.postgresql import Cluster, psql
from harness.wait import wait_for

from .bench import Bench
from .kill import wait_answered
from .proxy import Proxy

FAULTS_A_GATEWAY = 8
KINDS = ("stop", "kill backends", "kill postmaster", "partition", "partition and cut", "commit reply lost", "gateway killed meanwhile")


class Database:
    """A cluster behind the proxy."""

    def __init__(self):
        self.cluster = Cluster().start()
        self.proxy = Proxy(self.cluster.port)
        self.url = self.cluster.url.replace(f":{self.cluster.port}/", f":{self.proxy.port}/")

    def postmaster(self):
        return int((self.cluster.home / "data" / "postmaster.pid").read_text().splitlines()[0])

    def backends(self):
        """Those that serve the gateway."""
        rows = psql(self.cluster.url, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
        return [int(pid) for pid in rows.split()]

    def serves(self):
        try:
            return psql(self.cluster.url, "SELECT 1") == "1"
        except AssertionError:
            return False

    def close(self):
        self.proxy.close()
        self.cluster.close()


def kill(processes):
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the postmaster was faster: it ends all when one has died


def inflict(kind, database, seconds):
    """Begins; returns what ends it."""
    if kind == "stop":
        database.cluster.stop("immediate")
        time.sleep(seconds)  # how long it is away, as the seed says
        return database.cluster.start
    if kind == "kill backends":
        kill(database.backends())
        # The postmaster restarts all by itself.
        return lambda: wait_for(database.serves, "PostgreSQL to be back", 60)
    if kind == "kill postmaster":
        children = database.backends()
        os.kill(database.postmaster(), signal.SIGKILL)
        kill(children)
        time.sleep(seconds)
        return lambda: _restart(database)
    if kind.startswith("partition"):
        database.proxy.partition()
        time.sleep(seconds)
        return lambda: database.proxy.heal(cut=kind.endswith("cut"))
    database.proxy.lose_replies(3)
    return lambda: database.proxy.lose_replies(0)


def _restart(database):
    """The killed postmaster's children may take a moment to let go of its memory."""

    def try_once():
        try:
            database.cluster.start()
            return True
        except AssertionError:
            return False

    wait_for(try_once, "PostgreSQL to start again", 60)


def campaign(directory, seed, rounds, kinds=KINDS, longest=3.0, say=lambda text: None):
    rng = random.Random(f"postgresql {seed}")
    database = Database()
    bench = Bench(directory, seed, database.url, segment=rng.choice(["64KiB", "1MiB"]))
    bench.lost_replies = 0
    order = list(kinds)
    rng.shuffle(order)
    try:
        bench.prepare()
        bench.subscribe(1)
        for number in range(rounds):
            kind = order[number % len(order)]
            load = bench.load(http1=3, http2=1, pumps=1, holds=2)
            wait_answered(load, rng.randrange(10, 60))
            killed_at = None
            lost = database.proxy.lost
            if kind == "gateway killed meanwhile":
                # First replies are lost, then the gateway dies that would have asked where the store stands.
                database.proxy.lose_replies(2)
                wait_answered(load, load.answered + rng.randrange(1, 60))
                bench.gateway.kill()
                killed_at = time.monotonic()
                load.stop()
                database.proxy.lose_replies(0)
                bench.gateway.start()
            else:
                before = load.answered
                end = inflict(kind, database, rng.uniform(0.1, longest))
                # Nobody waits for the database: tunnels are opened while it is away.
                wait_answered(load, before + 20)
                assert load.answered >= before + 20, f"seed {seed}: no tunnel was opened during '{kind}'"
                if kind == "commit reply lost":
                    wait_for(lambda: database.proxy.lost >= lost + 2, "commits whose reply is lost", 60)
                end()
                load.stop()
            bench.drain()
            result = bench.compare(killed_at)
            bench.lost_replies += database.proxy.lost - lost
            refused = [a.status for a in load.accesses if a.status not in (200, None)]
            assert not refused, f"seed {seed}: during '{kind}' clients were refused: {refused[:5]}"
            say(f"seed {seed}, {kind}: {result.answered} answered, {result.exact} exact, replies lost {database.proxy.lost - lost}, "
                f"slowest answer {max((a.took for a in load.accesses if a.took), default=0) * 1000:.0f} ms")  # fmt: skip
        bench.finish()
        return bench
    finally:
        try:
            bench.close()
        finally:
            database.close()
