"""Several gateways on one PostgreSQL: who is cut off at one is cut off at all of them, and what one knows the others know."""

import json
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.apps import EchoApp
from harness.build import BIN, SCALE
from harness.factors import enroll_by_administrator, sign_in
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
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
    "denied": (lambda g, _: g.apply("kind: policy\nname: demo\napps: [demo]\nallow: [{departments: [Finance]}]\n"
                                    "deny: [{accounts: [alice]}]\n"), "POLICY_CHANGED"),
    "posture": (lambda g, token: say_encrypted(g, token, "no"), "POLICY_CHANGED"),
}


def ask_for_encryption(first, other, token):
    first.apply("kind: policy\nname: demo\napps: [demo]\nallow: [{departments: [Finance], posture: [disk_encrypted]}]\n")
    assert say_encrypted(first, token, "yes") == 204
    wait_for(lambda: other.connect(first.app.address, token=token).status == 200, "the other one to know it")


def say_encrypted(gateway, token, word):
    return gateway.request("PUT", "/.usher/v1/sessions/current/posture", {"disk_encrypted": word}, token)[0]


@pytest.mark.parametrize("cause", CAUSES)
def test_what_one_cuts_off_is_cut_off_at_the_other(pair, cause):
    first, other = pair
    act, reason = CAUSES[cause]
    token = signed_in(first, other)
    if cause == "posture":
        ask_for_encryption(first, other, token)
        wait_for(lambda: all(r["event"] != "OPENED" for r in other.records()), "what was tried to be over")
    before = len([r for r in other.records() if r["event"] == "CLOSED"])
    tunnels = [open_tunnel(other, first.app.address, token) for _ in range(10)]
    client = H2Client(other)
    streams = [client.connect(first.app.address, token) for _ in range(10)]
    assert [stream.status for stream in streams] == [200] * 10
    started = time.monotonic()
    act(first, token)
    for tunnel in tunnels:
        ends_within(tunnel, 30)
    for stream in streams:
        stream.wait_over()
        assert stream.reset is not None
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
        code = app.lasting_code() if kind == "totp" else recovery[0]
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


def test_an_app_that_bears_no_loss_of_control_is_closed_and_comes_back(private_cluster, prepared, tmp_path):
    first = prepared(database=private_cluster.url)
    apps = {}
    for name, value in (("goes-on", "continue"), ("refuses", "refuse_new after 10s"), ("closes", "close after 12s")):
        apps[name] = EchoApp()
        first.apply(
            f"kind: app\nname: {name}\ndestinations: ['{apps[name].address}']\nallow_addresses: ['127.0.0.0/8']\non_control_loss: {value}\n---\n"
            f"kind: policy\nname: {name}\napps: [{name}]\nallow: [{{departments: [Finance]}}]\n"
        )
    assert "on_control_loss: \"close after 12s\"" in first.ctl("get", "apps", "-o", "yaml").stdout
    proxy = Proxy(private_cluster.port)
    far = PreparedGateway(tmp_path / "far", database=private_cluster.url.replace(f":{private_cluster.port}/", f":{proxy.port}/"))
    try:
        far.start()
        wait_for(lambda: hears(far), "it to hear the others")
        token = signed_in(first, far)
        tunnels = {name: open_tunnel(far, app.address, token) for name, app in apps.items()}
        started = time.monotonic()
        proxy.partition()
        ends_within(tunnels["closes"], 40)
        assert time.monotonic() - started > 10
        for name in ("goes-on", "refuses"):
            tunnels[name].send(b"q")
            assert tunnels[name].recv_exactly(1) == b"q"
        statuses = {name: far.connect(app.address, token=token).status for name, app in apps.items()}
        assert statuses == {"goes-on": 200, "refuses": 503, "closes": 503}
        # The first one has its database all the time.
        open_tunnel(first, apps["closes"].address, token).close()
        proxy.heal(cut=True)
        wait_for(lambda: far.connect(apps["closes"].address, token=token).status == 200, "control to come back", timeout=60)
        records = wait_for(lambda: [r for r in far.records() if r.get("close_reason") == "CONTROL_LOST"], "the record", timeout=60)
        assert [r["app"] for r in records] == ["closes"] and records[0]["revoked_at"]
        denied = [r for r in far.records() if r["event"] == "DENIED"]
        assert {r["app"] for r in denied if r["reasons"] == ["control-lost"]} == {"refuses", "closes"}
    finally:
        far.app.close()
        far.close()
        proxy.close()
        for app in apps.values():
            app.close()


@pytest.mark.parametrize("value", ["close", "close after 5s", "close after 2d", "refuse_new", "'close after 1m '", "[close]"])
def test_a_wrong_on_control_loss_is_refused_with_its_place(prepared, value):
    gateway = prepared()
    result = gateway.apply(f"kind: app\nname: x\ndestinations: ['x:1']\non_control_loss: {value}\n", check=False)
    assert result.returncode == 1
    assert "4:" in result.stderr and "on_control_loss" in result.stderr, result.stderr


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


