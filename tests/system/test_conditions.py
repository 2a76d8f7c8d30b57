"""Rules by role, network and hours, the validity of accounts, tests that stand in a policy, and what explains a decision."""

import datetime

from test_policy import app
from test_sessions import ends_within, open_tunnel

ALWAYS = "daily 00:00-24:00 UTC"


def policy(allow, expect=""):
    return f"kind: policy\nname: hours\napps: [demo2]\nallow: {allow}\n" + (f"expect: {expect}\n" if expect else "")


def never_now():
    """A window that begins in one to two hours."""
    hour = datetime.datetime.now(datetime.timezone.utc).hour
    return f"daily {(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00 UTC".replace("-00:00", "-24:00")


def rule(**conditions):
    return "[{groups: [staff], " + ", ".join(f"{key}: {value}" for key, value in conditions.items()) + "}]"


def test_a_rule_asks_from_where_and_when(gateway, echo):
    token = gateway.sign_in("alice")
    gateway.ctl("delete", "policy", "demo")

    def status(allow):
        text = f"kind: policy\nname: demo\napps: [demo]\nallow: {allow}\n"
        gateway.apply(text)
        with gateway.connect(echo.address, token) as answer:
            return answer.status

    assert status(rule(networks=["127.0.0.0/8"], times=[ALWAYS], roles=["employee"])) == 200
    assert status(rule(networks=["10.0.0.0/8"])) == 403
    assert status(rule(times=[never_now()])) == 403
    assert status(rule(roles=["auditor", "administrator"])) == 403
    allowed = gateway.wait_record(lambda r: r["verdict"] == "ALLOWED" and r["app"] == "demo")
    assert allowed["reasons"] == [
        "allow-rule demo/allow[0] by group, role, network and time",
        "group staff", "account-role employee", "network 127.0.0.0/8", f"time {ALWAYS}",
    ]
    assert gateway.records('reasons : "network 127.0.0.0/8"') and not gateway.records('reasons : "network 10.0.0.0/8"')
    rules = gateway.ctl("get", "policies", "-o", "yaml").stdout
    assert "roles:" in rules
    gateway.apply(rules)  # what is shown can be applied


def test_a_window_that_no_longer_holds_cuts_what_is_open(gateway, echo):
    gateway.apply("kind: policy\nname: demo\napps: [demo]\nallow: " + rule(times=[ALWAYS]) + "\n")
    with open_tunnel(gateway, echo, gateway.sign_in("alice")) as tunnel:
        gateway.apply("kind: policy\nname: demo\napps: [demo]\nallow: " + rule(times=[never_now()]) + "\n")
        ends_within(tunnel, 1)
    record = gateway.wait_closed(lambda r: r["app"] == "demo")
    assert record["close_reason"] == "POLICY_CHANGED"


