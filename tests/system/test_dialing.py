"""Apps with several addresses, name servers that are dead, addresses that are silent: what they cost whom."""

import socket
import statistics
import time

import pytest
from harness.apps import EchoApp
from harness.build import SCALE
from harness.h2_client import H2Client
from harness.names import NameServer
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for


class BlackHole:
    """A port of 127.0.0.1 that takes no connection and refuses none: its queue is full."""

    def __init__(self, port=0, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, self.port))
            self.fillers.append(filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [self.listener, *self.fillers]:
            sock.close()


def set_up(gateway, target, token):
    started = time.monotonic()
    with gateway.connect(target, token) as tunnel:
        took = time.monotonic() - started
        return tunnel.status, took


@pytest.fixture
def server():
    with NameServer() as made:
        yield made


def test_a_black_holed_first_address_costs_a_moment_and_the_record_names_the_one_that_won(prepared, server):
    gateway = prepared(config={"dns": {"servers": [server.address]}})
    port = int(gateway.app.address.rsplit(":", 1)[1])
    with BlackHole(port, "127.0.0.2"):
        server.answers["app.example"] = ["127.0.0.2", "127.0.0.1"]
        gateway.allow("app", f"app.example:{port}")
        token = gateway.sign_in("alice")
        before = gateway.descriptors()
        status, took = set_up(gateway, f"app.example:{port}", token)
        assert status == 200
        assert 0.25 <= took < 0.3 + 0.7 * SCALE
        record = gateway.wait_closed(lambda r: r["app"] == "app")
        assert (record["destination_host"], record["destination_ip"]) == ("app.example", "127.0.0.1")
        wait_for(lambda: gateway.descriptors() <= before + 1, "the loser's descriptor")


def test_a_silent_address_and_a_dead_name_server_slow_nobody_else(prepared, server):
    """One worker, so that everybody shares it with whoever waits."""
    with NameServer() as dead, BlackHole() as hole:
        dead.silent = True
        gateway = prepared(config={"workers": 1, "dns": {"servers": [dead.address, server.address]}})
        gateway.allow("hole", f"127.0.0.1:{hole.port}")
        gateway.allow("lost", "*.lost.test:1")
        server.silent_names.add("lost.test")
        token = gateway.sign_in("alice")
        with H2Client(gateway) as stuck:
            quiet = [set_up(gateway, gateway.app.address, token)[1] for _ in range(30)]
            for i in range(50):
                stuck.start_connect(f"127.0.0.1:{hole.port}", token)
                stuck.start_connect(f"n{i}.lost.test:1", token)
            wait_for(lambda: gateway.metric("usher_tunnels_open") == 100, "a hundred that wait")
            busy = [set_up(gateway, gateway.app.address, token)[1] for _ in range(30)]
        assert statistics.median(busy) < 1.5 * statistics.median(quiet) + 0.02 * SCALE
        assert max(busy) < 1 * SCALE


def test_after_one_name_has_waited_for_a_dead_server_no_other_does(prepared, server):
    with NameServer() as dead:
        dead.silent = True
        gateway = prepared(config={"workers": 1, "dns": {"servers": [dead.address, server.address]}})
        port = gateway.app.address.rsplit(":", 1)[1]
        gateway.allow("named", f"*.example:{port}")
        token = gateway.sign_in("alice")
        for i in range(6):
            server.answers[f"n{i}.example"] = ["127.0.0.1"]
        took = [set_up(gateway, f"n{i}.example:{port}", token) for i in range(6)]
        assert [status for status, _ in took] == [200] * 6
        assert took[0][1] >= 0.9
        assert max(seconds for _, seconds in took[1:]) < 0.5 * SCALE
        assert "a name server is silent; the next one is asked first" in gateway.log()


def test_a_server_that_never_answers_for_ipv6_costs_the_resolution_delay(prepared, server):
    server.silent_for_v6 = True
    gateway = prepared(config={"dns": {"servers": [server.address]}})
    port = gateway.app.address.rsplit(":", 1)[1]
    server.answers["app.example"] = ["127.0.0.1"]
    gateway.allow("app", f"app.example:{port}")
    status, took = set_up(gateway, f"app.example:{port}", gateway.sign_in("alice"))
    assert status == 200
    assert took < 0.5 * SCALE


def test_names_are_cached_and_counted(prepared, server):
    server.ttl = 60
    gateway = prepared(config={"workers": 1, "dns": {"servers": [server.address]}})
    port = gateway.app.address.rsplit(":", 1)[1]
    server.answers["app.example"] = ["127.0.0.1"]
    gateway.allow("app", f"app.example:{port}", f"absent.example:{port}")
    token = gateway.sign_in("alice")
    for _ in range(5):
        assert set_up(gateway, f"app.example:{port}", token)[0] == 200
        assert set_up(gateway, f"absent.example:{port}", token)[0] == 502
    assert server.asked.count("app.example") == 2 and server.asked.count("absent.example") == 2  # A and AAAA, once
    outcomes = {o: gateway.metric('usher_dns_lookups_total{outcome="%s"}' % o) for o in ("answered", "cached", "absent", "failed")}
    assert outcomes == {"answered": 1, "cached": 8, "absent": 1, "failed": 0}


def test_a_name_that_is_rebound_at_each_question_never_leads_to_loopback(prepared, server):
    """ADVERSARIES §2.3: TTL 0, the answers alternate; only the address that is named may be dialled."""
    gateway = prepared(config={"dns": {"servers": [server.address]}})
    port = int(gateway.app.address.rsplit(":", 1)[1])
    with EchoApp(host="127.0.0.3", port=port) as allowed:
        gateway.apply(
            f"kind: app\nname: bound\ndestinations: ['rebound.example:{port}']\nallow_addresses: ['127.0.0.3']\n---\n"
            "kind: policy\nname: bound\napps: [bound]\nallow: [{departments: [Finance]}]\n"
        )
        server.ttl = 0
        server.rebound["rebound.example"] = ["127.0.0.3", "127.0.0.1"]
        token = gateway.sign_in("alice")
        statuses = []
        with H2Client(gateway) as client:
            for _ in range(200):
                stream = client.connect(f"rebound.example:{port}", token)
                statuses.append(stream.status)
                if not stream.over:
                    stream.cancel()
        assert set(statuses) == {200, 403}
        assert gateway.app.connections == []
        assert len(allowed.connections) == statuses.count(200)
