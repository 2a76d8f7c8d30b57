"""SIGTERM: nothing new, what is live gets its time, then it is closed and on record; a second one ends the wait. Exit code 0."""

import signal
import socket
import sqlite3
import time

import pytest

from harness.build import SCALE
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for
from harness.wire import exchange

LONG = 60 * SCALE


def number(record, name):
    return int(record.get(name, 0))


def terminate(gateway):
    gateway.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping: " in gateway.log(), "the log's word of it")


def listening(gateway):
    try:
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5).close()
        return True
    except OSError:
        return False


def ended(sock):
    """Whether the peer has closed or reset the connection; waits for it."""
    sock.settimeout(LONG)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def shutdown_records(gateway):
    """Of the gateway once it runs again."""
    gateway.start()
    return gateway.records('close_reason = "SHUTDOWN"')


def test_without_tunnels_it_ends_at_once(gateway):
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 5 * SCALE
    assert not listening(gateway)
    gateway.start()
    names = [e["system"]["event"] for e in gateway.ctl_json("audit", "tail", "--since", "1h") if "system" in e]
    assert names == ["STARTED", "STOPPED", "STARTED"]


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_live_tunnels_get_their_time_and_new_ones_are_refused(prepared, which):
    gateway = prepared(config={"timeouts": {"drain": "60s"}})
    token = gateway.sign_in("alice")
    keep_alive = gateway.open_raw()
    request = b"GET /.usher/v1/sessions/current HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode()
    assert exchange(keep_alive, request, timeout=LONG, until=lambda d: d.endswith(b"}")).answers[0].status == 200

    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
        gateway.process.send_signal(which)
        wait_for(lambda: "stopping: " in gateway.log(), "the log's word of it")
        # The live one goes on.
        for _ in range(10):
            tunnel.send(b"still here")
            assert tunnel.sock.recv(10) == b"still here"
        # A new one on a connection that was open before is told so; a new connection is not taken.
        target = gateway.app.address.encode()
        connect = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n" % (target, target, token.encode())
        got = exchange(keep_alive, connect, timeout=LONG)
        assert got.end == "eof" and got.answers[0].status == 503
        assert got.answers[0].header("proxy-status").startswith("usher; error=")
        wait_for(lambda: not listening(gateway), "the listener's end")
        assert gateway.ready() == 503
        assert gateway.process.poll() is None
        # It ends as soon as the last one has.
        tunnel.half_close()
        assert tunnel.recv_all() == b""
    started = time.monotonic()
    assert gateway.wait() == 0
    assert time.monotonic() - started < 10 * SCALE
    gateway.start()
    records = [r for r in gateway.records() if r.get("app") == "demo"]
    assert len(records) == 1 and records[0]["close_reason"] == "CLIENT_CLOSED"
    assert number(records[0], "bytes_up") == number(records[0], "bytes_down") == 100
    assert [r["reasons"] for r in gateway.records('event = "DENIED"')] == [["shutting-down"]]


def test_what_outlives_its_time_is_closed_and_on_record(prepared):
    gateway = prepared(config={"timeouts": {"drain": "2s"}})
    token = gateway.sign_in("alice")
    tunnels = [gateway.connect(gateway.app.address, token=token) for _ in range(30)]
    for tunnel in tunnels:
        tunnel.send(b"12345")
        assert tunnel.sock.recv(5) == b"12345"
    started = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert 2 <= time.monotonic() - started < 2 + 8 * SCALE
    assert all(ended(t.sock) for t in tunnels)
    records = shutdown_records(gateway)
    assert len(records) == 30
    for record in records:
        assert record["event"] == "CLOSED" and record["verdict"] == "ALLOWED"
        assert number(record, "bytes_up") == number(record, "bytes_down") == 5
        assert number(record, "duration_us") >= 2e6


def test_no_drain_at_all(prepared):
    gateway = prepared(config={"timeouts": {"drain": "0s"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 5 * SCALE
        assert ended(tunnel.sock)
    assert len(shutdown_records(gateway)) == 1


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(prepared, second):
    gateway = prepared(config={"timeouts": {"drain": "10m"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
        terminate(gateway)
        tunnel.send(b"x")
        assert tunnel.sock.recv(1) == b"x"
        started = time.monotonic()
        gateway.process.send_signal(second)
        assert gateway.wait() == 0
        assert time.monotonic() - started < 8 * SCALE
        assert ended(tunnel.sock)
    records = shutdown_records(gateway)
    assert len(records) == 1 and number(records[0], "bytes_up") == 1


def test_a_revocation_cuts_during_the_drain_too(prepared):
    gateway = prepared(config={"timeouts": {"drain": "10m"}})
    gateway.account("bob", "another long password", "Finance", ["staff"], None)
    mine, other = gateway.sign_in("alice"), gateway.sign_in("bob", "another long password")
    with gateway.connect(gateway.app.address, token=mine) as tunnel, gateway.connect(gateway.app.address, token=other) as spared:
        assert tunnel.status == spared.status == 200
        terminate(gateway)
        started = time.monotonic()
        gateway.ctl("session", "revoke", "--account", "alice")
        assert ended(tunnel.sock)
        assert time.monotonic() - started < 1 * SCALE
        spared.send(b"x")
        assert spared.sock.recv(1) == b"x"
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.wait() == 0
    gateway.start()
    reasons = {r["username"]: r["close_reason"] for r in gateway.records() if r.get("app") == "demo"}
    assert reasons == {"alice": "REVOKED", "bob": "SHUTDOWN"}


def test_a_hangup_during_the_drain_harms_nothing(prepared):
    gateway = prepared(config={"timeouts": {"drain": "10m"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        terminate(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        tunnel.send(b"x")
        assert tunnel.sock.recv(1) == b"x"
        tunnel.half_close()
        assert tunnel.recv_all() == b""
    assert gateway.wait() == 0


def test_it_ends_although_a_connection_waits_for_what_asks_every_worker(prepared):
    """Signing out has all workers look at what is live. One that has no connection left must not be gone by then."""
    gateway = prepared(config={"workers": 2, "limits": {"sign_ins_burst": 100, "sign_ins_per_minute": 6000}})
    tokens = [gateway.sign_in("alice") for _ in range(6)]
    lock = sqlite3.connect(gateway.data_dir / "usher.db", timeout=30, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    held = []
    for token in tokens:
        held.append(gateway.open_raw())
        held[-1].sendall(f"DELETE /.usher/v1/sessions/current HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    # There are two threads for it, so these wait for the lock.
    wait_for(lambda: gateway.metric("usher_background_queue_tasks") == 4, "the requests to wait for the database")
    terminate(gateway)
    wait_for(lambda: not listening(gateway), "the listeners to be closed")
    lock.execute("ROLLBACK")
    lock.close()
    assert gateway.wait() == 0
