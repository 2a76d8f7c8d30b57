"""Tunnels as streams of HTTP/2 (RFC 9113 §8.5), spoken by python's h2."""

import json
import random
import socket
import ssl
import struct

import h2.settings
import pytest
from harness.apps import App, DuplexApp, EchoApp, HalfCloseApp, SinkApp, SourceApp
from harness.floods import FLOODS
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for

PAYLOAD = random.Random(7).randbytes(300_000)


def test_many_tunnels_on_one_connection_each_with_its_record(gateway):
    token = gateway.sign_in("alice")
    sizes = [0, 1, 16_383, 16_384, 16_385, 300_000]
    with H2Client(gateway) as client:
        tunnels = [client.connect(gateway.app.address, token) for _ in sizes]
        assert [t.status for t in tunnels] == [200] * len(sizes)
        for tunnel, size in zip(tunnels, sizes):
            tunnel.send(PAYLOAD[:size], end=True)
        for tunnel, size in zip(tunnels, sizes):
            assert tunnel.recv_all() == PAYLOAD[:size]
        records = wait_for(
            lambda: len(closed := [r for r in gateway.records() if r["event"] == "CLOSED"]) == len(sizes) and closed, "the records"
        )
    assert sorted(int(r["bytes_up"]) for r in records) == sizes
    assert sorted(int(r["bytes_down"]) for r in records) == sizes
    assert {r["close_reason"] for r in records} == {"CLIENT_CLOSED"}
    assert not any(r.get("bytes_uncertain") for r in records)
    assert len({r["client_port"] for r in records}) == 1
    gateway.assert_dense()


def test_figures_are_exact_both_ways_at_once(gateway):
    size = 20 << 20
    with DuplexApp(size) as app:
        gateway.allow("duplex", app.address)
        with H2Client(gateway) as client:
            tunnel = client.connect(app.address, gateway.sign_in("alice"))
            tunnel.send(bytes(size), end=True)
            tunnel.wait_over()
            assert (tunnel.reset, tunnel.received) == (None, size)
            record = gateway.wait_closed(lambda r: r["app"] == "duplex")
        assert (int(record["bytes_up"]), int(record["bytes_down"])) == (app.connections[0].received, app.connections[0].sent) == (size, size)


def test_each_half_close_is_carried_through(gateway):
    with HalfCloseApp() as app:
        gateway.allow("half", app.address)
        with H2Client(gateway) as client:
            token = gateway.sign_in("alice")
            tunnel = client.connect(app.address, token)
            tunnel.send(b"x" * 1000, end=True)
            assert tunnel.recv_all() == b"1000"
    with SourceApp(10) as app:
        gateway.allow("ten", app.address)
        with H2Client(gateway) as client:
            tunnel = client.connect(app.address, token)
            assert len(tunnel.recv_all()) == 10
            tunnel.send(b"y" * 70_000, end=True)
            record = gateway.wait_closed(lambda r: r["app"] == "ten")
        assert (int(record["bytes_up"]), int(record["bytes_down"])) == (70_000, 10)
        assert record["close_reason"] == "APP_CLOSED"


def test_refusals_say_the_same_as_over_http_1_1(gateway):
    token = gateway.sign_in("alice")
    with H2Client(gateway) as client:
        nobody = client.connect(gateway.app.address).wait_over()
        assert nobody.status == 407
        assert [value.split(" ")[0] for name, value in nobody.fields if name == "proxy-authenticate"] == ["Bearer", "Basic"]
        elsewhere = client.connect("other.example:443", token).wait_over()
        assert (elsewhere.status, bytes(elsewhere.data)) == (403, b"no policy allows this destination\n")
        assert elsewhere.headers["proxy-status"].startswith("usher; error=http_request_denied")
        gateway.allow("gone", "127.0.0.1:1")
        assert client.connect("127.0.0.1:1", token).wait_over().status == 502
        # The connection goes on for those who may.
        tunnel = client.connect(gateway.app.address, token)
        tunnel.send(b"still here", end=True)
        assert tunnel.recv_all() == b"still here"


def test_basic_credentials_per_stream(gateway):
    import base64

    gateway.account("bob")
    with H2Client(gateway) as client:
        for name in ("alice", "bob"):
            pair = base64.b64encode(f"{name}:{gateway.sign_in(name)}".encode()).decode()
            tunnel = client.connect(gateway.app.address, headers=[("proxy-authorization", f"Basic {pair}")])
            tunnel.send(name.encode(), end=True)
            assert tunnel.recv_all() == name.encode()
            gateway.wait_closed(lambda r: r["username"] == name)


