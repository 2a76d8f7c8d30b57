"""What one account, device, source or connection may have, and what whoever wants more is told."""

import json
import re
import time

import pytest
from harness.apps import RefusingPort
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for


def reached(gateway, limit):
    return gateway.metric('usher_limits_reached_total{limit="%s"}' % limit)


def denials(gateway, limit):
    """How many the records say, merged or not."""
    return sum(int(r.get("count", 0)) or 1 for r in gateway.records() if r.get("reasons") == [f"limit-{limit}"])


def test_an_account_has_so_many_tunnels_on_all_connections_and_workers_together(prepared):
    gateway = prepared(config={"limits": {"tunnels_per_account": 6}, "workers": 2})
    tokens = [gateway.sign_in("alice"), gateway.sign_in("alice")]
    open_ones = [gateway.connect(gateway.app.address, tokens[i % 2]) for i in range(3)]
    with H2Client(gateway) as client:
        streams = [client.connect(gateway.app.address, tokens[0]) for _ in range(3)]
        assert {t.status for t in open_ones + streams} == {200}
        for _ in range(10):
            with gateway.connect(gateway.app.address, tokens[1]) as refused:
                assert refused.status == 429
                assert refused.headers["proxy-status"].startswith("usher; error=connection_limit_reached")
                assert "too many tunnels are open by this account" in refused.body()
        refused = client.connect(gateway.app.address, tokens[0]).wait_over()
        assert (refused.status, b"this account" in refused.data) == (429, True)
        # Nobody else is touched, and whoever closes one may open one.
        gateway.account("bob")
        with gateway.connect(gateway.app.address, gateway.sign_in("bob")) as other:
            assert other.status == 200
        open_ones.pop().close()
        wait_for(lambda: gateway.metric("usher_tunnels_open") == 5, "the tunnel to end")
        open_ones.append(gateway.connect(gateway.app.address, tokens[0]))
        assert open_ones[-1].status == 200
    for tunnel in open_ones:
        tunnel.close()
    assert reached(gateway, "tunnels_per_account") == 11
    wait_for(lambda: denials(gateway, "tunnels_per_account") == 11, "each refusal to be counted on record")
    refusals = [r for r in gateway.records() if r.get("reasons") == ["limit-tunnels_per_account"]]
    assert len(refusals) < 11, "they are merged"
    assert {(r["event"], r["verdict"], r["username"], r["app"]) for r in refusals} == {("DENIED", "DENIED", "alice", "demo")}


def test_a_device_has_its_share_and_leaves_the_rest_to_its_owners_others(prepared):
    gateway = prepared(config={"limits": {"tunnels_per_device": 2}})

    def sign_in(device):
        body = {"username": "alice", "password": PASSWORD, "device": {"device_id": device}}
        return gateway.request("POST", "/.usher/v1/sessions", body)[1]["token"]

    laptop, laptop_again, phone = sign_in("laptop"), sign_in("laptop"), sign_in("phone")
    held = [gateway.connect(gateway.app.address, token) for token in (laptop, laptop_again)]
    with gateway.connect(gateway.app.address, laptop) as refused:
        assert (refused.status, "from this device" in refused.body()) == (429, True)
    held.append(gateway.connect(gateway.app.address, phone))
    assert [t.status for t in held] == [200] * 3
    for tunnel in held:
        tunnel.close()


def test_tunnels_that_never_opened_are_not_counted_for_ever(prepared):
    """Each way to fail behind the admission gives the place back."""
    gateway = prepared(config={"limits": {"tunnels_per_account": 2}, "timeouts": {"connect": "200ms"}})
    token = gateway.sign_in("alice")
    with RefusingPort() as port:
        gateway.allow("refusing", port.address)
        gateway.allow("nowhere", "*.nowhere.test:1")
        for i in range(10):
            with gateway.connect(port.address, token) as failed:
                assert failed.status == 502
            with gateway.connect(f"n{i}.nowhere.test:1", token) as failed:
                assert failed.status in (502, 504)
    head = f"CONNECT {gateway.app.address} HTTP/1.1\r\nHost: {gateway.app.address}\r\nProxy-Authorization: Bearer {token}\r\n\r\n"
    for _ in range(10):
        with gateway.open_raw() as sock:
            sock.sendall(head.encode())  # and gone, before the answer or behind it
        wait_for(lambda: gateway.metric("usher_tunnels_open") == 0, "the tunnel to end")
    held = [gateway.connect(gateway.app.address, token) for _ in range(2)]
    assert [t.status for t in held] == [200, 200]
    for tunnel in held:
        tunnel.close()


def test_handshakes_beyond_a_sources_rate_are_closed_before_tls(prepared):
    gateway = prepared(config={"limits": {"handshakes_burst": 20, "handshakes_per_second": 1}})
    closed = 0
    for _ in range(60):
        with gateway.open_plain(source="127.0.0.7") as sock:
            sock.settimeout(0.05)
            try:
                closed += sock.recv(1) == b""
            except TimeoutError:
                pass  # it waits for a ClientHello
            except ConnectionResetError:
                closed += 1
    assert 30 <= closed <= 40
    assert reached(gateway, "handshakes_per_second") == closed
    gateway.sign_in("alice")  # from another address
    wait_for(lambda: denials(gateway, "handshakes_per_second") == closed, "each refusal to be counted on record")


