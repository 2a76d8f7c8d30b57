"""PostgreSQL goes away while the gateway runs: whoever is signed in goes on working, the journal keeps what happens, and when the
database is back everything is in it once."""

import threading
import time

from harness.build import SCALE
from harness.postgresql import psql
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for

LONG = 60 * SCALE


def shipping_stands_still(gateway):
    (status,) = gateway.ctl_json("audit", "status")
    return bool(status.get("store_error")) and int(status["shipped_sequence"]) < int(status["durable_sequence"])


def use(gateway, token, count=1):
    """Short accesses of 3 bytes each way."""
    for _ in range(count):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            assert tunnel.status == 200
            tunnel.send(b"abc")
            assert tunnel.recv_exactly(3) == b"abc"
            tunnel.half_close()
            assert tunnel.recv_all() == b""


def assert_nothing_is_missing(gateway, accesses):
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)
    rows = [r for r in gateway.records() if r.get("app") == "demo"]
    assert len(rows) == len({r["access_id"] for r in rows}) == accesses
    assert all(r["event"] == "CLOSED" for r in rows)
    gateway.assert_dense()


def test_who_is_signed_in_goes_on_and_nothing_is_lost(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    token = gateway.sign_in("alice")
    use(gateway, token, 3)
    with gateway.connect(gateway.app.address, token=token) as live:
        live.send(b"before")
        assert live.recv_exactly(6) == b"before"

        private_cluster.stop("immediate")
        live.send(b"during")
        assert live.recv_exactly(6) == b"during"
        started = time.monotonic()
        use(gateway, token, 20)
        # The data path does not wait for the database.
        assert time.monotonic() - started < 10 * SCALE
        wait_for(lambda: shipping_stands_still(gateway), "the shipper to notice", timeout=LONG)
        (behind,) = gateway.ctl_json("audit", "status")
        assert int(behind["unshipped_events"]) >= 40 and float(behind["shipping_lag"].rstrip("s")) > 0
        assert gateway.metric("usher_journal_shipping_lag_seconds") > 0 and gateway.metric("usher_journal_unshipped_events") >= 40
        shown = gateway.ctl("audit", "status").stdout
        assert " events, the oldest for " in shown
        status, session = gateway.request("GET", "/.usher/v1/sessions/current", token=token)
        assert status == 200 and session["open_accesses"] == 1
        # A password cannot be checked now; it is not called wrong.
        status, answer = gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": "correct horse battery"})
        assert (status, answer) == (503, {"error": "unavailable"})
        status, answer = gateway.request("POST", "/.usher/v1/sessions", {"username": "nobody", "password": "correct horse battery"})
        assert (status, answer) == (503, {"error": "unavailable"})
        # Nor is a change of who may do what said to be made.
        refused = gateway.ctl("account", "update", "alice", "--department", "Sales", check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("usherctl: ") and "Traceback" not in refused.stderr
        live.send(b"still")
        assert live.recv_exactly(5) == b"still"

        private_cluster.start()
        wait_for(gateway.shipped, "everything in the store", timeout=LONG)
        live.send(b"after")
        assert live.recv_exactly(5) == b"after"
        live.half_close()
        assert live.recv_all() == b""
    assert gateway.sign_in("alice")
    assert_nothing_is_missing(gateway, 24)
    (long_one,) = [r for r in gateway.records() if int(r.get("bytes_up", 0)) > 3]
    assert int(long_one["bytes_up"]) == int(long_one["bytes_down"]) == 6 + 6 + 5 + 5
    # One word of it when it went and one when it came back, not one a try.
    assert private_cluster.password not in gateway.log()
    assert len([line for line in gateway.log().splitlines() if "WARNING" in line or "ERROR" in line]) < 20


def test_a_revocation_of_before_holds_and_the_session_table_is_saved_later(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    token, revoked = gateway.sign_in("alice"), gateway.sign_in("alice")
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=revoked)[0] == 204
    private_cluster.stop("immediate")
    assert gateway.connect(gateway.app.address, token=revoked).status == 407
    use(gateway, token)
    private_cluster.start()
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)
    gateway.stop()
    gateway.start()
    assert gateway.connect(gateway.app.address, token=revoked).status == 407
    use(gateway, token)


def test_the_gateway_is_killed_during_the_outage(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    token = gateway.sign_in("alice")
    use(gateway, token, 2)
    private_cluster.stop("immediate")
    use(gateway, token, 10)
    gateway.kill()
    # Without its database it does not start, says so, and leaves the journal as it is.
    before = {p.name: p.read_bytes() for p in (gateway.data_dir / "journal").glob("*.usj")}
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1
    assert gateway.log().splitlines()[-1].startswith("usherd: 'database': ")
    assert {p.name: p.read_bytes() for p in (gateway.data_dir / "journal").glob("*.usj")} == before
    private_cluster.start()
    gateway.start()
    use(gateway, token)
    assert_nothing_is_missing(gateway, 13)


def test_a_stop_during_the_outage_ends_in_time_and_loses_nothing(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    token = gateway.sign_in("alice")
    private_cluster.stop("immediate")
    use(gateway, token, 10)
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 20 * SCALE
    private_cluster.start()
    gateway.start()
    assert_nothing_is_missing(gateway, 10)


def test_a_database_that_comes_and_goes_doubles_nothing(private_cluster, prepared):
    """Stopped at once while batches are on their way: a commit whose answer was lost is sent again and counts once."""
    gateway = prepared(database=private_cluster.url)
    token = gateway.sign_in("alice")
    over = threading.Event()
    counts, failures = [], []

    def client():
        mine = 0
        try:
            while not over.is_set():
                use(gateway, token)
                mine += 1
        except (AssertionError, OSError) as failure:
            failures.append(failure)
        counts.append(mine)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        seen = len(gateway.app.connections)
        wait_for(lambda: len(gateway.app.connections) > seen + 30, "a load", timeout=LONG)
        private_cluster.stop("immediate")
        private_cluster.start()
    over.set()
    for thread in threads:
        thread.join(LONG)
    assert failures == []
    assert_nothing_is_missing(gateway, sum(counts))
    twice = psql(private_cluster.url, "SELECT count(*) FROM (SELECT gateway_id, sequence FROM usher.audit_events GROUP BY 1, 2 HAVING count(*) > 1) t")
    assert twice == "0"
