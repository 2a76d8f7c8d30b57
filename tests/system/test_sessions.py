"""Sessions: signing in and out, lifetimes, restarts, and that a tunnel ends with the session it stands on."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.build import SANITIZER, SCALE
from harness.gateway import PASSWORD
from harness.tunnel import ends_within


def open_tunnel(gateway, echo, token):
    tunnel = gateway.connect(echo.address, token)
    assert tunnel.status == 200
    tunnel.send(b"ping")
    assert tunnel.recv_exactly(4) == b"ping"
    return tunnel


def test_signing_out_ends_the_tunnels_and_the_token(gateway, echo):
    token, other = gateway.sign_in("alice"), gateway.sign_in("alice")
    tunnel, unrelated = open_tunnel(gateway, echo, token), open_tunnel(gateway, echo, other)
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=token)[0] == 204
    ends_within(tunnel, 1)
    assert gateway.wait_closed()["close_reason"] == "SIGNED_OUT"
    assert gateway.connect(echo.address, token).status == 407
    unrelated.send(b"still")
    assert unrelated.recv_exactly(5) == b"still"


def test_revoking_ends_the_tunnels_within_a_second(gateway, echo):
    token = gateway.sign_in("alice")
    tunnels = [open_tunnel(gateway, echo, token) for _ in range(50)]
    (session,) = gateway.ctl_json("session", "list")
    started = time.monotonic()
    gateway.ctl("session", "revoke", session["session_id"])
    for tunnel in tunnels:
        ends_within(tunnel, 1)
    assert time.monotonic() - started < 1 * SCALE
    record = gateway.wait_closed()
    assert record["close_reason"] == "REVOKED"
    assert record["revoked_at"]
    assert gateway.ctl_json("session", "list") == []
    assert gateway.connect(echo.address, token).status == 407


def test_disabling_an_account_ends_its_tunnels_and_keeps_it_out(gateway, echo):
    token = gateway.sign_in("alice")
    tunnel = open_tunnel(gateway, echo, token)
    gateway.ctl("account", "disable", "alice")
    ends_within(tunnel, 1)
    assert gateway.connect(echo.address, token).status == 407
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": PASSWORD})[0] == 401
    gateway.ctl("account", "enable", "alice")
    assert gateway.connect(echo.address, token).status == 407, "the old token stays dead"
    gateway.sign_in("alice")


def test_a_new_password_ends_what_stood_on_the_old_one(gateway, echo):
    token = gateway.sign_in("alice")
    tunnel = open_tunnel(gateway, echo, token)
    gateway.ctl("account", "set-password", "alice", "--password-stdin", input="another long password\n")
    ends_within(tunnel, 1)
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": PASSWORD})[0] == 401
    gateway.sign_in("alice", "another long password")


def test_no_access_begins_after_a_revocation_has_answered(gateway, echo):
    """Opens race with the revocation: whatever got a 200 before it is cut, nothing gets one after it."""
    for _ in range(5 if SCALE == 1 else 2):
        token = gateway.sign_in("alice")
        (session,) = gateway.ctl_json("session", "list")
        answered = []

        def open_until_refused():
            while True:
                try:
                    tunnel = gateway.connect(echo.address, token)
                except ConnectionError:
                    continue  # cut while it was being opened
                if tunnel.status != 200:
                    return
                answered.append(tunnel)

        with ThreadPoolExecutor(4) as pool:
            racers = [pool.submit(open_until_refused) for _ in range(4)]
            while len(answered) < 8:
                time.sleep(0.001)
            gateway.ctl("session", "revoke", session["session_id"])
            [racer.result() for racer in racers]
        for tunnel in answered:
            ends_within(tunnel, 1)
            tunnel.close()


def test_sessions_survive_a_restart(gateway_factory, database, echo):
    gateway = gateway_factory(database).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    kept, ended = gateway.sign_in("alice"), gateway.sign_in("alice")
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=ended)[0] == 204
    assert gateway.stop() == 0
    gateway.start()
    open_tunnel(gateway, echo, kept)
    assert gateway.connect(echo.address, ended).status == 407


@pytest.mark.parametrize("limit", ["idle", "absolute"])
def test_a_session_ends_by_its_lifetimes_and_takes_its_tunnels_along(gateway_factory, echo, limit):
    gateway = gateway_factory(config={"sessions": {limit: "2s"}}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    token = gateway.sign_in("alice")
    tunnel = open_tunnel(gateway, echo, token)
    ends_within(tunnel, 6)
    assert gateway.wait_closed()["close_reason"] == "SESSION_EXPIRED"
    assert gateway.connect(echo.address, token).status == 407


def test_bytes_in_a_tunnel_keep_its_session_from_idling_out(gateway_factory, echo):
    gateway = gateway_factory(config={"sessions": {"idle": f"{3 * SCALE}s"}}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    tunnel = open_tunnel(gateway, echo, gateway.sign_in("alice"))
    end = time.monotonic() + 7 * SCALE
    while time.monotonic() < end:
        tunnel.send(b"x")
        assert tunnel.recv_exactly(1) == b"x"
        time.sleep(0.2)  # the rate of the traffic under test
    tunnel.close()


def test_wrong_passwords_look_alike_and_are_throttled(gateway):
    answers = [
        gateway.request("POST", "/.usher/v1/sessions", {"username": name, "password": "wrong"})
        for name in ("alice", "nobody", "ALICE ", "a" * 200)
    ]
    assert {status for status, _ in answers} == {401}
    assert len({str(answer) for _, answer in answers}) == 1
    # Behind ten tries the right one is answered like a wrong one, and is on record for what it is.
    for _ in range(10):
        assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": "wrong"}) == answers[0]
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": PASSWORD}) == answers[0]
    tail = gateway.ctl_json("audit", "tail", "--since", "24h")
    failed = [e["session"] for e in tail if e.get("session", {}).get("event") == "SIGN_IN_FAILED"]
    reasons = [e["reason"] for e in failed if e["username"] == "alice"]
    assert set(reasons[:10]) == {"wrong-password"} and reasons[-1] == "throttled", reasons
    assert gateway.metric('usher_limits_reached_total{limit="sign_ins_per_name"}') == reasons.count("throttled") >= 1


def test_a_throttled_name_looks_the_same_whether_it_exists_or_not(gateway_factory):
    # A rate at which nothing comes back while the test takes its time.
    gateway = gateway_factory(config={"limits": {"sign_ins_burst": 40, "sign_ins_per_minute": 1}}).start()
    for name in ("alice", "bob", "carol"):
        gateway.account(name)
    gateway.ctl("account", "disable", "bob")

    def tries(name, source):
        body = {"username": name, "password": PASSWORD if name == "bob" else "wrong"}
        return [gateway.request("POST", "/.usher/v1/sessions", body, source=source) for _ in range(52)]

    # Ten of a name at a source count, forty more are looked at in vain, and whoever goes on so is told to wait.
    unknown = tries("nobody", "127.0.0.7")
    assert [status for status, _ in unknown] == [401] * 50 + [429] * 2
    assert unknown == tries("bob", "127.0.0.8") == tries("carol", "127.0.0.10")
    # Nobody else of that address is kept waiting, and no owner by what happens elsewhere.
    body = {"username": "alice", "password": PASSWORD}
    assert gateway.request("POST", "/.usher/v1/sessions", body, source="127.0.0.7")[0] == 201
    body["username"] = "carol"
    assert gateway.request("POST", "/.usher/v1/sessions", body, source="127.0.0.11")[0] == 201


def test_who_is_signed_in_is_not_locked_out_by_wrong_tries_for_the_name(gateway):
    gateway.sign_in("alice")

    def status(source, password="wrong"):
        return gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": password}, source=source)[0]

    # Over all sources the name has thirty; behind them nobody gets in from elsewhere.
    assert {status(f"127.0.0.{9 + n}") for n in range(4) for _ in range(10)} == {401}
    assert status("127.0.0.8", PASSWORD) == 401
    gateway.sign_in("alice")


@pytest.mark.skipif(bool(SANITIZER), reason="tells forty milliseconds from none")
def test_a_client_with_nagles_algorithm_is_not_kept_waiting(gateway):
    """As python's: it holds its first request back until the end of its handshake was acknowledged."""
    times = []
    for _ in range(10):
        with gateway.open_raw() as sock:
            started = time.monotonic()
            sock.sendall(b"GET /.usher/v1/apps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")
            times.append(time.monotonic() - started)
    assert min(times) < 0.03, times
