"""What agents say of their devices: as policies ask for it, as it ends what it does not allow any more, and as it is on record."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.gateway import PASSWORD
from harness.prepared import prepared  # noqa: F401
from harness.tunnel import ends_within
from harness.wait import wait_for
from test_gateways import beside, pair  # noqa: F401
from test_up import agents  # noqa: F401

POSTURE = "/.usher/v1/sessions/current/posture"
GOOD = {"os": "debian", "os_version": "12.4", "agent_version": "0.1.0", "disk_encrypted": "yes", "device_uid": "ab" * 32}
BAD = {**GOOD, "disk_encrypted": "no"}
POLICY = """
kind: policy
name: demo
apps: [demo]
allow:
  - {groups: [staff], posture: [disk_encrypted, os_version >= 12]}
"""


def say(gateway, token, posture):
    return gateway.request("PUT", POSTURE, posture, token)


def said(gateway, token, posture):
    """Says it, as soon as the rate bears it."""
    wait_for(lambda: say(gateway, token, posture)[0] == 204, "the report to be taken", timeout=30)


def status(gateway, address, token):
    with gateway.connect(address, token) as tunnel:
        return tunnel.status


@pytest.fixture
def stored(gateway_factory, database, echo):
    made = gateway_factory(database=database).start()
    made.account("alice")
    made.allow("demo", echo.address)
    return made


def test_a_policy_asks_what_the_device_says(stored, echo):
    gateway, app = stored, echo.address
    gateway.apply(POLICY)
    token = gateway.sign_in("alice")
    with gateway.connect(app, token) as tunnel:
        assert tunnel.status == 403 and "does not meet what is asked of it" in tunnel.body()
    said(gateway, token, BAD)
    assert status(gateway, app, token) == 403
    said(gateway, token, GOOD)
    with gateway.connect(app, token) as tunnel:
        assert tunnel.status == 200
        tunnel.send(b"through")
        assert tunnel.recv_exactly(7) == b"through"
        # It ends when the device says otherwise.
        said(gateway, token, BAD)
        ends_within(tunnel, 10)
    record = gateway.wait_closed()
    assert record["close_reason"] == "POLICY_CHANGED" and "revoked_at" in record
    assert record["reasons"] == ["allow-rule demo/allow[0] by group and posture", "group staff", "posture disk_encrypted and os_version >= 12"]
    assert record["device"]["os_version"] == "12.4" and record["device"]["disk_encrypted"] == "yes"
    denied = gateway.wait_record(lambda r: r["event"] == "DENIED" and r.get("device", {}).get("disk_encrypted") == "no")
    assert denied["reasons"] == ["posture-needed demo/allow[0]", "posture disk_encrypted"] and denied["device"]["uid"] == "ab" * 32
    found = gateway.records('device.disk_encrypted = "yes" AND device.os_version = "12.4"')
    assert [r["access_id"] for r in found] == [record["access_id"]]
    # It is a session's: another one of the same account has said nothing.
    assert status(gateway, app, gateway.sign_in("alice")) == 403
    # It outlives the gateway.
    said(gateway, token, GOOD)
    gateway.stop()
    gateway.start()
    assert status(gateway, app, token) == 200
    (session,) = [s for s in gateway.ctl_json("session", "list") if s["device"].get("os_version")]
    assert session["device"]["os_id"] == "debian" and session["device"]["disk_encrypted"] == "yes"
    # What it said is on record, and nothing twice.
    events = [e["session"] for e in gateway.ctl_json("audit", "tail", "--since", "1h") if "session" in e]
    reported = [e["device"]["disk_encrypted"] for e in events if e["event"] == "POSTURE_REPORTED"]
    assert reported == ["no", "yes", "no", "yes"]


def asking(*conditions):
    """A policy for alice's group that asks for all of these."""
    return POLICY.replace("disk_encrypted, os_version >= 12", ", ".join(conditions))


