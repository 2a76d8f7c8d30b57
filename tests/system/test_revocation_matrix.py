"""Each cause that takes an access away, against live tunnels of HTTP/1.1 and HTTP/2: those of its subject end with the right reason on
record, those of others go on. And revocations that race with admissions: what was opened before is cut, and nothing is opened after."""

import datetime
import os
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.apps import EchoApp, SourceApp
from harness.build import SANITIZER, SCALE
from harness.factors import enroll_by_administrator, sign_in
from harness.h2_client import H2Client
from harness.prepared import PreparedGateway
from harness.tunnel import ends_within
from harness.wait import wait_for
from test_clock import SOURCE as STEP_CLOCK
from test_devices import Device

# The number of races; a long run has 500.
RACES = int(os.environ.get("USHER_REVOCATION_RACES") or (20 if SANITIZER else 100))
HOUR = 3600


class Tunnels:
    """One session's tunnels to an app: two over HTTP/1.1 and two on one connection of HTTP/2."""

    def __init__(self, gateway, target, token, device=None):
        self.plain = [device.connect(gateway, target, token) if device else gateway.connect(target, token) for _ in range(2)]
        self.client = H2Client(gateway, context=device.context(gateway) if device else None)
        self.streams = [self.client.connect(target, token) for _ in range(2)]
        assert [t.status for t in self.plain + self.streams] == [200] * 4
        self.assert_alive()

    def assert_alive(self):
        for tunnel in self.plain + self.streams:
            tunnel.send(b"ping")
            assert tunnel.recv_exactly(4) == b"ping"

    def assert_cut(self):
        for tunnel in self.plain:
            ends_within(tunnel, 10)
        for stream in self.streams:
            stream.wait_over()
            assert stream.reset is not None

    def close(self):
        for tunnel in self.plain:
            tunnel.close()
        self.client.close()


class World:
    """A gateway whose wall clock can be set, and bob, an employee of Finance as all are here, who has nothing to do with any of it."""

    def __init__(self, folder):
        self.folder = folder
        self.offset = folder / "offset"
        env = {}
        if not SANITIZER:  # which wants to be loaded before what moves the clock
            library = folder / "step_clock.so"
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, STEP_CLOCK], check=True)
            self.set_clock(0)
            env = {"LD_PRELOAD": str(library), "USHER_CLOCK_OFFSET": str(self.offset)}
        config = {"limits": {"sign_ins_burst": 1000, "sign_ins_per_minute": 60000}}
        self.gateway = PreparedGateway(folder / "gateway", env=env, config=config).prepare()
        self.gateway.account("bob")
        self.bob = self.gateway.sign_in("bob")
        self.bystander = Tunnels(self.gateway, self.gateway.app.address, self.bob)

    def set_clock(self, seconds):
        draft = self.folder / "draft"
        draft.write_text(str(seconds))
        draft.rename(self.offset)

    def close(self):
        try:
            self.bystander.close()
            self.gateway.check()
        finally:
            self.gateway.app.close()
            self.gateway.close()
        self.gateway.check()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


class Case:
    """One cause's victim, an employee with an app `name` that bob may use too, and what has to be let go of again."""

    def __init__(self, world, name):
        self.world, self.gateway, self.name = world, world.gateway, name
        self.app = EchoApp()
        self.open = []
        self.factor = None
        self.gateway.account(name, groups=("staff", name))
        self.policy("[{groups: [" + name + "]}, {accounts: [bob]}]", with_app=True)

    def policy(self, allow, with_app=False):
        app = f"kind: app\nname: {self.name}\ndestinations: ['{self.app.address}']\nallow_addresses: ['127.0.0.0/8']\n---\n"
        self.gateway.apply((app if with_app else "") + f"kind: policy\nname: {self.name}\napps: [{self.name}]\nallow: {allow}\n")

    def sign_in(self):
        status, answer = sign_in(self.gateway, self.name, code=self.factor.code() if self.factor else None)
        assert status == 201, answer
        self.token = answer["token"]
        return answer["token"], answer["session_id"]

    def say_encrypted(self, word):
        status, answer = self.gateway.request("PUT", "/.usher/v1/sessions/current/posture", {"disk_encrypted": word}, self.token)
        assert status == 204, answer

    def tunnels(self, token, device=None):
        self.open.append(Tunnels(self.gateway, self.app.address, token, device))
        return self.open[-1]

    def update(self, *arguments):
        self.gateway.ctl("account", "update", self.name, *arguments)

    def close(self):
        for tunnels in self.open:
            tunnels.close()
        # Before its port is free: another case's app may get it, and one destination belongs to one app.
        for kind in ("policy", "app"):
            self.gateway.ctl("delete", kind, self.name, check=False)
        self.app.close()


