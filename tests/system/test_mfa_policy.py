"""Apps that ask for a second factor of a certain age: admission, what the client is told, live accesses, step-up, explain, expect."""

import time

from harness.factors import enroll_by_administrator, sign_in
from harness.gateway import PASSWORD
from harness.wait import wait_for
from test_policy import app
from test_sessions import ends_within, open_tunnel

NEEDED = "a second factor is needed: usher second-factor enroll"
STALE = "a fresh second factor is needed: usher second-factor verify"


def policy(within, expect=""):
    text = f"kind: policy\nname: demo\napps: [demo]\nallow: [{{groups: [staff], mfa_within: {within}}}]\n"
    return text + (f"expect: {expect}\n" if expect else "")


def test_an_app_asks_for_a_second_factor_and_says_so(gateway, echo):
    gateway.apply(policy("12h"))
    token = gateway.sign_in("alice")
    with gateway.connect(echo.address, token) as refused:
        assert refused.status == 403
        assert refused.headers["proxy-status"] == f'usher; error=http_request_denied; details="{NEEDED}"'
        assert refused.body().strip() == NEEDED
    denied = gateway.wait_record(lambda r: r["event"] == "DENIED" and r["app"] == "demo")
    assert denied["reasons"] == ["second-factor-needed demo/allow[0]", "second-factor within 12h"] and denied["policy"] == "demo"
    # Whom no second factor would help is told what everybody is told who asks for what is not there.
    gateway.account("eve", groups=("guests",))
    stranger = gateway.sign_in("eve")
    with gateway.connect(echo.address, stranger) as other, gateway.connect("192.0.2.1:443", stranger) as absent:
        assert other.status == absent.status == 403
        assert other.headers == absent.headers and other.body() == absent.body()

    app_, codes = enroll_by_administrator(gateway, "alice")
    with gateway.connect(echo.address, token) as refused:
        assert refused.body().strip() == STALE
    assert gateway.request("POST", "/.usher/v1/sessions/current/second-factor", {"second_factor": codes[0]}, token)[0] == 200
    open_tunnel(gateway, echo, token).close()
    fresh = sign_in(gateway, code=app_.code())[1]["token"]
    open_tunnel(gateway, echo, fresh).close()
    record = gateway.wait_record(lambda r: r["verdict"] == "ALLOWED")
    assert record["reasons"] == ["allow-rule demo/allow[0] by group and second-factor", "group staff", "second-factor within 12h"]


def test_the_agent_says_it_in_words(gateway, echo):
    gateway.apply(policy("12h"))
    gateway.client(
        "usher", "login", "--gateway", f"127.0.0.1:{gateway.port}", "--ca", str(gateway.ca), "--username", "alice",
        "--password-stdin", input=PASSWORD + "\n",
    )
    refused = gateway.client("usher", "connect", echo.address, input="", check=False)
    assert refused.returncode == 1 and NEEDED in refused.stderr


def test_a_live_access_ends_when_its_factor_is_too_old_and_a_step_up_keeps_it(gateway, echo):
    _, codes = enroll_by_administrator(gateway, "alice")
    gateway.apply(policy("5s"))
    kept = sign_in(gateway, code=codes[0])[1]["token"]
    left = sign_in(gateway, code=codes[1])[1]["token"]
    signed_in = time.monotonic()
    with open_tunnel(gateway, echo, kept) as going_on, open_tunnel(gateway, echo, left) as ending:
        wait_for(lambda: time.monotonic() >= signed_in + 3, "the factors to grow old")
        verify = "/.usher/v1/sessions/current/second-factor"
        assert gateway.request("POST", verify, {"second_factor": codes[2]}, kept)[0] == 200
        ends_within(ending, 10)
        going_on.send(b"still")
        assert going_on.recv_exactly(5) == b"still"
        ends_within(going_on, 10)
    records = [gateway.wait_closed(lambda r, s=s: r["session_id"] == s) for s in
               {r["session_id"] for r in gateway.records() if r["app"] == "demo"}]
    assert {r["close_reason"] for r in records} == {"POLICY_CHANGED"} and len(records) == 2
    assert all(r["revoked_at"] for r in records)
    assert gateway.connect(echo.address, left).status == 403


def test_policies_with_a_second_factor_are_kept_shown_tested_and_explained(gateway_factory, database):
    gateway = gateway_factory(database).start()
    gateway.account("alice")
    gateway.apply(app("demo", "127.0.0.1:9"))
    expect = (
        "\n  - {account: alice, app: demo, second_factor_age: 1h, allow: true}"
        "\n  - {account: alice, app: demo, second_factor_age: 13h, allow: false}"
        "\n  - {account: alice, app: demo, allow: false}"
    )
    gateway.apply(policy("12h", expect))
    shown = gateway.ctl("get", "policies", "-o", "yaml").stdout
    assert "mfa_within:" in shown and "second_factor_age:" in shown
    again = gateway.apply(shown)
    assert "unchanged" in again.stdout
    assert "second factor within 12h" in gateway.ctl("get", "policies").stdout
    refused = gateway.apply(policy("14h", expect), check=False)
    assert refused.returncode == 1 and "expect[1]: expected that 'alice' may not use 'demo'" in refused.stderr
    for text, complaint in [
        (policy("soon"), "mfa_within: 'soon' is not a duration"),
        (policy("400d"), "mfa_within: must be from 1s to 366d"),
        (policy("12h").replace("allow:", "deny:"), "mfa_within: belongs into rules of 'allow' only"),
        (policy("12h").replace("mfa_within", "mfa_witin"), "did you mean 'mfa_within'"),
        (policy("12h", "{account: alice, app: demo, second_factor_age: old, allow: true}"), "'old' is not a duration"),
    ]:
        refused = gateway.apply(text, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, (complaint, refused.stderr)

    assert gateway.stop() == 0
    gateway.start()
    ask = ("policy", "explain", "--account", "alice", "--app", "demo")
    shown = gateway.ctl(*ask).stdout
    assert shown.startswith("alice may not use demo: second-factor-needed demo/allow[0] (second-factor within 12h)\n")
    assert "the second factor is missing or too old" in shown
    answer = gateway.ctl_json(*ask, "--second-factor-age", "11h")[0]
    assert answer["allow"] and answer["reason"] == "allow-rule demo/allow[0] by group and second-factor"
    answer = gateway.ctl_json(*ask, "--second-factor-age", "12h")[0]
    assert not answer["allow"] and answer["rules"][0]["unmet"] == "second-factor"