def test_policies_ask_for_numbers_and_for_the_screen(gateway, echo):
    app, token = echo.address, gateway.sign_in("alice")
    gib = 1 << 30
    now = {"screen": "1920x1080", "storage_bytes": str(256 * gib), "storage_free_bytes": str(20 * gib), "battery_percent": "30"}
    said(gateway, token, now)
    for condition, code in [
        ("storage_bytes >= 256GiB", 200), ("storage_bytes > 256GiB", 403), (f"storage_bytes = {256 * gib}", 200),
        ("battery_percent >= 30", 200), ("battery_percent < 9", 403), ("battery_percent != 30", 403),
        ("screen = 1920x1080", 200), ("screen != 1920x1080", 403),
    ]:
        gateway.apply(asking(condition))
        assert status(gateway, app, token) == code, condition
    # What is told of a disk that fills up ends what is open.
    gateway.apply(asking("storage_free_bytes >= 10GiB", "battery_percent > 20"))
    with gateway.connect(app, token) as tunnel:
        assert tunnel.status == 200
        said(gateway, token, {**now, "storage_free_bytes": str(9 * gib)})
        ends_within(tunnel, 10)
    record = gateway.wait_closed(lambda r: r["close_reason"] == "POLICY_CHANGED")
    assert record["reasons"][-1] == "posture storage_free_bytes >= 10GiB and battery_percent > 20"
    assert record["device"]["battery_percent"] == 30 and record["device"]["storage_bytes"] == str(256 * gib)
    with gateway.connect(app, token) as tunnel:
        assert tunnel.status == 403 and "does not meet what is asked of it" in tunnel.body()
    # What is declined is neither so nor otherwise.
    gateway.apply(asking("battery_percent <= 100"))
    assert status(gateway, app, token) == 200
    said(gateway, token, {})
    assert status(gateway, app, token) == 403
    ask = ("policy", "explain", "--account", "alice", "--app", "demo")
    assert gateway.ctl(*ask, "--posture", "battery_percent = 5").stdout.startswith("alice may use demo")
    gateway.apply(asking("storage_bytes >= 1GiB") + "expect: [{account: alice, app: demo, posture: [storage_bytes = 1GiB], allow: true}]\n")
    assert f'posture: ["storage_bytes = {gib}"]' in gateway.ctl("get", "policies", "-o", "yaml").stdout


def test_reports_are_read_strictly_and_have_a_rate(gateway):
    token = gateway.sign_in("alice")
    assert say(gateway, None, GOOD) == (401, {"error": "not-signed-in"})
    for bad, what in [
        ({"shape": "round"}, "shape: "),
        ({"firewall": "true"}, "firewall: is neither yes nor no"),
        ({"os": "a\nb"}, "os: "),
        ({"os": ""}, "os: is empty"),
        ({"battery_percent": "101"}, "battery_percent: "),
        ({"os": "x" * 300}, "os: "),
        ({"device_name": "x" * 201}, "device_name: "),
        ({"model": "a\x1b[2J"}, "model: "),
        ({"language": ""}, "language: is empty"),
        ({"name": "alices-laptop"}, "name: is nothing"),
    ]:
        code, answer = say(gateway, token, bad)
        assert code == 400 and answer["error"] == "malformed-posture" and answer["reason"].startswith(what), (bad, answer)
    for malformed in ({"os": 1}, {"os": None}, {"os": ["debian"]}, [1], "debian"):
        assert say(gateway, token, malformed)[0] == 400
    assert say(gateway, token, {"device": {"os": "debian"}}) == (400, {"error": "malformed-posture"})
    assert gateway.request("POST", POSTURE, GOOD, token)[0] == 405
    assert gateway.request("GET", POSTURE, None, token)[0] == 405
    assert say(gateway, token, GOOD) == (204, None)
    # Nothing new costs nothing; another thing waits.
    assert [say(gateway, token, GOOD)[0] for _ in range(20)] == [204] * 20
    answers = [say(gateway, token, posture) for posture in [BAD, GOOD] * 6]
    assert answers[:4] == [(204, None)] * 4 and (429, {"error": "too-many-reports"}) in answers
    # Another session has its own.
    other = gateway.sign_in("alice")
    assert say(gateway, other, {}) == (204, None)
    first, second = (gateway.request("GET", "/.usher/v1/sessions/current", None, t)[1] for t in (token, other))
    assert first["tenant"] == second["tenant"] and len(first["tenant"]) == 43


