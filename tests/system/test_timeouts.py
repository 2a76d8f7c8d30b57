"""Every wait has an end: the handshake, a request's head, the dial, a tunnel without traffic, a connection between requests, a tunnel
that is older than any may be."""

import socket
import ssl
import threading
import time

import pytest

from harness.build import SCALE
from harness.prepared import module_prepared, prepared  # noqa: F401
from harness.tunnel import ends_within
from harness.wait import wait_for
from harness.wire import exchange, head_is_there

SHORT = 1.0
LATE = 4 * SCALE  # how much later than configured a deadline may be noticed
LONG = 30 * SCALE
HOST = b"Host: gateway.example\r\n"
CURRENT = b"GET /.usher/v1/sessions/current HTTP/1.1\r\n" + HOST


@pytest.fixture(scope="module")
def short(module_prepared):
    """Where everything but the dial, the idle time and the duration of a tunnel is short."""
    return module_prepared(config={"timeouts": {"handshake": "1s", "header": "1s", "keep_alive": "1s", "connect": "1s"}})


def within(seconds, configured=SHORT):
    assert configured * 0.95 <= seconds <= configured + LATE, seconds


class Drip:
    """Sends a byte every 50 ms until the peer is gone."""

    def __init__(self, sock, data):
        self.sock, self.data, self.over = sock, data, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for byte in self.data:
            if self.over.wait(0.05):
                return
            try:
                self.sock.send(bytes([byte]))
            except OSError:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(LONG)


def until_closed(sock, started):
    """(what came, seconds from `started`)"""
    sock.settimeout(LONG)
    received = b""
    try:
        while chunk := sock.recv(65536):
            received += chunk
    except TimeoutError:
        raise AssertionError("the connection was not closed") from None
    except OSError:
        pass
    return received, time.monotonic() - started


# --- the handshake -----------------------------------------------------------------------------------------------------------


def test_a_connection_without_a_handshake_is_closed(short):
    with socket.create_connection(("127.0.0.1", short.port)) as plain:
        received, seconds = until_closed(plain, time.monotonic())
    assert received == b""
    within(seconds)


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_handshake_that_drips_is_timed_as_a_whole(short):
    hello = client_hello()
    assert len(hello) * 0.05 > 2 * SHORT
    with socket.create_connection(("127.0.0.1", short.port)) as plain:
        started = time.monotonic()
        with Drip(plain, hello):
            received, seconds = until_closed(plain, started)
    assert received == b""
    within(seconds)


def test_half_a_handshake_is_closed(short):
    with socket.create_connection(("127.0.0.1", short.port)) as plain:
        started = time.monotonic()
        plain.sendall(client_hello())
        received, seconds = until_closed(plain, started)
    assert received[:1] == b"\x16"  # a ServerHello, and then nothing
    within(seconds)


# --- the head ----------------------------------------------------------------------------------------------------------------


def test_a_connection_without_a_request_is_closed(short):
    with short.open_raw() as sock:
        received, seconds = until_closed(sock, time.monotonic())
    assert received == b""
    within(seconds)


def timeouts(gateway):
    """How many requests timed out, as the metrics count them."""
    return gateway.metric('usher_denied_total{reason="request-timeout"}')


def timeouts_on_record(gateway):
    return sum(int(r.get("count", 0)) or 1 for r in gateway.records('event = "DENIED"') if r["reasons"] == ["request-timeout"])


def test_a_head_that_drips_is_timed_as_a_whole_and_on_record(short):
    before = timeouts(short)
    with short.open_raw() as sock:
        started = time.monotonic()
        with Drip(sock, CURRENT * 10):
            received, seconds = until_closed(sock, started)
    assert received == b""
    within(seconds)
    # The connection is closed first, and counted a moment later.
    wait_for(lambda: timeouts(short) == before + 1, "the timeout to be counted")
    wait_for(lambda: timeouts_on_record(short) == before + 1, "the record")


def test_a_head_that_stops_is_closed(short):
    for part in (b"G", CURRENT, CURRENT + b"Authorization: Bearer ", CURRENT + b"\r"):
        with short.open_raw() as sock:
            started = time.monotonic()
            sock.sendall(part)
            received, seconds = until_closed(sock, started)
        assert received == b""
        within(seconds)


def test_a_body_that_drips_is_timed_as_a_whole(short):
    head = b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 200\r\n\r\n"
    with short.open_raw() as sock:
        sock.sendall(head)
        started = time.monotonic()
        with Drip(sock, b'{"username":"alice' + b"x" * 180):
            received, seconds = until_closed(sock, started)
    assert b"HTTP/1.1 201" not in received
    within(seconds)


def test_many_that_drip_do_not_slow_others(short):
    token = short.sign_in("alice")
    slow = [short.open_raw() for _ in range(100)]
    try:
        for sock in slow:
            sock.sendall(b"GET /")
        started = time.monotonic()
        with short.connect(short.app.address, token=token) as tunnel:
            assert tunnel.status == 200
            tunnel.send(b"hello")
            assert tunnel.sock.recv(5) == b"hello"
        assert time.monotonic() - started < 1 * SCALE
        for sock in slow:
            until_closed(sock, started)
    finally:
        for sock in slow:
            sock.close()


