"""A peer that vanished without a word, as when a lid is shut or a cable is cut, is found and its tunnel is closed."""

import time

import pytest
from harness.apps import EchoApp, SourceApp
from harness.build import SANITIZER, SCALE
from harness.floods import resident_kib
from harness.gateway import free_port
from harness.half_open import EchoProcess, Peers
from harness.namespace import Namespace
from harness.prepared import prepared  # noqa: F401
from harness.tls_client import TlsClient
from harness.tunnel import Tunnel
from harness.wait import wait_for

HALF_OPEN = 4
TUNNELS, OTHERS, PEER_KIB = 40, 10, 96


@pytest.fixture
def elsewhere():
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def gateway(prepared):
    made = prepared(config={"listen": f"0.0.0.0:{free_port()}", "timeouts": {"half_open": f"{HALF_OPEN}s"}})
    yield made


def from_elsewhere(gateway, elsewhere, target, token):
    return Tunnel(TlsClient(gateway.tls_context(), elsewhere.connect(gateway.port), "localhost"), target, token)


def closed_within(gateway, app, started):
    record = gateway.wait_closed(lambda r: r["app"] == app, timeout=3 * HALF_OPEN)
    # Half of the time in silence, then three probes; a second of the kernel's own and one of the journal's.
    assert HALF_OPEN / 2 <= time.monotonic() - started <= (HALF_OPEN + 3) * SCALE
    wait_for(lambda: gateway.metric("usher_tunnels_open") == 0, "no tunnel")
    return record


def test_a_client_that_vanished_from_an_idle_tunnel(gateway, elsewhere):
    tunnel = from_elsewhere(gateway, elsewhere, gateway.app.address, gateway.sign_in("alice"))
    assert tunnel.status == 200
    tunnel.send(b"x" * 10)
    assert tunnel.recv_exactly(10)
    elsewhere.vanish()
    started = time.monotonic()
    record = closed_within(gateway, "demo", started)
    assert record["close_reason"] == "CLIENT_ERROR"
    assert record["client_ip"] == elsewhere.there
    # The client's last acknowledgement may have been on its way when it vanished.
    assert int(record["bytes_up"]) == 10 and (int(record["bytes_down"]) == 10 or record["bytes_uncertain"])
    wait_for(lambda: gateway.app.connections[0].ended, "the app to be told")
    tunnel.close()


def test_a_client_that_vanished_while_it_receives(gateway, elsewhere):
    with SourceApp(1 << 40) as app:
        gateway.allow("source", app.address)
        tunnel = from_elsewhere(gateway, elsewhere, app.address, gateway.sign_in("alice"))
        assert tunnel.recv_exactly(1 << 20)
        elsewhere.vanish()
        started = time.monotonic()
        record = closed_within(gateway, "source", started)
        assert record["close_reason"] == "CLIENT_ERROR" and record["bytes_uncertain"]
        assert 1 << 20 <= int(record["bytes_down"]) <= app.connections[0].sent
        tunnel.close()


def test_an_app_that_vanished_from_an_idle_tunnel(gateway, elsewhere):
    with elsewhere.run(lambda: EchoApp(host=elsewhere.there)) as app:
        gateway.allow("far", app.address)
        with gateway.connect(app.address, gateway.sign_in("alice")) as tunnel:
            assert tunnel.status == 200
            tunnel.send(b"x" * 10)
            assert tunnel.recv_exactly(10)
            elsewhere.vanish()
            started = time.monotonic()
            record = closed_within(gateway, "far", started)
            assert record["close_reason"] == "APP_ERROR"
            assert record["destination_ip"] == elsewhere.there
            assert (int(record["bytes_up"]), int(record["bytes_down"])) == (10, 10)
            with pytest.raises(OSError):  # not a proper end
                while tunnel.recv():
                    pass


def test_an_app_that_vanished_while_it_is_sent_to(gateway, elsewhere):
    with elsewhere.run(lambda: EchoApp(host=elsewhere.there)) as app:
        gateway.allow("far", app.address)
        with gateway.connect(app.address, gateway.sign_in("alice")) as tunnel:
            tunnel.send(b"x")
            assert tunnel.recv_exactly(1)
            elsewhere.vanish()
            started = time.monotonic()
            tunnel.send(b"y" * 1000)  # never acknowledged
            record = closed_within(gateway, "far", started)
        assert record["close_reason"] == "APP_ERROR"
        assert record["bytes_uncertain"]


def test_a_quiet_peer_that_is_there_is_left_alone(gateway, elsewhere):
    """It answers the probes: silence for longer than the limit is no reason to end a tunnel."""
    tunnel = from_elsewhere(gateway, elsewhere, gateway.app.address, gateway.sign_in("alice"))
    time.sleep(2 * HALF_OPEN)  # what is tested is that nothing happens for so long
    tunnel.send(b"still here")
    assert tunnel.recv_exactly(10) == b"still here"
    tunnel.close()


def test_many_clients_that_vanish_at_once_are_all_found_and_leave_nothing(prepared, elsewhere):
    """Ten of them ask for nothing, and nothing but the probes may find these either."""
    gateway = prepared(config={
        "listen": f"0.0.0.0:{free_port()}",
        "timeouts": {"half_open": f"{HALF_OPEN}s", "header": "5m", "keep_alive": "5m"},
    })  # fmt: skip
    with EchoProcess() as app:
        gateway.allow("held", app.address)
        token = gateway.sign_in("alice")
        with gateway.connect(gateway.app.address, token) as near:
            wait_for(lambda: gateway.metric("usher_connections_open") == 1, "the other connections to be over")
            descriptors, memory = gateway.descriptors(), resident_kib(gateway)
            with Peers(elsewhere, gateway, token, app.address, TUNNELS, OTHERS) as peers:
                assert int(peers.ready()) == TUNNELS + OTHERS
                assert gateway.metric("usher_connections_open") == TUNNELS + OTHERS + 1
                held = resident_kib(gateway)
                elsewhere.vanish()
                started = time.monotonic()
                wait_for(lambda: gateway.metric("usher_connections_open") == 1, "all of them to be found", 3 * HALF_OPEN)
                assert time.monotonic() - started <= (HALF_OPEN + 3) * SCALE
                wait_for(lambda: gateway.descriptors() <= descriptors, "no descriptor to be left over")
                wait_for(lambda: app.connections() == 0, "the app to be told of each")
            if not SANITIZER:
                assert held - memory <= PEER_KIB * (TUNNELS + OTHERS)
            near.send(b"still here")
            assert near.recv_exactly(10) == b"still here"

            def closed():
                return [r for r in gateway.records('app = "held"') if r["event"] == "CLOSED"]

            wait_for(lambda: len(closed()) == TUNNELS, "a record of each")
            assert {r["close_reason"] for r in closed()} == {"CLIENT_ERROR"}
            assert {(r["client_ip"], int(r["bytes_up"])) for r in closed()} == {(elsewhere.there, 1)}
