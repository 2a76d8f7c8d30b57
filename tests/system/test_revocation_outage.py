"""Access is taken away while the database hangs or is gone: it is cut off at this gateway at once, the command says what is not done yet,
and that is done when the database is back, also by a gateway that was killed meanwhile."""

import json
import subprocess
import time

import pytest

from harness.build import BIN, SCALE
from harness.prepared import prepared  # noqa: F401
from harness.tunnel import ends_within
from harness.wait import wait_for
from test_devices import Device
from test_sessions import open_tunnel

CUT = "usherctl: cut off at this gateway, but the database has not taken it"


@pytest.fixture
def frozen_later(private_cluster):
    """A server that a test may freeze; it is let go of at the end."""
    yield private_cluster
    private_cluster.thaw()


# Seconds. A sanitizer's commands take that long to start, all at once on a machine that has other things to do.
WITHIN = 2 if SCALE == 1 else 10


class Subjects:
    """One for each way of taking access away, each with a tunnel: what is done about them, and bob, to whom nothing is done."""

    def __init__(self, gateway, folder):
        self.gateway = gateway
        for name in ("disabled", "deleted", "session", "sessions", "lost", "bob"):
            gateway.account(name)
        self.tokens = {name: gateway.sign_in(name) for name in ("disabled", "deleted", "session", "sessions", "bob")}
        ids = {s["username"]: s["session_id"] for s in gateway.ctl_json("session", "list")}
        self.device = Device(folder / "devices")
        self.device.enroll(gateway, gateway.sign_in("lost"))
        self.tokens["lost"] = self.device.token(gateway, "lost")
        self.acts = {
            "disabled": ("account", "disable", "disabled"),
            "deleted": ("account", "delete", "deleted"),
            "session": ("session", "revoke", ids["session"]),
            "sessions": ("session", "revoke", "--account", "sessions"),
            "lost": ("device", "lost", self.device.id),
        }
        address = gateway.app.address
        self.tunnels = {name: open_tunnel(gateway, gateway.app, token) for name, token in self.tokens.items() if name != "lost"}
        self.tunnels["lost"] = self.device.connect(gateway, address, self.tokens["lost"])
        assert self.tunnels["lost"].status == 200

    def start(self, *arguments):
        return subprocess.Popen(
            [BIN / "usherctl", "--socket", self.gateway.data_dir / "control.sock", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def take_away(self):
        """All of them at once. They are cut before any command has an answer; then all are told that it is not done yet."""
        started = time.monotonic()
        commands = {name: self.start(*act) for name, act in self.acts.items()}
        for name in self.acts:
            ends_within(self.tunnels[name], WITHIN)
        assert time.monotonic() - started < WITHIN * SCALE
        for name, command in commands.items():
            out, err = command.communicate(timeout=30 * SCALE)
            assert command.returncode == 1 and CUT in err, (name, command.returncode, out, err)
        assert time.monotonic() - started < 15 * SCALE

    def assert_out(self):
        gateway, address = self.gateway, self.gateway.app.address
        for name, token in self.tokens.items():
            client = self.device if name == "lost" else gateway
            arguments = (gateway, address, token) if name == "lost" else (address, token)
            with client.connect(*arguments) as tunnel:
                assert tunnel.status == (200 if name == "bob" else 407), name

    def assert_durable(self):
        gateway = self.gateway
        wait_for(lambda: gateway.metric("usher_revocations_pending") == 0, "the database to have it", timeout=60)
        accounts = {a["username"]: a["status"] for a in gateway.ctl_json("account", "list")}
        assert accounts.get("disabled") == "DISABLED" and "deleted" not in accounts
        assert {s["username"] for s in gateway.ctl_json("session", "list")} == {"lost", "bob"}
        (device,) = gateway.ctl_json("device", "list")
        assert device["state"] == "LOST"
        assert (gateway.data_dir / "revocations").read_text() == ""

    def outcomes(self):
        """Of each act on record, in their order."""
        seen = {}
        for event in self.gateway.ctl_json("audit", "tail", "--since", "24h"):
            act = event.get("admin", {})
            if act.get("action") in ("account.disable", "account.delete", "session.revoke", "device.lose"):
                seen.setdefault((act["action"], act["resource"]), []).append(act["outcome"])
        return seen


def test_a_database_that_hangs_keeps_nobody_inside(frozen_later, prepared, tmp_path):
    gateway = prepared(database=frozen_later.url)
    subjects = Subjects(gateway, tmp_path)
    frozen_later.freeze()
    # Calls of somebody else that wait for the database, as many as it has threads for and more.
    waiting = [subjects.start("device", "list") for _ in range(4)]
    subjects.take_away()
    subjects.assert_out()
    assert gateway.metric("usher_revocations_pending") == len(subjects.acts)
    frozen_later.thaw()
    for process in waiting:
        process.communicate(timeout=60 * SCALE)
    wait_for(lambda: gateway.metric("usher_revocations_pending") == 0, "the database to have it", timeout=60)
    subjects.assert_durable()
    subjects.assert_out()
    outcomes = subjects.outcomes()
    assert len(outcomes) == len(subjects.acts)
    assert set(map(tuple, outcomes.values())) == {("DONE", "FAILED", "DONE")}, outcomes
    cut = wait_for(
        lambda: (rows := [r for r in gateway.records("event = CLOSED") if r["close_reason"] == "REVOKED"]) and len(rows) == len(outcomes) and rows,
        "the records",
        timeout=60,
    )
    assert {r["username"] for r in cut} == set(subjects.acts) and all(r["revoked_at"] for r in cut)
    gateway.ctl("account", "enable", "disabled")
    gateway.sign_in("disabled")


def test_a_gateway_that_was_killed_forgets_nobody(private_cluster, prepared, tmp_path):
    gateway = prepared(database=private_cluster.url)
    subjects = Subjects(gateway, tmp_path)
    private_cluster.stop("immediate")
    subjects.take_away()
    subjects.assert_out()
    refused = gateway.ctl("account", "enable", "disabled", check=False)
    assert refused.returncode == 1 and "is being disabled" in refused.stderr
    kept = [json.loads(line) for line in (gateway.data_dir / "revocations").read_text().splitlines()]
    assert {k["kind"] for k in kept} == {"account-disabled", "account-deleted", "session", "sessions-of", "device-lost"}
    assert (gateway.data_dir / "revocations").stat().st_mode & 0o777 == 0o600
    gateway.kill()
    private_cluster.start()
    gateway.start()
    subjects.assert_out()
    subjects.assert_durable()
    subjects.assert_out()


def test_a_file_that_was_damaged_is_no_permission(prepared):
    gateway = prepared()
    assert gateway.stop() == 0
    (gateway.data_dir / "revocations").write_text('{"kind":"session"}\n')
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1
    assert f"{gateway.data_dir}/revocations: line 1 has members that are not known, or too few" in gateway.log()
