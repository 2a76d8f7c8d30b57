"""A record that the store refuses for ever: the others go on, it is seen, and it comes to its place when the cause is mended."""

from harness.build import SCALE
from harness.postgresql import psql
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for

LONG = 60 * SCALE


def use(gateway, token):
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        tunnel.send(b"abc")
        assert tunnel.recv_exactly(3) == b"abc"


def test_a_refused_record_is_parked_seen_and_retried(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    alice = gateway.sign_in("alice")
    with gateway.connect("127.0.0.1:1", token=alice) as refused:
        assert refused.status == 403
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)
    assert gateway.metric("usher_audit_parked_records") == 0
    psql(private_cluster.url, "ALTER TABLE usher.accesses ADD CONSTRAINT nobody CHECK (destination_port <> 2)")
    use(gateway, alice)
    with gateway.connect("127.0.0.1:2", token=alice) as refused:
        assert refused.status == 403
    use(gateway, alice)
    wait_for(lambda: gateway.ctl_json("audit", "parked", "list"), "a parked record", timeout=LONG)
    wait_for(gateway.shipped, "all others in the store", timeout=LONG)
    (parked,) = gateway.ctl_json("audit", "parked", "list")
    assert parked["event"] == "DENIED" and "23514" in parked["error"] and not parked.get("payload")
    (status,) = gateway.ctl_json("audit", "status")
    assert int(status["parked_records"]) == 1 and not status["store_error"]
    assert "audit parked list" in gateway.ctl("audit", "status").stdout
    wait_for(lambda: gateway.metric("usher_audit_parked_records") == 1, "the metric", timeout=LONG)
    # Each reading of the record is one more record to ship.
    wait_for(lambda: gateway.metric("usher_journal_shipping_lag_seconds") == 0, "no lag", timeout=LONG)
    assert len([r for r in gateway.records() if r.get("app") == "demo" and r["event"] == "CLOSED"]) == 2
    alarms = [line for line in gateway.log().splitlines() if "usherctl audit parked retry" in line]
    assert len(alarms) == 1

    shown = gateway.ctl("audit", "parked", "show", parked["record"]).stdout
    assert "23514" in shown and "alice" in shown
    (full,) = gateway.ctl_json("audit", "parked", "show", parked["record"])
    assert full["payload"] and full["decoded"]["access"]["destination_port"] == 2
    still = gateway.ctl("audit", "parked", "retry", check=False)
    assert still.returncode == 1 and "0 stored, 1 still parked" in still.stdout

    psql(private_cluster.url, "ALTER TABLE usher.accesses DROP CONSTRAINT nobody")
    assert gateway.ctl("audit", "parked", "retry", parked["record"]).stdout == "1 stored, 0 still parked\n"
    assert gateway.ctl_json("audit", "parked", "list") == []
    assert gateway.ctl("audit", "parked", "retry").stdout == "0 stored, 0 still parked\n"
    assert [r["verdict"] for r in gateway.records() if r.get("destination_port") == 2] == ["DENIED"]
    assert gateway.ctl("audit", "parked", "show", parked["record"], check=False).returncode == 1
    gateway.assert_dense()

    # One that can never be stored is given up: on purpose, and on record.
    psql(private_cluster.url, "ALTER TABLE usher.accesses ADD CONSTRAINT nobody CHECK (destination_port <> 3) NOT VALID")
    with gateway.connect("127.0.0.1:3", token=alice) as refused:
        assert refused.status == 403
    (parked,) = wait_for(lambda: gateway.ctl_json("audit", "parked", "list"), "another parked record", timeout=LONG)
    reason = ["--reason", "a port that never was"]
    unasked = gateway.ctl("audit", "parked", "discard", parked["record"], *reason, input="discard\n", check=False)
    assert unasked.returncode == 2 and "--yes" in unasked.stderr
    short = gateway.ctl("audit", "parked", "discard", parked["record"], "--reason", "x", "--yes", check=False)
    assert short.returncode == 1 and "reason: has 1 bytes" in short.stderr
    assert gateway.ctl("audit", "parked", "discard", parked["record"], *reason, "--yes").stdout.startswith("discarded ")
    assert gateway.ctl_json("audit", "parked", "list") == []
    events = gateway.ctl_json("audit", "tail", "--since", "1h")
    (discarded,) = [e["admin"] for e in events if e.get("admin", {}).get("action") == "parked_record.discard"]
    assert "a port that never was" in discarded["after_json"] and "23514" in discarded["before_json"]
    acts = [e["admin"]["action"] for e in gateway.ctl_json("audit", "tail", "--since", "1h") if "admin" in e]
    assert acts.count("parked_record.retry") == 2