class Tail:
    """`usherctl audit tail --follow` at one gateway, as it comes."""

    def __init__(self, gateway, *options):
        self.process = subprocess.Popen(
            [BIN / "usherctl", "--socket", gateway.data_dir / "control.sock", "audit", "tail", "--follow", "-o", "json", *options],
            stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.of = {}  # gateway -> sequences, in the order in which they came
        self.cursor = None

    def read(self):
        event = json.loads(self.process.stdout.readline())
        self.of.setdefault(event["gateway_id"], []).append(int(event["sequence"]))
        self.cursor = event["cursor"]

    def read_up_to(self, ends):
        """Until it has seen these: gateway -> sequence."""
        while any(self.of.get(gateway, [0])[-1] < sequence for gateway, sequence in ends.items()):
            self.read()

    def close(self):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()


def ends(*gateways):
    """The last event that each of them has on disk."""
    stati = [gateway.ctl_json("audit", "status")[0] for gateway in gateways]
    return {status["gateway_id"]: int(status["durable_sequence"]) for status in stati}


def test_the_tail_of_one_shows_all_and_goes_on_at_another(pair):
    first, other = pair
    tail = Tail(first, "--since", "24h")
    try:
        for gateway in (first, other, other, first):
            token = gateway.sign_in("alice")
            open_tunnel(gateway, first.app.address, token).close()
        tail.read_up_to(ends(first, other))
    finally:
        tail.close()
    assert len(tail.of) == 2 and tail.cursor.startswith("2:")
    open_tunnel(other, first.app.address, signed_in(other, first)).close()
    # Elsewhere, from the same place; what the first has on its disk alone comes there when it is in the store.
    on = Tail(other, "--after", tail.cursor)
    try:
        open_tunnel(first, first.app.address, signed_in(first, other)).close()
        on.read_up_to(ends(first, other))
    finally:
        on.close()
    for gateway, seen in tail.of.items():
        whole = seen + on.of[gateway]
        assert whole == list(range(1, len(whole) + 1)), f"of {gateway}"


def test_a_tail_that_does_not_follow_ends_with_what_all_have(pair):
    first, other = pair
    other.sign_in("alice")
    wait_for(other.shipped, "everything in the store")
    sequences = {}
    for event in first.ctl_json("audit", "tail", "--since", "24h"):
        sequences.setdefault(event["gateway_id"], []).append(int(event["sequence"]))
    assert sorted(sequences) == sorted(ends(first, other))
    for seen in sequences.values():
        assert seen == list(range(1, len(seen) + 1))


def test_a_gateway_that_joins_is_in_the_tails_that_run_and_goes_on_with_their_cursors(pair, beside):
    first, other = pair
    tail = Tail(first, "--since", "24h")
    try:
        open_tunnel(other, first.app.address, signed_in(first, other)).close()
        tail.read_up_to(ends(first, other))
        third = beside(first)
        open_tunnel(third, first.app.address, signed_in(other, third)).close()
        tail.read_up_to(ends(first, other, third))
    finally:
        tail.close()
    on = Tail(third, "--after", tail.cursor)
    try:
        for gateway in (first, other, third):
            gateway.sign_in("alice")
        on.read_up_to(ends(first, other, third))
    finally:
        on.close()
    assert len(tail.of) == 3
    for gateway, seen in tail.of.items():
        whole = seen + on.of[gateway]
        assert whole == list(range(1, len(whole) + 1)), f"of {gateway}"


def test_while_the_database_hangs_tails_go_on_and_begin_with_their_own_gateway(private_cluster, prepared, beside):
    first = prepared(database=private_cluster.url)
    far = beside(first)
    tails = [Tail(far, "--since", "24h")]
    try:
        tails[0].read_up_to(ends(first, far))
        (own,) = {gateway for gateway in tails[0].of} - set(ends(first))
        private_cluster.freeze()
        try:
            wait_for(lambda: "the database does not answer; tails" in far.log(), "it to be seen")
            began = time.monotonic()
            # More than there are threads for those who wait for the database.
            tails += [Tail(far) for _ in range(6)]
            for tail in tails[1:]:
                tail.read()  # the record of a start, its own or a later one's
            before = tails[0].of[own][-1]
            assert far.connect(first.app.address).status == 407
            while tails[0].of[own][-1] == before:
                tails[0].read()
            assert time.monotonic() - began < 12 * SCALE  # a connection to the database is waited for for 15
        finally:
            private_cluster.thaw()
        open_tunnel(first, first.app.address, first.sign_in("alice")).close()
        tails[0].read_up_to(ends(first, far))
    finally:
        for tail in tails:
            tail.close()
    for gateway, seen in tails[0].of.items():
        assert seen == list(range(1, len(seen) + 1)), f"of {gateway}"


def test_while_the_database_is_away_a_tail_goes_on_with_its_own_gateway(private_cluster, prepared, tmp_path):
    first = prepared(database=private_cluster.url)
    proxy = Proxy(private_cluster.port)
    far = PreparedGateway(tmp_path / "far", database=private_cluster.url.replace(f":{private_cluster.port}/", f":{proxy.port}/"))
    try:
        far.start()
        wait_for(lambda: hears(far), "it to hear the others")
        tail = Tail(far, "--since", "24h")
        try:
            tail.read_up_to(ends(first, far))
            (own,) = ends(far)
            proxy.partition()
            before = tail.of[own][-1]
            assert far.connect(first.app.address).status == 407
            while tail.of[own][-1] == before:
                tail.read()
            open_tunnel(first, first.app.address, first.sign_in("alice")).close()
            proxy.heal(cut=True)
            tail.read_up_to(ends(first, far))
        finally:
            tail.close()
        for gateway, seen in tail.of.items():
            assert seen == list(range(1, len(seen) + 1)), f"of {gateway}"
    finally:
        far.app.close()
        far.close()
        proxy.close()


@pytest.mark.parametrize("what", ["cut", "unknown", "beyond", "forged"])
def test_a_cursor_that_is_none_of_this_database_is_refused(pair, what):
    first, _ = pair
    cursor = first.ctl_json("audit", "tail", "--since", "24h")[-1]["cursor"]
    (own,) = ends(first)
    wrong = {
        "cut": cursor[:-1],
        "unknown": f"2:{own}:1,01900000-0000-7000-8000-00000000000a:1.",
        "beyond": f"2:{own}:999999.",
        "forged": f"2:{own}:1'; DELETE FROM audit_events; --.",
    }[what]
    refused = first.ctl("audit", "tail", "--after", wrong, check=False)
    assert refused.returncode != 0 and "cursor" in refused.stderr, refused.stderr


def test_before_a_deletion_what_is_open_at_all_gateways_is_told(pair):
    first, other = pair
    token = signed_in(first, other)
    first.account("bob")
    of_bob = signed_in(first, other, "bob")
    here = [open_tunnel(first, first.app.address, token) for _ in range(2)]
    there = [open_tunnel(other, first.app.address, token) for _ in range(3)] + [open_tunnel(other, first.app.address, of_bob)]
    for gateway in pair:
        wait_for(gateway.shipped, "everything in the store")
    told = "and with it end 1 session, 5 open accesses (2 at this gateway, 3 at another, as its records say) and 0 enrolled devices"
    assert told in first.ctl("account", "delete", "alice", "--dry-run").stdout
    (said,) = other.ctl_json("account", "delete", "alice", "--dry-run")
    assert said["open_accesses"] == {"here": "3", "elsewhere": "2", "elsewhere_gateways": "1", "unheard": "0", "elsewhere_error": "", "here_error": ""}
    assert (said["username"], said["sessions"], said["devices"], said["policies"]) == ("alice", "1", "0", [])
    there.pop(0).close()
    wait_for(lambda: first.ctl_json("account", "delete", "alice", "--dry-run")[0]["open_accesses"]["elsewhere"] == "2", "its end to be in the store")
    assert told.replace("5", "4").replace("3 at", "2 at") in first.ctl("account", "delete", "alice").stdout
    for tunnel in [*here, *there[:2]]:
        ends_within(tunnel, 30)
    there[2].send(b"y")  # bob's
    assert there[2].recv_exactly(1) == b"y"


@pytest.mark.parametrize("how", ["hangs", "away"])
def test_before_a_deletion_this_gateway_is_told_of_while_the_database_does_not_answer(private_cluster, prepared, beside, how):
    first = prepared(database=private_cluster.url)
    other = beside(first)
    token = signed_in(first, other)
    here, there = open_tunnel(first, first.app.address, token), open_tunnel(other, first.app.address, token)
    wait_for(lambda: first.ctl_json("account", "delete", "alice", "--dry-run")[0]["open_accesses"]["elsewhere"] == "1", "the other's to be told")
    private_cluster.freeze() if how == "hangs" else private_cluster.stop()
    try:
        began = time.monotonic()
        # More often than there are threads for those who wait for the database.
        for _ in range(4):
            (said,) = first.ctl_json("account", "delete", "alice", "--dry-run")
            assert said["sessions"] == "1" and said["open_accesses"]["here"] == "1" and said["open_accesses"]["elsewhere"] == "0"
            assert said["open_accesses"]["elsewhere_error"].startswith("the database ")
        text = first.ctl("account", "delete", "alice", "--dry-run").stdout
        assert "1 session, 1 open access at this gateway and 0" in text and "What is open at other gateways is not known: the database " in text
        assert time.monotonic() - began < 10 * SCALE
        # Nor does it keep anybody from being cut off here.
        first.ctl("account", "delete", "alice", check=False)
        ends_within(here, 5)
    finally:
        private_cluster.thaw() if how == "hangs" else private_cluster.start()
    ends_within(there, 60)