def test_sign_ins_beyond_a_sources_rate_are_refused_with_the_time_to_wait(prepared):
    gateway = prepared(config={"limits": {"sign_ins_burst": 3, "sign_ins_per_minute": 1}})

    def attempt(name, source):
        return gateway.request("POST", "/.usher/v1/sessions", {"username": name, "password": "wrong"}, source=source)[0]

    assert [attempt(f"n{i}", "127.0.0.8") for i in range(6)] == [401] * 3 + [429] * 3
    assert attempt("n9", "127.0.0.9") == 401
    assert reached(gateway, "sign_ins_per_minute") == 3
    wait_for(lambda: denials(gateway, "sign_ins_per_minute") == 3, "each refusal to be counted on record")


def test_lists_of_apps_have_a_rate_by_session_and_by_account(prepared):
    gateway = prepared(config={"limits": {"app_lists_burst": 3, "app_lists_per_minute": 1}})
    token = gateway.sign_in("alice")
    started = time.monotonic()

    def ask(sock):
        sock.sendall(f"GET /.usher/v1/apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        status, *fields = head.decode().lower().splitlines()
        fields = dict(field.split(": ", 1) for field in fields if field)
        body = b""
        while len(body) < int(fields["content-length"]):
            body += sock.recv(65536)
        return int(status.split(" ")[1]), fields, json.loads(body)

    with gateway.open_raw() as sock:
        answers = [ask(sock) for _ in range(6)]  # the connection is not what is refused
    assert [status for status, _, _ in answers] == [200] * 3 + [429] * 3
    assert answers[0][2]["apps"][0]["name"] == "demo"
    for _, fields, body in answers[3:]:
        assert body == {"error": "too-many-app-lists"}
        assert 1 <= int(fields["retry-after"]) <= 60
    # The session goes on, and so do others of the account, up to what all of them have together.
    assert gateway.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 200
    sessions = [gateway.sign_in("alice") for _ in range(10)]
    statuses = [gateway.request("GET", "/.usher/v1/apps", token=t)[0] for t in sessions for _ in range(3)]
    assert set(statuses) == {200, 429}
    assert 21 <= statuses.count(200) <= 22 + (time.monotonic() - started) / 7.5  # eight more a minute
    gateway.account("bob")
    assert gateway.request("GET", "/.usher/v1/apps", token=gateway.sign_in("bob"))[0] == 200
    refused = 3 + statuses.count(429)
    assert reached(gateway, "app_lists_per_minute") == refused
    wait_for(lambda: denials(gateway, "app_lists_per_minute") == refused, "each refusal to be counted on record")
    refusals = [r for r in gateway.records() if r.get("reasons") == ["limit-app_lists_per_minute"]]
    assert {(r["event"], r["username"]) for r in refusals} == {("DENIED", "alice")}
    # What a person reads.
    home = gateway.directory / "alice"
    gateway.client("usher", "login", "--gateway", f"127.0.0.1:{gateway.port}", "--ca", gateway.ca, "--username", "alice",
                   "--password-stdin", home=home, input=PASSWORD + "\n")  # fmt: skip
    asked = (gateway.client("usher", "apps", home=home, check=False) for _ in range(5))
    refused = next(result for result in asked if result.returncode != 0)
    assert refused.returncode == 1 and re.search(r"429; try again in \d+ s: too many tries", refused.stderr)


def test_streams_of_one_connection_are_bounded(prepared):
    gateway = prepared(config={"limits": {"streams_per_connection": 3}})
    token = gateway.sign_in("alice")
    with H2Client(gateway) as client:
        # Before the client can know the bound: what is too much may be tried again.
        eager = [client.start_connect(gateway.app.address, token) for _ in range(5)]
        client.wait(lambda: all(t.status or t.over for t in eager))
        assert [t.status for t in eager[:3]] == [200] * 3
        assert [t.reset for t in eager[3:]] == [7, 7]  # REFUSED_STREAM
        eager[0].send(b"still here", end=True)
        assert eager[0].recv_all() == b"still here"
        assert client.h2.remote_settings.max_concurrent_streams == 3
        replacement = client.connect(gateway.app.address, token)
        assert replacement.status == 200
        # Whoever has agreed to it and goes on is not worth a connection.
        client.h2.remote_settings[0x3] = 100
        client.h2.remote_settings.acknowledge()
        client.start_connect(gateway.app.address, token)
        assert client.wait_closed() == 1  # PROTOCOL_ERROR
    assert reached(gateway, "streams_per_connection") == 3


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
def test_connections_beyond_the_bound_are_closed_at_once_and_come_in_when_there_is_room(prepared, limit):
    gateway = prepared(config={"limits": {limit: 5}})
    held = [gateway.open_plain() for _ in range(5)]
    wait_for(lambda: gateway.metric("usher_connections_open") == 5, "the connections")
    started = time.monotonic()
    with gateway.open_plain() as sock:
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
    assert time.monotonic() - started < 5
    for sock in held:
        sock.close()
    wait_for(lambda: gateway.metric("usher_connections_open") == 0, "room")
    gateway.sign_in("alice")
    assert reached(gateway, limit) == 1
    wait_for(lambda: denials(gateway, limit) == 1, "the refusal on record")