def test_policies_with_posture_are_kept_shown_and_tested(gateway):
    expect = """expect:
  - {account: alice, app: demo, posture: [disk_encrypted, os_version = 12], allow: true}
  - {account: alice, app: demo, posture: [not disk_encrypted, os_version = 12], allow: false}
  - {account: alice, app: demo, allow: false}
"""
    gateway.apply(POLICY + expect)
    shown = gateway.ctl("get", "policies", "-o", "yaml").stdout
    assert 'posture: ["disk_encrypted", "os_version >= 12"]' in shown and 'posture: ["not disk_encrypted", "os_version = 12"]' in shown
    assert "unchanged" in gateway.apply(shown).stdout
    assert "disk_encrypted and os_version >= 12" in gateway.ctl("get", "policies").stdout
    for text, complaint in [
        (POLICY.replace("os_version >= 12", "os_version >= twelve"), "'os_version >= twelve' is no condition"),
        (POLICY.replace("os_version >= 12", "battery = 12"), "expected disk_encrypted, firewall or screen_lock"),
        (POLICY.replace("{groups: [staff], ", "{"), "is empty; a rule names accounts"),
        (POLICY.replace("posture:", "postures:"), "did you mean 'posture'"),
        (POLICY + "expect: {account: alice, app: demo, posture: [os_version >= 12], allow: true}", "says what something is not"),
        (POLICY + "expect: {account: alice, app: demo, posture: [firewall], allow: true}", "posture-needed demo/allow[0]"),
    ]:
        refused = gateway.apply(text, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, (complaint, refused.stderr)
    ask = ("policy", "explain", "--account", "alice", "--app", "demo")
    assert "posture-needed demo/allow[0]" in gateway.ctl(*ask).stdout
    assert "the device does not say what is asked for" in gateway.ctl(*ask, "--posture", "not disk_encrypted").stdout
    answer = gateway.ctl(*ask, "--posture", "disk_encrypted", "--posture", "os_version = 13").stdout
    assert answer.startswith("alice may use demo: allow-rule demo/allow[0] by group and posture")
    refused = gateway.ctl(*ask, "--posture", "colour = red", check=False)
    assert refused.returncode != 0 and "posture[0]: 'colour = red' is no condition" in refused.stderr


def test_what_is_said_at_one_gateway_ends_tunnels_at_another(pair):
    first, second = pair
    first.apply(POLICY)
    token = first.sign_in("alice")
    said(first, token, GOOD)
    wait_for(lambda: status(second, first.app.address, token) == 200, "the other gateway to know it", timeout=20)
    with second.connect(first.app.address, token) as tunnel:
        assert tunnel.status == 200
        said(first, token, BAD)
        ends_within(tunnel, 10)


def shown(gateway):
    """What the gateway knows of the one session's device."""
    (session,) = gateway.ctl_json("session", "list")
    return session["device"]


def test_the_agent_says_how_the_machine_is_and_its_user_may_decline(gateway, echo):
    def usher(*arguments, check=True, input=None):
        return gateway.client("usher", *arguments, check=check, input=input)

    (os_id,) = [line[3:].strip().strip('"') for line in open("/etc/os-release") if line.startswith("ID=")]
    usher("login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n")
    known = shown(gateway)
    assert known["os_id"] == os_id and known["agent_version"] and len(known["uid"]) == 64
    # The machine's own id is neither sent nor to be found out.
    with open("/etc/machine-id") as file:
        assert file.read().strip() not in str(gateway.ctl_json("audit", "tail", "--since", "1h"))
    body = json.loads(usher("posture", "-o", "json").stdout)
    assert body["posture"]["os"] == os_id and body["gateway"] == "takes-reports"
    assert body["posture"]["device_uid"] == known["uid"]
    # It is enough for a policy that asks for it, and is not when its user does not want it to be said.
    gateway.apply(POLICY.replace("disk_encrypted, os_version >= 12", f"os = {os_id}"))
    assert usher("connect", echo.address, input="through").stdout == "through"
    assert usher("posture", "decline", "os").stderr == ""
    assert not shown(gateway)["os_id"] and shown(gateway)["agent_version"] == known["agent_version"]
    refused = usher("connect", echo.address, input="", check=False)
    assert refused.returncode == 1 and "usher posture" in refused.stderr
    assert "declined" in usher("posture").stdout
    unknown = usher("posture", "decline", "colour", check=False)
    assert unknown.returncode == 2 and "colour" in unknown.stderr


@pytest.mark.skipif(Path("/run/.containerenv").exists(), reason="in a container of Podman nothing of a desktop is known")
def test_the_screens_lock_is_what_the_desktop_is_set_to(gateway, echo):
    # Cinnamon's own settings, by GNOME's own tool; only where they are kept is not as on a desktop.
    cinnamon = {"XDG_CURRENT_DESKTOP": "X-Cinnamon", "GSETTINGS_BACKEND": "keyfile"}
    home = gateway.directory / "home"
    home.mkdir()

    def usher(*arguments, desktop=cinnamon, check=True, input=None):
        return gateway.client("usher", *arguments, check=check, input=input, environment=desktop)

    def set_to(schema, key, value):
        subprocess.run(
            ["gsettings", "set", f"org.cinnamon.desktop.{schema}", key, value], check=True, timeout=60,
            env={**gateway.client_environment(home), **cinnamon},
        )

    def says(desktop):
        return json.loads(usher("posture", "-o", "json", desktop=desktop).stdout)["posture"].get("screen_lock")

    gateway.apply(POLICY.replace("disk_encrypted, os_version >= 12", "screen_lock"))
    usher("login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n")
    assert shown(gateway)["screen_lock"] == "yes"  # as Cinnamon comes
    assert usher("connect", echo.address, input="through").stdout == "through"
    set_to("session", "idle-delay", "0")
    usher("posture", "allow", "screen_lock")  # which reports
    assert shown(gateway)["screen_lock"] == "no"
    refused = usher("connect", echo.address, input="", check=False)
    assert refused.returncode == 1 and "usher posture" in refused.stderr
    set_to("session", "idle-delay", "60")
    assert says(cinnamon) == "yes"
    set_to("screensaver", "lock-enabled", "false")
    assert says(cinnamon) == "no"
    assert says({**cinnamon, "XDG_DATA_DIRS": "/nowhere"}) is None
    plasma = {"XDG_CURRENT_DESKTOP": "KDE", "XDG_CONFIG_DIRS": str(home / "none")}
    assert says(plasma) == "yes"
    (home / ".config" / "kscreenlockerrc").write_text("[Daemon]\nAutolock=false\n")
    assert says(plasma) == "no"
    assert says({**plasma, "XDG_CONFIG_HOME": str(home / "none")}) == "yes"
    assert says({}) is None and says({"XDG_CURRENT_DESKTOP": "XFCE"}) is None
    usher("posture", "decline", "screen_lock")
    assert says(cinnamon) is None and shown(gateway)["screen_lock"] == ""


def test_the_running_agent_reports_what_changes(gateway, agents):
    agent = agents(gateway).login().start()
    assert shown(gateway)["os_id"]
    # It looks once a minute.
    (agent.home / ".config" / "usher" / "posture.yaml").write_text("decline: [os]\n")
    wait_for(lambda: not shown(gateway)["os_id"], "the change to be reported", timeout=90)
    assert shown(gateway)["agent_version"]