@pytest.fixture
def case(world, request):
    made = Case(world, request.node.callspec.params["cause"])
    yield made
    made.close()


def in_a_moment():
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def end_window(case):
    case.world.set_clock(2 * HOUR)


def open_window(case):
    """The policy's hours: this one and the next."""
    hour = datetime.datetime.now(datetime.timezone.utc).hour
    hours = f"daily {hour:02}:00-{(hour + 2) % 24:02}:00 UTC".replace("-00:00", "-24:00")
    case.policy("[{groups: [" + case.name + "], times: ['" + hours + "']}, {accounts: [bob]}]")


def ask_for_encryption(case):
    case.policy("[{groups: [" + case.name + "], posture: [disk_encrypted]}, {accounts: [bob]}]")


def ask_for_a_fresh_factor(case):
    """So fresh that it is too old a few seconds later."""
    case.factor, _ = enroll_by_administrator(case.gateway, case.name)
    case.policy("[{groups: [" + case.name + "], mfa_within: " + str(5 * SCALE) + "s}, {accounts: [bob]}]")


def remove_app(case):
    # A policy that names no app that is there is refused, so it goes first.
    case.gateway.ctl("delete", "policy", case.name)
    case.gateway.ctl("delete", "app", case.name)


# What is done, and the reason that goes on record.
CAUSES = {
    "disabled": (lambda c: c.gateway.ctl("account", "disable", c.name), "REVOKED"),
    "deleted": (lambda c: c.gateway.ctl("account", "delete", c.name), "REVOKED"),
    "validity": (lambda c: c.update("--valid-until", in_a_moment()), "REVOKED"),
    "group": (lambda c: c.update("--group", "staff"), "POLICY_CHANGED"),
    "policy": (lambda c: c.policy("[{accounts: [bob]}]"), "POLICY_CHANGED"),
    "denied": (lambda c: c.policy("[{groups: [staff]}]\ndeny: [{groups: [" + c.name + "]}]"), "POLICY_CHANGED"),
    "window": (end_window, "POLICY_CHANGED"),
    "app": (remove_app, "POLICY_CHANGED"),
    "posture": (lambda c: c.say_encrypted("no"), "POLICY_CHANGED"),
    "factor": (lambda c: None, "POLICY_CHANGED"),  # only grows old
}
# What comes before the sign-in, and between it and the tunnels.
BEFORE = {"window": open_window, "posture": ask_for_encryption, "factor": ask_for_a_fresh_factor}
SIGNED_IN = {"posture": lambda c: c.say_encrypted("yes")}


