"""Clients take every descriptor that they can get: the gateway waits without spinning, and what is its own goes on."""

import os
import socket
import subprocess
import time

import pytest
from harness.build import SANITIZER, SCALE
from harness.gateway import BIN
from harness.prepared import PreparedGateway
from harness.wait import wait_for

LIMIT = 256


@pytest.fixture
def limited(tmp_path, monkeypatch):
    popen = subprocess.Popen

    def with_few(command, **options):
        if command[0] == BIN / "usherd":
            command = ["prlimit", f"--nofile={LIMIT}:{LIMIT}", *command]
        return popen(command, **options)

    monkeypatch.setattr("harness.gateway.subprocess.Popen", with_few)
    gateway = PreparedGateway(tmp_path / "limited", config={"journal": {"segment_size": "64KiB"}, "timeouts": {"handshake": "300s"}})
    gateway.prepare()
    yield gateway
    try:
        gateway.check()
    finally:
        gateway.app.close()
        gateway.close()
    gateway.check()


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_clients_that_take_all_descriptors_stop_nothing_but_new_connections(limited):
    gateway = limited
    assert "too few descriptors" in gateway.log() and "LimitNOFILE" in gateway.log()
    token = gateway.sign_in("alice")
    tunnel = gateway.connect(gateway.app.address, token)
    before = gateway.descriptors()
    crowd = [socket.create_connection(("127.0.0.1", gateway.port), timeout=30 * SCALE) for _ in range(1000)]
    try:
        wait_for(lambda: "no new connections for now" in gateway.log(), "the pause")
        wait_for(lambda: gateway.metric('usher_limits_reached_total{limit="descriptors"}') > 0, "the metric")
        # It waits: it does not spin, and it says so once, not ten times a second.
        started, spent = time.monotonic(), cpu_seconds(gateway.process.pid)
        while time.monotonic() - started < 2:
            time.sleep(0.1)
        spent = cpu_seconds(gateway.process.pid) - spent
        if not SANITIZER:
            assert spent < 0.05 * (time.monotonic() - started), f"{spent} s of CPU"
        assert gateway.log().count("no new connections for now") <= 4
        assert gateway.descriptors() < LIMIT

        # The control API, the journal's next segments and the store have descriptors of their own.
        first = len(list((gateway.data_dir / "journal").glob("*")))
        for i in range(40):
            gateway.apply("\n---\n".join(f"kind: app\nname: a{i}-{j}\ndestinations: ['h{i}-{j}.example:1']" for j in range(20)))
        assert first > 0
        events = gateway.events()
        assert len(events) > 800
        wait_for(gateway.shipped, "the store to have all of it")
        # Who is inside goes on.
        tunnel.send(b"still here")
        assert tunnel.recv_exactly(10) == b"still here"
    finally:
        for sock in crowd:
            sock.close()
    wait_for(lambda: "connections are accepted again" in gateway.log(), "the end of the pause")
    wait_for(lambda: gateway.metric("usher_connections_open") == 1, "the crowd to be gone", timeout=60)
    with gateway.connect(gateway.app.address, token) as other:
        assert other.status == 200
    tunnel.half_close()
    assert tunnel.recv_all() == b""
    tunnel.close()
    wait_for(lambda: gateway.descriptors() <= before, "no descriptor to be left over")
    gateway.assert_dense()


def test_who_is_signed_in_gets_an_app_though_strangers_hold_the_rest(limited):
    """A part of the descriptors is for connections to apps alone."""
    from harness.h2_client import H2Client

    gateway = limited
    token = gateway.sign_in("alice")
    with H2Client(gateway) as client:
        crowd = [socket.create_connection(("127.0.0.1", gateway.port), timeout=30 * SCALE) for _ in range(400)]
        try:
            wait_for(lambda: "no new connections for now" in gateway.log(), "the pause")
            tunnels = [client.connect(gateway.app.address, token) for _ in range(10)]
            assert [t.status for t in tunnels] == [200] * 10
            # And when those are used up as well, the answer is plain.
            more = [client.connect(gateway.app.address, token) for _ in range(40)]
            assert {t.status for t in more} == {200, 503}
        finally:
            for sock in crowd:
                sock.close()