def test_a_revoked_session_loses_its_streams_and_no_others(gateway):
    gateway.account("bob")
    tokens = {name: gateway.sign_in(name) for name in ("alice", "bob")}
    with H2Client(gateway) as client:
        tunnels = {name: client.connect(gateway.app.address, token) for name, token in tokens.items()}
        for name, tunnel in tunnels.items():
            tunnel.send(name.encode())
            assert tunnel.recv_exactly(len(name)) == name.encode()
        gateway.ctl("session", "revoke", "--account", "alice")
        tunnels["alice"].wait_over()
        assert tunnels["alice"].reset is not None
        assert gateway.wait_closed(lambda r: r["username"] == "alice")["close_reason"] == "REVOKED"
        tunnels["bob"].send(b"!", end=True)
        assert tunnels["bob"].recv_all() == b"!"


class Stalled(App):
    """Reads nothing until it is told to."""

    def __init__(self):
        import threading

        self.go = threading.Event()
        super().__init__()

    def serve(self, connection):
        self.go.wait(60)
        while data := connection.recv():
            pass


def test_an_app_that_reads_nothing_stalls_its_own_stream_only(gateway):
    with Stalled() as stalled:
        gateway.allow("stalled", stalled.address)
        token = gateway.sign_in("alice")
        with H2Client(gateway) as client:
            stuck = client.connect(stalled.address, token)
            sent = 0
            # As much as the windows let through: the app's kernel buffers, then the stream's window, then no more.
            while (room := client.h2.local_flow_control_window(stuck.number)) > 0:
                part = bytes(min(room, 16_384))
                client.h2.send_data(stuck.number, part)
                client.flush()
                sent += len(part)
                assert sent < 64 << 20
                other = client.connect(gateway.app.address, token) if sent % (1 << 18) == 0 else None
                if other:
                    other.send(PAYLOAD[:1000], end=True)
                    assert other.recv_all() == PAYLOAD[:1000]
            other = client.connect(gateway.app.address, token)
            other.send(PAYLOAD, end=True)
            assert other.recv_all() == PAYLOAD
            stalled.go.set()
            stuck.send(b"", end=True)
            record = gateway.wait_closed(lambda r: r["app"] == "stalled")
        assert int(record["bytes_up"]) == stalled.connections[0].received == sent


def test_a_client_that_opens_no_window_is_not_read_ahead_for(gateway):
    size = 200 << 20
    with SourceApp(size) as app:
        gateway.allow("source", app.address)
        token = gateway.sign_in("alice")
        with H2Client(gateway) as client:
            stuck = client.connect(app.address, token)
            stuck.reading = False
            client.wait(lambda: stuck.received == 65_535)  # the initial window
            other = client.connect(gateway.app.address, token)
            other.send(PAYLOAD, end=True)
            assert other.recv_all() == PAYLOAD
            assert stuck.received == 65_535
            assert app.connections[0].sent < 32 << 20  # what kernels hold
            stuck.cancel()
            record = gateway.wait_closed(lambda r: r["app"] == "source")
        assert record["close_reason"] == "CLIENT_ERROR"
        assert int(record["bytes_down"]) == 65_535


def test_a_cancelled_stream_is_a_client_error_and_resets_the_app(gateway):
    with SinkApp() as app:
        gateway.allow("sink", app.address)
        with H2Client(gateway) as client:
            tunnel = client.connect(app.address, gateway.sign_in("alice"))
            tunnel.send(b"x" * 10)
            wait_for(lambda: app.received == 10, "the app's bytes")
            tunnel.cancel()
            record = gateway.wait_closed(lambda r: r["app"] == "sink")
        assert record["close_reason"] == "CLIENT_ERROR"
        app.connections[0].over.wait(10)
        assert app.connections[0].end == "reset"


def test_a_lost_connection_ends_each_of_its_accesses(gateway):
    token = gateway.sign_in("alice")
    client = H2Client(gateway)
    for _ in range(5):
        assert client.connect(gateway.app.address, token).status == 200
    client.sock.close()
    closed = wait_for(lambda: len(c := [r for r in gateway.records() if r["event"] == "CLOSED"]) == 5 and c, "the records")
    assert {r["close_reason"] for r in closed} == {"CLIENT_ERROR"}
    wait_for(lambda: gateway.metric("usher_tunnels_open") == 0, "no tunnel")


def test_an_app_that_resets_resets_the_stream(gateway):
    class Resets(App):
        def serve(self, connection):
            import socket
            import struct

            connection.recv()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Resets() as app:
        gateway.allow("resets", app.address)
        with H2Client(gateway) as client:
            tunnel = client.connect(app.address, gateway.sign_in("alice"))
            tunnel.send(b"x")
            assert tunnel.wait_over().reset is not None
        assert gateway.wait_closed(lambda r: r["app"] == "resets")["close_reason"] == "APP_ERROR"


