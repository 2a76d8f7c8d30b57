"""When the other side fails: an app that refuses, hangs or resets, a client that vanishes, a name that does not resolve. What the
client is told, and what is on record."""

import select
import socket
import ssl
import struct
import threading
import time

import pytest

from harness.apps import EchoApp, HangingApp, RefusingPort, ResettingApp, SinkApp, SourceApp
from harness.build import SCALE
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for
from harness.wire import exchange, head_is_there

LONG = 30 * SCALE
MIB = 1 << 20


def number(record, name):
    return int(record.get(name, 0))


def closed(gateway, app):
    return gateway.wait_record(lambda r: r.get("app") == app and r.get("event") == "CLOSED", timeout=LONG)


def vanish(sock):
    """Ends a connection with a reset, as a machine that crashed and came back does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# --- the app -----------------------------------------------------------------------------------------------------------------


def test_an_app_that_refuses(gateway):
    token = gateway.sign_in("alice")
    with RefusingPort() as port:
        gateway.allow("refusing", port.address)
        with gateway.connect(port.address, token=token) as tunnel:
            assert tunnel.status == 502
            assert tunnel.headers["proxy-status"].startswith("usher; error=connection_refused")
            assert tunnel.headers["connection"] == "close"
        record = closed(gateway, "refusing")
    assert record["verdict"] == "FAILED" and record["close_reason"] == "APP_UNREACHABLE"
    assert "connection-refused" in record["reasons"] and record["username"] == "alice"
    assert record["destination_ip"] == "127.0.0.1" and f"127.0.0.1:{record['destination_port']}" == port.address
    assert number(record, "bytes_up") == number(record, "bytes_down") == 0 and not record.get("bytes_uncertain")


def test_an_app_that_resets_at_once(gateway):
    token = gateway.sign_in("alice")
    with ResettingApp() as app:
        gateway.allow("resetting", app.address)
        with gateway.connect(app.address, token=token) as tunnel:
            # The reset may come before the 200 or behind it; it never looks like a proper end of the app's answer.
            assert tunnel.status in (200, 502)
            if tunnel.status == 200:
                tunnel.sock.settimeout(LONG)
                try:
                    tunnel.send(b"hello")
                    assert tunnel.sock.recv(100) == b""
                except OSError:
                    pass
        record = closed(gateway, "resetting")
    assert record["close_reason"] in ("APP_ERROR", "APP_UNREACHABLE")
    assert number(record, "bytes_down") == 0


class ResetAfter:
    """An app that sends `size` bytes, reads `size`, and then resets."""

    def __init__(self, size):
        self.size = size
        self.received = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        sock, _ = self.listener.accept()
        sock.settimeout(LONG)
        sock.sendall(b"d" * self.size)
        while self.received < self.size:
            chunk = sock.recv(65536)
            if not chunk:
                break
            self.received += len(chunk)
        vanish(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(LONG)


@pytest.mark.parametrize("size", [1, 16_385, MIB])
def test_an_app_that_resets_in_the_middle_has_its_bytes_on_record(gateway, size):
    token = gateway.sign_in("alice")
    with ResetAfter(size) as app:
        gateway.allow("breaking", app.address)
        with gateway.connect(app.address, token=token) as tunnel:
            assert tunnel.status == 200
            tunnel.sock.settimeout(LONG)
            received = b""
            while len(received) < size:
                received += tunnel.sock.recv(65536)
            tunnel.send(b"u" * size)
            # An end without close_notify: the client can tell it from a proper one.
            with pytest.raises(OSError):
                while tunnel.sock.recv(65536):
                    pass
                raise AssertionError("the app's reset looks like a proper end")
        record = closed(gateway, "breaking")
        assert app.received == size
    assert record["close_reason"] == "APP_ERROR" and record["verdict"] == "ALLOWED"
    assert number(record, "bytes_up") == size and number(record, "bytes_down") == size


def test_an_app_that_hangs_holds_nobody_but_its_own_clients(gateway):
    token = gateway.sign_in("alice")
    with HangingApp() as app:
        gateway.allow("hanging", app.address)
        hanging = [gateway.connect(app.address, token=token) for _ in range(20)]
        try:
            for tunnel in hanging:
                assert tunnel.status == 200
            # One of them sends until nobody takes any more.
            target = app.address.encode()
            sender = gateway.open_raw()
            exchange(sender, b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n" % (target, target, token.encode()), timeout=LONG, until=head_is_there)
            deadline = time.monotonic() + LONG
            stuck = 0
            while stuck < 20:
                assert time.monotonic() < deadline
                try:
                    sender.send(b"x" * 65536)
                    stuck = 0
                except ssl.SSLWantWriteError:
                    stuck += 1
                    select.select([], [sender], [], 0.02)
            started = time.monotonic()
            with gateway.connect(gateway.app.address, token=token) as other:
                assert other.status == 200
                other.send(b"hello")
                assert other.sock.recv(5) == b"hello"
            assert time.monotonic() - started < 2 * SCALE
        finally:
            vanish(sender)
            for tunnel in hanging:
                vanish(tunnel.sock)
        # The one whose bytes nobody takes is read from no more, so that its client is missed only when the app goes on or ends.
        wait_for(lambda: gateway.metric("usher_tunnels_open") <= 1, "the end of all others", timeout=LONG)
    wait_for(lambda: gateway.metric("usher_tunnels_open") == 0, "the end of all tunnels", timeout=LONG)
    ours = lambda: [r for r in gateway.records() if r.get("app") == "hanging" and r["event"] == "CLOSED"]
    wait_for(lambda: len(ours()) == 21, "all records", timeout=LONG)
    # What went into buffers that nobody read is not known to have arrived, and the record says so.
    assert [r["bytes_uncertain"] for r in ours() if number(r, "bytes_up") > 0] in ([], [True])


def test_an_app_that_closes_before_it_was_asked(gateway):
    token = gateway.sign_in("alice")
    with SourceApp(0) as app:
        gateway.allow("empty", app.address)
        with gateway.connect(app.address, token=token) as tunnel:
            assert tunnel.status == 200
            tunnel.half_close()
            assert tunnel.recv_all() == b""
        record = closed(gateway, "empty")
    assert record["close_reason"] in ("APP_CLOSED", "CLIENT_CLOSED") and record["verdict"] == "ALLOWED"
    assert number(record, "bytes_up") == number(record, "bytes_down") == 0 and not record.get("bytes_uncertain")


# --- the client --------------------------------------------------------------------------------------------------------------


def test_a_client_that_vanishes_while_it_sends(gateway):
    token = gateway.sign_in("alice")
    with SinkApp() as app:
        gateway.allow("sink", app.address)
        tunnel = gateway.connect(app.address, token=token)
        assert tunnel.status == 200
        sent = 0
        while sent < 8 * MIB:
            tunnel.send(b"u" * 65536)
            sent += 65536
        vanish(tunnel.sock)
        record = closed(gateway, "sink")
        wait_for(lambda: app.connections[-1].ended, "the app's end")
        received = app.connections[-1].received
    assert record["close_reason"] == "CLIENT_ERROR" and record["verdict"] == "ALLOWED"
    assert number(record, "bytes_up") <= received <= sent
    assert record["bytes_uncertain"] is True


def test_a_client_that_vanishes_while_it_receives(gateway):
    token = gateway.sign_in("alice")
    with SourceApp(512 * MIB) as app:
        gateway.allow("source", app.address)
        tunnel = gateway.connect(app.address, token=token)
        assert tunnel.status == 200
        received = 0
        while received < 4 * MIB:
            received += len(tunnel.sock.recv(65536))
        vanish(tunnel.sock)
        record = closed(gateway, "source")
        wait_for(lambda: app.connections[-1].ended, "the app's end")
    assert record["close_reason"] == "CLIENT_ERROR" and record["bytes_uncertain"] is True
    assert number(record, "bytes_down") <= app.connections[-1].sent
    # The app is not left to send to nobody.
    assert app.connections[-1].sent < 512 * MIB


def test_a_client_that_ends_without_a_close_notify_is_not_taken_for_a_proper_end(gateway):
    """Somebody on the way who cuts the connection cannot make the app believe that the client was done."""
    token = gateway.sign_in("alice")
    with SinkApp() as app:
        gateway.allow("sink", app.address)
        tunnel = gateway.connect(app.address, token=token)
        tunnel.send(b"DELETE FROM t WHERE id < 10")
        wait_for(lambda: app.connections and app.connections[-1].received == 27, "the app's bytes")
        # A FIN of TCP, and no close_notify of TLS.
        tunnel.sock.shutdown(socket.SHUT_WR)
        record = closed(gateway, "sink")
    assert record["close_reason"] == "CLIENT_ERROR" and number(record, "bytes_up") == 27


def test_a_client_that_vanishes_before_its_request_is_whole(gateway):
    sock = gateway.open_raw()
    # A first request, so that the handshake is over on both sides.
    assert exchange(sock, b"GET /.usher/v1/apps HTTP/1.1\r\nHost: x\r\n\r\n", timeout=LONG, until=lambda d: d.endswith(b"}")).answers[0].status == 401
    sock.setblocking(True)
    sock.sendall(b"CONNECT ")
    vanish(sock)
    record = gateway.wait_record(lambda r: r.get("reasons") == ["request-truncated"], timeout=LONG)
    assert record["event"] == "DENIED" and record["verdict"] == "DENIED"


def test_many_that_vanish_leave_nothing_behind(gateway):
    token = gateway.sign_in("alice")
    before = gateway.descriptors()
    for turn in range(60):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            assert tunnel.status == 200
            if turn % 3:
                tunnel.send(b"x" * 1000)
            if turn % 2:
                vanish(tunnel.sock)
    wait_for(lambda: gateway.metric("usher_tunnels_open") == 0 and gateway.metric("usher_connections_open") == 0, "the end of all", timeout=LONG)
    wait_for(lambda: gateway.descriptors() <= before + 2, "the descriptors", timeout=LONG)
    ours = lambda: [r for r in gateway.records() if r.get("app") == "demo"]
    wait_for(lambda: len(ours()) == 60 and all(r["event"] == "CLOSED" for r in ours()), "all records", timeout=LONG)
    assert {r["close_reason"] for r in ours()} <= {"CLIENT_ERROR", "CLIENT_CLOSED", "APP_CLOSED"}


# --- names -------------------------------------------------------------------------------------------------------------------


class NameServer:
    """Answers good.test with 127.0.0.1, dead.test with silence, and everything else with "no such name"."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.asked = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            if query == b"end":
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels), struct.unpack(">H", query[at + 1 : at + 3])
            question = query[12 : at + 5]
            self.asked.append(name)
            if name.endswith("dead.test"):
                continue
            known = name.endswith("good.test")
            answers = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes([127, 0, 0, 1]) if known and kind == 1 else b""
            head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, 1 if answers else 0, 0, 0)
            self.sock.sendto(head + question + answers, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.sendto(b"end", self.sock.getsockname())
        self.thread.join(LONG)
        self.sock.close()


@pytest.fixture
def names(prepared):
    with NameServer() as server:
        gateway = prepared(config={"dns": {"servers": [server.address], "timeout": "2s"}, "workers": 2})
        port = gateway.app.address.rsplit(":", 1)[1]
        gateway.allow("named", f"good.test:{port}", f"*.good.test:{port}", "none.test:80", "*.dead.test:80")
        gateway.name_server, gateway.app_port = server, port
        yield gateway


def test_a_name_that_resolves(names):
    token = names.sign_in("alice")
    with names.connect(f"good.test:{names.app_port}", token=token) as tunnel:
        assert tunnel.status == 200
        tunnel.send(b"hello")
        assert tunnel.sock.recv(5) == b"hello"
    record = names.wait_record(lambda r: r.get("destination_host") == "good.test" and r["event"] == "CLOSED")
    assert record["destination_ip"] == "127.0.0.1" and number(record, "bytes_up") == number(record, "bytes_down") == 5


def test_a_name_that_does_not_exist(names):
    token = names.sign_in("alice")
    with names.connect("none.test:80", token=token) as tunnel:
        assert tunnel.status == 502
        assert tunnel.headers["proxy-status"].startswith("usher; error=dns_error")
    record = names.wait_record(lambda r: r.get("destination_host") == "none.test")
    assert record["event"] == "DENIED" and record["verdict"] == "FAILED" and record["close_reason"] == "APP_UNREACHABLE"
    assert "name-not-found" in record["reasons"] and record["username"] == "alice" and record["app"] == "named"


def test_a_name_that_nobody_answers_for(names):
    token = names.sign_in("alice")
    started = time.monotonic()
    with names.connect("x.dead.test:80", token=token) as tunnel:
        assert tunnel.status == 504
        assert tunnel.headers["proxy-status"].startswith("usher; error=dns_timeout")
    assert 1.9 <= time.monotonic() - started <= 2 + 4 * SCALE
    record = names.wait_record(lambda r: r.get("destination_host") == "x.dead.test")
    assert record["event"] == "DENIED" and record["verdict"] == "FAILED" and "resolve-timeout" in record["reasons"]


def test_names_that_nobody_answers_for_do_not_slow_others(names):
    token = names.sign_in("alice")
    head = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer " + token.encode() + b"\r\n\r\n"
    waiting = []
    try:
        for i in range(100):
            target = b"n%d.dead.test:80" % i
            sock = names.open_raw()
            sock.sendall(head % (target, target))
            waiting.append(sock)
        wait_for(lambda: len({n for n in names.name_server.asked if n.endswith(".dead.test")}) == 100, "a hundred names asked for")
        started = time.monotonic()
        for host in ("127.0.0.1", "fresh.good.test"):
            with names.connect(f"{host}:{names.app_port}", token=token) as tunnel:
                assert tunnel.status == 200
        assert time.monotonic() - started < 1 * SCALE
        for sock in waiting:
            got = exchange(sock, b"", timeout=LONG)
            assert got.end == "eof" and got.answers[0].status == 504
    finally:
        for sock in waiting:
            sock.close()


def test_a_name_is_asked_for_only_when_policy_allows_it(names):
    token = names.sign_in("alice")
    with names.connect("secret.example:80", token=token) as tunnel:
        assert tunnel.status == 403
    assert "secret.example" not in names.name_server.asked