def assert_on_record(case, session_id, reason, count=4):
    """The session's accesses are closed for that reason, with the moment at which they were taken away."""
    mine = f'session_id = "{session_id}" AND event = CLOSED'
    records = wait_for(lambda: (rows := case.gateway.records(mine)) and len(rows) >= count and rows, "the records")
    assert [r["close_reason"] for r in records] == [reason] * count
    for record in records:
        opened, revoked, closed = (moment(record[key]) for key in ("opened_at", "revoked_at", "closed_at"))
        assert opened <= revoked <= closed < revoked + datetime.timedelta(seconds=5 * SCALE)
        # They moved nothing then; where time alone ended it nobody has counted.
        assert record.get("bytes_after_revocation") in ((None, "0") if case.name in ("validity", "window", "factor") else ("0",))
        # A cut may come before the client's host has acknowledged what it has, and the record says that.
        assert record["bytes_up"] == "4" and record["bytes_down"] in (("4", "0") if record.get("bytes_uncertain") else ("4",))


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("cause", CAUSES)
def test_what_is_taken_away_ends_and_nothing_else_does(world, case, cause):
    if cause == "window" and SANITIZER:
        pytest.skip("no clock can be set")
    act, reason = CAUSES[cause]
    BEFORE.get(cause, lambda _: None)(case)
    token, session_id = case.sign_in()
    SIGNED_IN.get(cause, lambda _: None)(case)
    live = case.tunnels(token)
    others = [world.bystander] + ([] if cause == "app" else [case.tunnels(world.bob)])
    act(case)
    try:
        live.assert_cut()
        for tunnels in others:
            tunnels.assert_alive()
        assert case.gateway.connect(case.app.address, token).status in (403, 407)
    finally:
        if cause == "window":
            world.set_clock(0)
    assert_on_record(case, session_id, reason)


@pytest.mark.parametrize("cause", ["revoked"])
def test_a_revoked_session_ends_alone(world, case, cause):
    (token, session_id), (kept, _) = case.sign_in(), case.sign_in()
    live, other = case.tunnels(token), case.tunnels(kept)
    case.gateway.ctl("session", "revoke", session_id)
    live.assert_cut()
    other.assert_alive()
    world.bystander.assert_alive()
    assert case.gateway.connect(case.app.address, token).status == 407
    assert_on_record(case, session_id, "REVOKED")


@pytest.mark.parametrize("cause", ["http1", "http2"])
def test_the_record_says_what_passed_behind_the_order(case, cause):
    """At full speed: at most the piece that was in the worker's hands when the order came."""
    token, session_id = case.sign_in()
    with SourceApp(1 << 40) as source:
        case.gateway.apply(f"kind: app\nname: {case.name}\ndestinations: ['{case.app.address}', '{source.address}']\n"
                           "allow_addresses: ['127.0.0.0/8']\n")
        if cause == "http1":
            tunnel = case.gateway.connect(source.address, token)
            reader = threading.Thread(target=lambda: read_to_the_end(tunnel))
        else:
            client = H2Client(case.gateway)
            tunnel = client.connect(source.address, token)
            reader = threading.Thread(target=lambda: client.wait(lambda: tunnel.over))
        assert tunnel.status == 200
        reader.start()
        wait_for(lambda: source.sent > 1 << 22, "the transfer to be under way")
        case.gateway.ctl("session", "revoke", session_id)
        reader.join(30 * SCALE)
        assert not reader.is_alive()
    (record,) = wait_for(lambda: case.gateway.records(f'session_id = "{session_id}" AND event = CLOSED'), "the record")
    assert record["close_reason"] == "REVOKED"
    assert 0 <= int(record["bytes_after_revocation"]) <= min(1 << 19, int(record["bytes_down"]))
    assert moment(record["opened_at"]) < moment(record["revoked_at"]) <= moment(record["closed_at"])


def read_to_the_end(tunnel):
    try:
        while tunnel.recv(1 << 16):
            pass
    except OSError:
        pass


