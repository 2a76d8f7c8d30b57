"""Several gateways on one PostgreSQL: who is cut off at one is cut off at all of them, and what one knows the others know."""

import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.build import SCALE
from harness.factors import enroll_by_administrator, sign_in
from harness.gateway import PASSWORD
from harness.postgresql import psql
from harness.prepared import PreparedGateway, prepared  # noqa: F401
from harness.tunnel import ends_within
from harness.wait import wait_for

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))
from proxy import Proxy  # noqa: E402

WITHIN = 0.5  # seconds, from the moment at which the command is given


def hears(gateway):
    return "changes of other gateways are heard at once" in gateway.log()


@pytest.fixture
def beside(tmp_path):
    """Makes another gateway on the database of one that is there."""
    made = []

    def make(first, **config):
        other = PreparedGateway(tmp_path / f"beside-{len(made)}", database=first.config["database"], config=config or None)
        made.append(other)
        other.start()
        for gateway in (first, other):
            wait_for(lambda: hears(gateway), "it to hear the others")
        return other

    yield make
    for gateway in made:
        gateway.app.close()
        gateway.close()


@pytest.fixture
def pair(prepared, postgresql_database, beside):
    first = prepared(database=postgresql_database)
    return first, beside(first)


def signed_in(first, other, name="alice"):
    """A session of the one, when the other one knows it."""
    token = first.sign_in(name)
    wait_for(lambda: other.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 200, "the session to be known")
    return token


def open_tunnel(gateway, target, token):
    tunnel = gateway.connect(target, token=token)
    assert tunnel.status == 200
    tunnel.send(b"x")
    assert tunnel.recv_exactly(1) == b"x"
    return tunnel


def test_who_signs_in_at_one_may_use_the_other(pair):
    first, other = pair
    token = signed_in(first, other)
    open_tunnel(other, first.app.address, token).close()
    # And what is made at the other one is in force at the first.
    other.account("bob")
    wait_for(lambda: first.request("POST", "/.usher/v1/sessions", {"username": "bob", "password": PASSWORD})[0] == 201, "bob at the first")
    record = other.wait_closed(lambda r: r.get("app") == "demo")
    assert record["username"] == "alice"


def revoke_session(gateway, token):
    (session,) = gateway.ctl_json("session", "list")
    gateway.ctl("session", "revoke", session["session_id"])


def sign_out(gateway, token):
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=token)[0] == 204


CAUSES = {
    "session": (revoke_session, "REVOKED"),
    "sign-out": (sign_out, "REVOKED"),
    "disable": (lambda g, _: g.ctl("account", "disable", "alice"), "REVOKED"),
    "delete": (lambda g, _: g.ctl("account", "delete", "alice"), "REVOKED"),
    "department": (lambda g, _: g.ctl("account", "update", "alice", "--department", "Sales"), "POLICY_CHANGED"),
    "validity": (lambda g, _: g.ctl("account", "update", "alice", "--valid-until", "2020-01-01T00:00:00Z"), "REVOKED"),
    "password": (lambda g, _: g.ctl("account", "set-password", "alice", "--password-stdin", input=PASSWORD + " anew\n"), "REVOKED"),
    "policy": (lambda g, _: g.apply("kind: policy\nname: demo\napps: [demo]\nallow: [{departments: [Sales]}]\n"), "POLICY_CHANGED"),
    "policy-deleted": (lambda g, _: g.ctl("delete", "policy", "demo"), "POLICY_CHANGED"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_one_cuts_off_is_cut_off_at_the_other(pair, cause):
    first, other = pair
    act, reason = CAUSES[cause]
    token = signed_in(first, other)
    tunnels = [open_tunnel(other, first.app.address, token) for _ in range(20)]
    started = time.monotonic()
    act(first, token)
    for tunnel in tunnels:
        ends_within(tunnel, 30)
    took = time.monotonic() - started
    assert took < WITHIN * SCALE + 0.5, f"{took:.3f} s"  # the command itself takes a part of it
    assert other.connect(first.app.address, token=token).status in (403, 407)
    wait_for(lambda: len([r for r in other.records() if r.get("close_reason") == reason]) == 20, "the records")


def test_one_code_of_a_second_factor_opens_one_session_on_two_gateways(prepared, postgresql_database, beside, tmp_path):
    key = tmp_path / "sealing.key"
    key.touch(0o600)
    key.write_text(secrets.token_hex(32) + "\n")
    first = prepared(database=postgresql_database, config={"sealing_keys": [str(key)]})
    other = beside(first, sealing_keys=[str(key)])
    first.account("bob")
    for name, kind, source in (("alice", "totp", "127.0.0.7"), ("bob", "recovery", "127.0.0.8")):
        app, recovery = enroll_by_administrator(first, name)
        wait_for(lambda: other.ctl_json("account", "show", name)[0].get("second_factor"), "the second factor to be known")
        code = app.code() if kind == "totp" else recovery[0]
        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(lambda i: sign_in((first, other)[i % 2], name, code=code, source=source)[0], range(50)))
        # Many are throttled, which is as good; what matters is that one alone came in.
        assert statuses.count(201) == 1, (name, statuses)


def test_a_session_that_the_other_one_uses_does_not_idle_out(prepared, postgresql_database, beside):
    limits = {"sessions": {"idle": "8s", "absolute": "1h"}}
    first = prepared(database=postgresql_database, config=limits)
    other = beside(first, **limits)
    token = signed_in(first, other)
    # Longer than it may idle, used at the other one only.
    end = time.monotonic() + 14
    while time.monotonic() < end:
        assert other.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 200
        time.sleep(0.3)  # a use now and then is what is tried
    assert first.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 200


def test_what_was_revoked_behind_a_partition_is_cut_when_it_ends(private_cluster, prepared, beside, tmp_path):
    first = prepared(database=private_cluster.url)
    proxy = Proxy(private_cluster.port)
    try:
        far = PreparedGateway(tmp_path / "far", database=private_cluster.url.replace(f":{private_cluster.port}/", f":{proxy.port}/"))
        far.start()
        try:
            wait_for(lambda: hears(far), "it to hear the others")
            token = signed_in(first, far)
            tunnel = open_tunnel(far, first.app.address, token)
            proxy.partition()
            first.ctl("account", "disable", "alice")
            # It cannot know yet; what it does meanwhile is the app's on_control_loss.
            tunnel.send(b"y")
            assert tunnel.recv_exactly(1) == b"y"
            proxy.heal(cut=True)
            ends_within(tunnel, 60)
            assert far.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 401
        finally:
            far.app.close()
            far.close()
    finally:
        proxy.close()


def test_a_stranger_on_the_channel_brings_nothing_about(pair):
    first, other = pair
    token = signed_in(first, other)
    (session,) = first.ctl_json("session", "list")
    with open_tunnel(other, first.app.address, token) as tunnel:
        for message in ("directory", "session-ended " + session["session_id"], "sessions-of " + session["account_id"], "nonsense", "session-ended ''; DROP TABLE"):
            psql(first.config["database"], "SELECT pg_notify('usher_changes', $m$" + message + "$m$)")
        signed_in(first, other)  # what came before has been heard then
        tunnel.send(b"z")
        assert tunnel.recv_exactly(1) == b"z"