def test_the_sign_in_api_over_http_2(gateway):
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/.usher/v1/sessions")]
    with H2Client(gateway) as client:
        signed_in = client.request(
            [*fields, ("content-type", "application/json"), ("content-length", str(len(body)))], body=body
        ).wait_over()
        assert signed_in.status == 201
        token = json.loads(bytes(signed_in.data))["token"]
        me = client.get("/.usher/v1/sessions/current", token)
        assert (me.status, json.loads(bytes(me.data))["username"]) == (200, "alice")
        assert client.get("/.usher/v1/sessions/current", "x" * 43).status == 401
        assert client.get("/nowhere", token).status == 404
        assert client.get("/.usher/v1/sessions/current", token, method="DELETE").status == 204
        assert client.get("/.usher/v1/sessions/current", token).status == 401


def test_shutdown_drains_by_goaway(prepared):
    gateway = prepared(config={"timeouts": {"drain": "60s"}})
    token = gateway.sign_in("alice")
    with H2Client(gateway) as client:
        tunnel = client.connect(gateway.app.address, token)
        gateway.terminate()
        client.wait(lambda: client.goaway is not None)
        assert client.goaway == 0
        tunnel.send(b"until the end", end=True)
        assert tunnel.recv_all() == b"until the end"
        client.wait_closed()
        assert gateway.wait() == 0


def test_a_connection_without_streams_is_told_to_go(prepared):
    gateway = prepared(config={"timeouts": {"keep_alive": "1s"}})
    with H2Client(gateway) as client:
        tunnel = client.connect(gateway.app.address, gateway.sign_in("alice"))
        tunnel.send(b"x", end=True)
        assert tunnel.recv_all() == b"x"
        assert client.wait_closed() == 0  # GOAWAY NO_ERROR
    wait_for(lambda: gateway.metric("usher_connections_open") == 0, "no connection")


def test_a_client_that_says_nothing_is_closed(prepared):
    gateway = prepared(config={"timeouts": {"header": "1s"}})
    context = gateway.tls_context()
    context.set_alpn_protocols(["h2"])
    with gateway.open_raw(context) as silent:
        while silent.recv(4096):
            pass
    wait_for(lambda: gateway.metric("usher_connections_open") == 0, "no connection")


@pytest.mark.parametrize("kind", ["ping", "settings", "unknown", "window", "rapid reset"])
def test_floods_end_their_connection_and_no_other(gateway, kind):
    token = gateway.sign_in("alice")
    with H2Client(gateway) as bystander, H2Client(gateway) as attacker:
        tunnel = bystander.connect(gateway.app.address, token)
        try:
            for i in range(0, 20_000, 100):
                attacker.send_raw(b"".join(FLOODS[kind](j) for j in range(i, i + 100)))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # it was cut while it sent
        assert attacker.wait_closed() in (11, None)  # None: a reset came before it
        tunnel.send(b"still here", end=True)
        assert tunnel.recv_all() == b"still here"
    assert gateway.wait_record(lambda r: r["reasons"] == ["malformed-http2-flood"])["verdict"] == "DENIED"


def test_what_is_not_http_2_behind_its_alpn_is_on_record(gateway):
    context = gateway.tls_context()
    context.set_alpn_protocols(["h2"])
    with gateway.open_raw(context) as sock:
        sock.sendall(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        while sock.recv(4096):
            pass
    assert gateway.wait_record(lambda r: r["reasons"] == ["malformed-http2-protocol"])


def test_bytes_that_did_not_leave_are_not_counted(gateway):
    """The client's host takes no more, and then the client is gone: what lay here is taken off, and the record says so."""
    size = 64 << 20
    with SourceApp(size) as app:
        gateway.allow("source", app.address)
        client = H2Client(gateway, settings={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
        client.h2.increment_flow_control_window((1 << 31) - 1 - (1 << 24) - 65_535)
        client.flush()
        tunnel = client.start_connect(app.address, gateway.sign_in("alice"))
        client.wait(lambda: tunnel.received > 1 << 20)
        last = []
        wait_for(lambda: last.append(app.connections[0].sent) or (len(last) > 20 and last[-1] == last[-20]), "the app to be stopped")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        record = gateway.wait_closed(lambda r: r["app"] == "source")
        assert record["close_reason"] == "CLIENT_ERROR"
        assert record["bytes_uncertain"]
        assert tunnel.received <= int(record["bytes_down"]) <= app.connections[0].sent < size
