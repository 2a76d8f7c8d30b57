"""What a change of policies would mean, before it is made: who gains and who loses (diff), and which accesses on record would be decided
otherwise (replay)."""

import json

import pytest

from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for
from test_policy import app


def policy(name, allow, deny="", apps="demo"):
    return f"kind: policy\nname: {name}\napps: [{apps}]\nallow: {allow}\n" + (f"deny: {deny}\n" if deny else "")


FINANCE = policy("demo", "[{departments: [Finance]}]")


@pytest.fixture
def gateway(prepared, database):  # noqa: F811
    """alice of Finance in staff and bob of Sales in guests; Finance may use demo."""
    made = prepared(database=database)
    made.account("bob", department="Sales", groups=("guests",))
    return made


def ask(gateway, what, text, *options, check=True):
    return gateway.ctl("policy", what, *options, *([] if text is None else ["-"]), input=text, check=check)


def answers(gateway, what, text, *options):
    return [json.loads(line) for line in ask(gateway, what, text, *options, "-o", "json").stdout.splitlines()]


def rows(shown):
    return [line.split() for line in shown.splitlines()[1:-1]]


def test_who_gains_and_who_loses(gateway):
    before = gateway.ctl("get", "policies", "-o", "json").stdout
    shown = ask(gateway, "diff", policy("demo", "[{groups: [guests]}]")).stdout
    assert rows(shown) == [["demo", "alice", "loses", "always", "never"], ["demo", "bob", "gains", "never", "always"]]
    assert shown.splitlines()[-1] == "1 gained, 1 lost, 0 under other conditions; nothing was applied"
    new = app("other", "127.0.0.1:9") + "---\n" + policy("other", "[{groups: [guests], networks: [10.0.0.0/8]}]", apps="other")
    (only,) = answers(gateway, "diff", new)
    assert only == {"account": "bob", "app": "other", "before": "NEVER", "after": "SOMETIMES"}
    same = ask(gateway, "diff", FINANCE, "--exit-code")
    assert same.returncode == 0 and "0 gained, 0 lost" in same.stdout
    assert ask(gateway, "diff", policy("demo", "[{accounts: [alice]}]", "[{times: [daily 08:00-09:00 UTC], groups: [staff]}]"), "--exit-code", check=False).returncode == 3
    refused = ask(gateway, "diff", FINANCE + "expect: {account: bob, app: demo, allow: true}\n", check=False)
    assert refused.returncode == 1 and "standard input:5:9: expect[0]: expected that 'bob' may use 'demo'" in refused.stderr
    assert gateway.ctl("get", "policies", "-o", "json").stdout == before


def test_which_accesses_would_be_decided_otherwise(gateway):
    alice, bob = gateway.sign_in("alice"), gateway.sign_in("bob")
    for token, status in ((alice, 200), (alice, 200), (bob, 403), ("x" * 43, 407)):
        with gateway.connect(gateway.app.address, token) as tunnel:
            assert tunnel.status == status
    wait_for(lambda: len([r for r in gateway.records() if r["event"] in ("CLOSED", "DENIED")]) == 4, "the records")

    now = ask(gateway, "replay", None, "--exit-code")
    assert now.stdout.splitlines()[-2:] == ["3 accesses judged, 0 would be decided otherwise", "1 not judged: no policy had decided about them"]
    flips = answers(gateway, "replay", policy("demo", "[{groups: [guests]}]"), "--since", "1h")
    assert [(f["account"], f["allowed"], f["reason"]) for f in flips] == [
        ("alice", True, "no-allow-rule"), ("alice", True, "no-allow-rule"), ("bob", False, "allow-rule demo/allow[0] by group"),
    ]
    assert [f["recorded_reason"] for f in flips] == ["allow-rule demo/allow[0] by department"] * 2 + ["no-allow-rule"]
    shown = ask(gateway, "replay", policy("demo", "[{departments: [Finance], devices: [active]}]"), "--exit-code", check=False)
    assert shown.returncode == 3 and "denied: device-needed demo/allow[0]" in shown.stdout
    assert "3 accesses judged, 2 would be decided otherwise" in shown.stdout
    # Groups are not on record, so who has changed since is told apart.
    gateway.ctl("account", "update", "bob", "--group", "staff")
    (flip,) = answers(gateway, "replay", policy("demo", "[{departments: [Finance]}, {groups: [staff]}]"))
    assert flip["account"] == "bob" and flip["account_changed"]
    gateway.ctl("account", "delete", "bob")
    gone = ask(gateway, "replay", None).stdout
    assert "1 not judged: their account is gone" in gone and "2 accesses judged" in gone
    assert "0 accesses judged" in ask(gateway, "replay", None, "--since", "2099-01-01T00:00:00Z").stdout
    wrong = ask(gateway, "replay", None, "--since", "soon", check=False)
    assert wrong.returncode == 2 and "neither a duration" in wrong.stderr