@pytest.mark.parametrize("cause", ["lost", "lock", "unbind"])
def test_what_stands_on_a_device_ends_with_it(world, case, cause, tmp_path):
    kept, _ = case.sign_in()
    mine, other = (Device(tmp_path / "devices", name) for name in ("mine", "other"))
    for device in (mine, other):
        device.enroll(case.gateway, kept)
    status, answer = mine.sign_in(case.gateway, case.name)
    assert status == 201, answer
    live = case.tunnels(answer["token"], mine)
    others = [case.tunnels(other.token(case.gateway, case.name), other), case.tunnels(kept), world.bystander]
    case.gateway.ctl("device", cause, mine.id)
    live.assert_cut()
    for tunnels in others:
        tunnels.assert_alive()
    assert mine.connect(case.gateway, case.app.address, answer["token"]).status == 407
    assert_on_record(case, answer["session_id"], "REVOKED")


class Racer(threading.Thread):
    """Opens tunnels until one is refused. A race is over when all have been."""

    def __init__(self, gateway, token):
        super().__init__(daemon=True)
        self.gateway, self.token = gateway, token
        self.opened = []
        self.refused = None  # the status
        self.acknowledged = None  # set by the test, once the revocation has answered
        self.late = 0  # asked for after that, and opened
        self.failure = None
        self.began = threading.Event()

    def run(self):
        try:
            while self.refused is None:
                late = self.acknowledged is not None
                status = self.attempt()
                self.began.set()
                if status == 200:
                    self.late += late
                elif status is not None:
                    self.refused = status
        except BaseException as error:
            self.failure = error


class PlainRacer(Racer):
    def attempt(self):
        try:
            tunnel = self.gateway.connect(self.gateway.app.address, self.token)
        except (ConnectionError, OSError):
            return None  # cut while it was being opened
        if tunnel.status == 200:
            self.opened.append(tunnel)
        else:
            tunnel.close()
        return tunnel.status

    def assert_cut(self):
        for tunnel in self.opened:
            ends_within(tunnel, 10)
            tunnel.close()


class StreamRacer(Racer):
    def __init__(self, gateway, token):
        super().__init__(gateway, token)
        self.client = H2Client(gateway)

    def attempt(self):
        if len(self.opened) >= 60:  # of the 100 that a connection may have, so that this bound refuses nothing
            time.sleep(0.001)  # the others go on meanwhile
            if self.acknowledged is None:
                return None
        stream = self.client.connect(self.gateway.app.address, self.token)
        if stream.status == 200:
            self.opened.append(stream)
        return stream.status

    def assert_cut(self):
        for stream in self.opened:
            stream.wait_over()
            assert stream.reset is not None and not stream.data
        self.client.close()


def race(gateway, pause):
    """One session's tunnels are opened as fast as two connections can, and it is revoked meanwhile. How many were opened."""
    status, answer = gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": "correct horse battery"})
    assert status == 201, answer
    racers = [PlainRacer(gateway, answer["token"]), StreamRacer(gateway, answer["token"])]
    for racer in racers:
        racer.start()
    assert any(racer.began.wait(30 * SCALE) for racer in racers)
    time.sleep(pause)  # so that they meet at another point each time
    gateway.ctl("session", "revoke", answer["session_id"])
    for racer in racers:
        racer.acknowledged = True
    for racer in racers:
        racer.join(30 * SCALE)
        assert not racer.is_alive() and racer.failure is None, racer.failure
        assert racer.refused == 407 and racer.late == 0
        racer.assert_cut()
    return sum(len(racer.opened) for racer in racers)


def test_nothing_is_opened_once_a_revocation_has_answered(world):
    gateway = world.gateway
    chance = random.Random(4)
    with ThreadPoolExecutor(4) as pool:
        opened = sum(pool.map(lambda pause: race(gateway, pause), [chance.uniform(0, 0.01) for _ in range(RACES)]))
    world.bystander.assert_alive()
    closed = 'username = "alice" AND event = CLOSED'
    rows = wait_for(lambda: (rows := gateway.records(closed)) and len(rows) >= opened and rows, "the records")
    assert {r["close_reason"] for r in rows} == {"REVOKED"}
    # Of those that were cut before they had their 200 too.
    wait_for(lambda: gateway.records('username = "alice" AND event = OPENED') == [], "the end of each to be in the store")