# --- between requests --------------------------------------------------------------------------------------------------------


def test_a_connection_between_requests_is_closed_without_a_record(short):
    token = short.sign_in("alice").encode()
    request = CURRENT + b"Authorization: Bearer " + token + b"\r\n\r\n"
    before = timeouts(short)
    with short.open_raw() as sock:
        got = exchange(sock, request, timeout=LONG, until=lambda data: data.endswith(b"}"))
        assert got.answers[0].status == 200
        got = exchange(sock, request, timeout=LONG, until=lambda data: data.endswith(b"}"))
        assert got.answers[0].status == 200
        received, seconds = until_closed(sock, time.monotonic())
    assert received == b""
    within(seconds)
    assert timeouts(short) == before


# --- the dial ----------------------------------------------------------------------------------------------------------------


class SilentPort:
    """A port whose queue of connections is full: a SYN to it is dropped."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self.fillers.append(filler)
        return self

    def __exit__(self, *_):
        for sock in (*self.fillers, self.listener):
            sock.close()


def test_a_dial_that_nobody_answers_is_504_and_on_record(short):
    token = short.sign_in("alice")
    with SilentPort() as silent:
        short.allow("silent", silent.address)
        started = time.monotonic()
        with short.connect(silent.address, token=token) as tunnel:
            seconds = time.monotonic() - started
            assert tunnel.status == 504
            assert "connection_timeout" in tunnel.headers["proxy-status"]
        within(seconds)
        record = short.wait_record(lambda r: r.get("app") == "silent" and r.get("verdict") == "FAILED")
    assert record["close_reason"] == "APP_UNREACHABLE" and "connect-timeout" in record["reasons"]
    assert int(record.get("bytes_up", 0)) == int(record.get("bytes_down", 0)) == 0
    assert SHORT * 0.9e6 <= int(record["duration_us"]) <= (SHORT + LATE) * 1e6


def test_a_client_that_leaves_during_the_dial_holds_nothing(short):
    token = short.sign_in("alice").encode()
    with SilentPort() as silent:
        short.allow("silent", silent.address)
        target = silent.address.encode()
        with short.open_raw() as sock:
            sock.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n" % (target, target, token))
        wait_for(lambda: short.metric("usher_tunnels_open") == 0, "the tunnel's end", timeout=SHORT + LATE + LONG)


# --- tunnels -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def idle(module_prepared):
    return module_prepared(config={"timeouts": {"idle": "2s"}})


def test_a_tunnel_without_a_byte_is_closed_and_one_with_bytes_is_not(idle):
    token = idle.sign_in("alice")
    with idle.connect(idle.app.address, token=token) as busy, idle.connect(idle.app.address, token=token) as quiet:
        started = time.monotonic()
        # The busy one carries a byte each way until the quiet one has ended, and once more.
        quiet.sock.settimeout(0.2)
        sent = 0
        while True:
            busy.send(b"x")
            assert busy.sock.recv(1) == b"x"
            sent += 1
            try:
                assert quiet.sock.recv(1) == b""
                break
            except TimeoutError:
                assert time.monotonic() - started < LONG
            except OSError:
                break
        within(time.monotonic() - started, 2.0)
        busy.send(b"x")
        assert busy.sock.recv(1) == b"x"
        sent += 1
        busy.half_close()
        assert busy.recv_all() == b""
        record = idle.wait_record(lambda r: r.get("close_reason") == "IDLE_TIMEOUT")
        assert int(record["duration_us"]) >= 1.9e6 and int(record.get("bytes_up", 0)) == 0
    busy_record = idle.wait_record(lambda r: r.get("event") == "CLOSED" and int(r.get("bytes_up", 0)) == sent)
    assert busy_record["close_reason"] == "CLIENT_CLOSED" and int(busy_record["bytes_down"]) == sent


def test_a_tunnel_older_than_any_may_be_is_cut_while_it_is_busy(prepared):
    gateway = prepared(config={"timeouts": {"max_duration": "2s"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        started = time.monotonic()
        sent = 0
        try:
            while True:
                tunnel.send(b"x")
                if tunnel.sock.recv(1) != b"x":
                    break
                sent += 1
                assert time.monotonic() - started < LONG
        except OSError:
            pass
        within(time.monotonic() - started, 2.0)
    record = gateway.wait_record(lambda r: r.get("event") == "CLOSED")
    assert record["close_reason"] == "MAX_DURATION" and record["verdict"] == "ALLOWED"
    assert sent <= int(record["bytes_up"]) <= sent + 1
    # Its user may come again.
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "2500-01-01T00:00:00Z"])
def test_a_validity_that_ends_in_the_far_future_keeps_no_deadline_waiting(gateway_factory, echo, end):
    # Those who import accounts write "no end" so, and it is further away than nanoseconds reach.
    gateway = gateway_factory(config={"timeouts": {"idle": "1s"}}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    gateway.ctl("account", "update", "alice", "--valid-until", end)
    with gateway.connect(echo.address, gateway.sign_in("alice")) as tunnel:
        assert tunnel.status == 200
        ends_within(tunnel, LONG)
    assert gateway.wait_closed()["close_reason"] == "IDLE_TIMEOUT"