def test_an_account_ends_with_its_validity(gateway, echo):
    token = gateway.sign_in("alice")
    with open_tunnel(gateway, echo, token) as tunnel:
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        gateway.ctl("account", "update", "alice", "--valid-until", end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        ends_within(tunnel, 10)
    record = gateway.wait_closed(lambda r: r["app"] == "demo")
    assert record["close_reason"] == "REVOKED"
    assert gateway.connect(echo.address, token).status == 407
    wrong = gateway.request("POST", "/.usher/v1/sessions", {"username": "nobody", "password": "not the password"})
    late = gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": "correct horse battery"})
    assert wrong[0] == late[0] == 401
    gateway.ctl("account", "update", "alice", "--valid-until", "")
    assert gateway.connect(echo.address, gateway.sign_in("alice")).status == 200
    bad = gateway.ctl("account", "update", "alice", "--valid-until", "tomorrow", check=False)
    assert bad.returncode == 2 and "--valid-until: expected a time" in bad.stderr
    bad = gateway.ctl("account", "update", "alice", "--valid-from", "2030-01-01T00:00:00Z", "--valid-until",
                      "2029-01-01T00:00:00Z", check=False)
    assert bad.returncode == 1 and "valid_until: is not later than valid_from" in bad.stderr


def test_what_a_policy_expects_is_checked_before_it_is_accepted(gateway):
    gateway.apply(app("demo2", "127.0.0.1:9"))
    office = rule(networks=["10.0.0.0/8"], times=["mon-fri 08:00-18:00 Asia/Shanghai"])
    expect = (
        "\n  - {account: alice, app: demo2, from: 10.1.2.3, at: 2026-11-24T02:00:00Z, allow: true}"
        "\n  - {account: alice, app: demo2, from: 10.1.2.3, at: 2026-11-24T12:00:00Z, allow: false}"
        "\n  - {account: alice, app: demo2, from: 192.0.2.1, at: 2026-11-24T02:00:00Z, allow: false}"
    )
    gateway.apply(policy(office, expect))
    before = gateway.ctl("get", "policies", "-o", "yaml").stdout
    refused = gateway.apply(policy(rule(networks=["192.0.2.0/24"]), expect), check=False)
    assert refused.returncode == 1
    assert ":6:" in refused.stderr and "expect[0]: expected that 'alice' may use 'demo2'" in refused.stderr, refused.stderr
    # Another policy may not break it either.
    denies = "kind: policy\nname: locked\napps: [demo2]\ndeny: [{accounts: [alice]}]\n"
    refused = gateway.apply(denies, check=False)
    assert refused.returncode == 1 and "policy 'hours', expect[0]" in refused.stderr
    assert gateway.ctl("get", "policies", "-o", "yaml").stdout == before

    for text, complaint in [
        (policy(rule(times=["mon-fri 8-18 UTC"])), "is not a time window"),
        (policy(rule(times=["daily 08:00-18:00 Mars/Olympus"])), "is not a time window"),
        (policy(rule(networks=["10.0.0.1/8"])), "is not an address block"),
        (policy(rule(roles=["boss"])), "is no role"),
        (policy(office, "{account: alice, app: demo2}"), "'allow' is missing"),
        (policy(office, "{account: alice, app: demo2, allow: yes}"), "must be true or false"),
        (policy(office, "{account: alice, app: demo2, from: there, allow: true}"), "is not an IPv4 or IPv6 address"),
        (policy(office, "{account: alice, app: demo2, form: 10.0.0.1, allow: true}"), "did you mean 'from'"),
        (policy(office, "{account: bob, app: demo2, allow: false}"), "account 'bob' does not exist"),
    ]:
        refused = gateway.apply(text, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, (complaint, refused.stderr)


def test_explain_says_what_each_rule_says(gateway):
    gateway.apply(app("demo2", "127.0.0.1:9"))
    gateway.apply(policy(rule(networks=["10.0.0.0/8"], times=["mon-fri 08:00-18:00 Asia/Shanghai"])))
    ask = ("policy", "explain", "--account", "alice", "--app", "demo2", "--at", "2026-11-24T02:00:00Z")
    answer = gateway.ctl_json(*ask, "--from", "10.1.2.3")[0]
    assert answer["allow"] and answer["policy"] == "hours"
    assert answer["reason"] == "allow-rule hours/allow[0] by group, network and time"
    assert answer["conditions"] == ["group staff", "network 10.0.0.0/8", "time mon-fri 08:00-18:00 Asia/Shanghai"]
    shown = gateway.ctl(*ask, "--from", "10.1.2.3").stdout
    assert "time (group staff; network 10.0.0.0/8; time mon-fri 08:00-18:00 Asia/Shanghai)\n" in shown
    shown = gateway.ctl(*ask).stdout
    assert shown.startswith("alice may not use demo2: no-allow-rule\n")
    assert "the network is not in its list" in shown
    unknown = gateway.ctl("policy", "explain", "--account", "alcie", "--app", "demo2", check=False)
    assert unknown.returncode == 1 and "account 'alcie' does not exist" in unknown.stderr
    control = gateway.ctl("policy", "explain", "--account", "alice", "--app", "usher-control").stdout
    assert control == "alice may not use usher-control: role employee\n"
