"""A second factor (TOTP, checked against oathtool): enrolment, sign-in, use once, recovery codes, step-up, what is stored."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.build import BIN, SCALE
from harness.factors import App, curl, enroll_by_administrator, sign_in
from harness.gateway import PASSWORD

VERIFY = "/.usher/v1/sessions/current/second-factor"
BEGIN = "/.usher/v1/second-factor"
CONFIRM = "/.usher/v1/second-factor/confirm"


def session_events(gateway, *kinds):
    events = gateway.ctl_json("audit", "tail", "--since", "24h")
    return [e["session"] for e in events if "session" in e and e["session"]["event"] in kinds]


@pytest.fixture
def stored(gateway_factory, echo, database):
    """A gateway on each kind of database."""
    made = gateway_factory(database).start()
    made.account("alice")
    made.allow("demo", echo.address)
    return made


def test_a_code_signs_in_once_also_across_a_restart(stored):
    app, _ = enroll_by_administrator(stored, "alice")
    assert app.label == "Usher:alice"
    code = app.code()
    url = f"https://localhost:{stored.port}/.usher/v1/sessions"
    body = json.dumps({"username": "alice", "password": PASSWORD, "second_factor": code})
    status, answer = curl(stored, "--json", body, url)
    assert status == 201 and len(answer["token"]) == 43
    refused = curl(stored, "--json", body, url)
    assert refused == (401, {"error": "sign-in-failed"})
    assert stored.stop() == 0
    stored.start()
    assert curl(stored, "--json", body, url) == refused
    assert sign_in(stored, code=app.code())[0] == 201
    (signed_in, _) = session_events(stored, "SIGNED_IN")
    assert signed_in["second_factor"] == "totp"
    assert [e["reason"] for e in session_events(stored, "SIGN_IN_FAILED")] == ["second-factor-wrong"] * 2


def test_every_reason_to_fail_has_the_same_answer(gateway):
    app, _ = enroll_by_administrator(gateway, "alice")
    gateway.account("bob")
    gateway.ctl("account", "disable", "bob")
    good = app.code()
    answers = [
        sign_in(gateway, "nobody", code="123456"),
        sign_in(gateway, "nobody"),
        sign_in(gateway, "bob"),
        sign_in(gateway, "alice"),
        sign_in(gateway, "alice", code="12345"),
        sign_in(gateway, "alice", code="not a code"),
        sign_in(gateway, "alice", code=app.code_at(app.used - 10)),
        sign_in(gateway, "alice", code=good, password="a wrong password, but long"),
    ]
    assert answers == [(401, {"error": "sign-in-failed"})] * len(answers)
    # A wrong password did not use the code up.
    assert sign_in(gateway, "alice", code=good)[0] == 201
    reasons = [e["reason"] for e in session_events(gateway, "SIGN_IN_FAILED")]
    assert reasons == ["unknown-account", "unknown-account", "account-disabled", "second-factor-missing"] + [
        "second-factor-wrong"
    ] * 3 + ["wrong-password"]


def test_after_five_wrong_codes_the_right_one_looks_wrong_too(gateway):
    app, codes = enroll_by_administrator(gateway, "alice")
    live = sign_in(gateway, code=codes[0], source="127.0.0.5")[1]["token"]
    for _ in range(5):
        assert sign_in(gateway, code="not a code")[0] == 401
    assert sign_in(gateway, code=app.code()) == (401, {"error": "sign-in-failed"})
    assert gateway.request("POST", VERIFY, {"second_factor": codes[1]}, live) == (403, {"error": "not-proved"})
    reasons = [e["reason"] for e in session_events(gateway, "SIGN_IN_FAILED", "SECOND_FACTOR_FAILED")]
    assert reasons == ["second-factor-wrong"] * 5 + ["second-factor-throttled"] * 2
    # Whoever does not know the password cannot bring that about.
    gateway.account("bob")
    bob, _ = enroll_by_administrator(gateway, "bob")
    for _ in range(6):
        assert sign_in(gateway, "bob", code="not a code", password="a wrong password, but long", source="127.0.0.6")[0] == 401
    assert sign_in(gateway, "bob", code=bob.code())[0] == 201


def test_fifty_uses_of_one_code_at_the_same_time_open_one_session(stored):
    app, recovery = enroll_by_administrator(stored, "alice")
    for code in (app.lasting_code(), recovery[0]):
        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(lambda _: sign_in(stored, code=code)[0], range(50)))
        # Most are throttled, which is as good; what matters is that one alone came in.
        assert statuses.count(201) == 1, statuses
        assert set(statuses) <= {201, 401, 429}, statuses
        stored.ctl("session", "revoke", "--account", "alice")
        # The throttle's bucket of the account fills again with the process.
        assert stored.stop() == 0
        stored.start()


def test_a_recovery_code_stands_once_for_a_lost_phone(stored):
    _, codes = enroll_by_administrator(stored, "alice")
    assert len(set(codes)) == 10
    assert sign_in(stored, code=codes[0])[0] == 201
    assert sign_in(stored, code=codes[0])[0] == 401
    assert sign_in(stored, code=codes[1].upper().replace("-", " "))[0] == 201
    assert [e["second_factor"] for e in session_events(stored, "SIGNED_IN")] == ["recovery-code"] * 2
    token = sign_in(stored, code=codes[2])[1]["token"]
    stored.ctl("account", "second-factor", "reset", "alice")
    assert stored.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 401
    assert sign_in(stored)[0] == 201
    twice = stored.ctl("account", "second-factor", "reset", "alice")
    assert "reset" in twice.stdout
    # A code of before is worth nothing where there is no factor: it is not even looked at.
    enroll_by_administrator(stored, "alice")
    assert sign_in(stored, code=codes[3])[0] == 401
    again = stored.ctl("account", "second-factor", "enroll", "alice", check=False)
    assert again.returncode == 1 and "has a second factor; reset it" in again.stderr


def test_an_employee_enrols_an_app_of_their_own_over_the_api(gateway):
    token = gateway.sign_in("alice")
    assert gateway.request("POST", BEGIN, {"password": "a wrong password, but long"}, token) == (403, {"error": "not-proved"})
    assert gateway.request("POST", BEGIN, {"password": PASSWORD})[0] == 401
    assert gateway.request("POST", CONFIRM, {"second_factor": "123456"}, token) == (403, {"error": "not-proved"})
    status, begun = gateway.request("POST", BEGIN, {"password": PASSWORD}, token)
    assert status == 201 and begun["secret"] in begun["uri"]
    app = App(begun["uri"])
    assert gateway.request("POST", CONFIRM, {"second_factor": "000000"}, token)[0] == 403
    assert sign_in(gateway)[0] == 201  # nothing is asked for until it is confirmed
    status, answer = gateway.request("POST", CONFIRM, {"second_factor": app.code()}, token)
    assert status == 200 and len(answer["recovery_codes"]) == 10
    status, current = gateway.request("GET", "/.usher/v1/sessions/current", token=token)
    assert current["second_factor"] is True and "second_factor_at" in current
    assert sign_in(gateway)[0] == 401
    assert sign_in(gateway, code=app.code())[0] == 201
    # Another phone: only who has the first one, or a recovery code, may take it in.
    assert gateway.request("POST", BEGIN, {"password": PASSWORD}, token)[0] == 403
    body = {"password": PASSWORD, "second_factor": answer["recovery_codes"][0]}
    status, begun = gateway.request("POST", BEGIN, body, token)
    assert status == 201
    other = App(begun["uri"])
    assert gateway.request("POST", CONFIRM, {"second_factor": other.code()}, token)[0] == 200
    assert sign_in(gateway, code=other.code())[0] == 201
    assert sign_in(gateway, code=answer["recovery_codes"][1])[0] == 401
    assert len(session_events(gateway, "SECOND_FACTOR_ENROLLED")) == 2
    reasons = [e["reason"] for e in session_events(gateway, "SECOND_FACTOR_FAILED")]
    assert reasons == ["wrong-password", "second-factor-wrong", "second-factor-wrong", "second-factor-missing"]


def test_a_live_session_proves_its_factor_again(stored):
    app, codes = enroll_by_administrator(stored, "alice")
    token = sign_in(stored, code=codes[0])[1]["token"]
    before = stored.request("GET", "/.usher/v1/sessions/current", token=token)[1]["second_factor_at"]
    code = app.code()
    status, answer = stored.request("POST", VERIFY, {"second_factor": code}, token)
    assert status == 200 and answer["second_factor_at"] > before
    assert stored.request("POST", VERIFY, {"second_factor": code}, token) == (403, {"error": "not-proved"})
    assert stored.request("POST", VERIFY, {"second_factor": "123"}, token) == (403, {"error": "not-proved"})
    assert stored.request("POST", VERIFY, {"second_factor": "123456"})[0] == 401
    assert stored.stop() == 0
    stored.start()
    after = stored.request("GET", "/.usher/v1/sessions/current", token=token)[1]["second_factor_at"]
    assert after == answer["second_factor_at"]
    (session,) = stored.ctl_json("session", "list")
    assert session["second_factor_at"] == after
    (verified,) = session_events(stored, "SECOND_FACTOR_VERIFIED")
    assert verified["second_factor"] == "totp" and verified["username"] == "alice" and verified["session_id"]
    assert [e["reason"] for e in session_events(stored, "SECOND_FACTOR_FAILED")] == ["second-factor-wrong"] * 2


@pytest.mark.parametrize(
    "path, body",
    [
        (VERIFY, {}),
        (VERIFY, {"second_factor": "1" * 65}),
        (VERIFY, {"second_factor": "123456", "password": "x"}),
        (BEGIN, {"second_factor": "123456"}),
        (BEGIN, {"password": "x" * 1025}),
        (CONFIRM, {"second_factor": "123456", "device": {"name": "x"}}),
        ("/.usher/v1/sessions", {"username": "alice", "password": PASSWORD, "second_factor": "1" * 65}),
    ],
)
def test_a_malformed_form_is_refused(gateway, path, body):
    assert gateway.request("POST", path, body, gateway.sign_in("alice"))[0] == 400


def test_the_programs_enrol_ask_and_verify(gateway):
    login = ("login", "--gateway", f"127.0.0.1:{gateway.port}", "--ca", str(gateway.ca), "--username", "alice")
    gateway.client("usher", *login, "--password-stdin", input=PASSWORD + "\n")
    home = gateway.directory / "home"
    env = {k: v for k, v in gateway.env.items() if not k.startswith(("XDG_", "USHER"))}
    enroll = subprocess.Popen(
        [BIN / "usher", "second-factor", "enroll", "--password-stdin", "--code-stdin", "-o", "json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**env, "HOME": str(home)},
    )
    enroll.stdin.write(PASSWORD + "\n")
    enroll.stdin.flush()
    app = App(json.loads(enroll.stdout.readline())["uri"])
    out, _ = enroll.communicate(app.code() + "\n", timeout=60 * SCALE)
    assert enroll.returncode == 0
    codes = json.loads(out)["recovery_codes"]
    assert "second factor" in gateway.client("usher", "status").stdout

    refused = gateway.client("usher", *login, "--password-stdin", input=PASSWORD + "\n", check=False)
    assert refused.returncode == 1 and "if you have a second factor, its code is needed too" in refused.stderr
    code = app.code()
    gateway.client("usher", *login, "--password-stdin", "--code", code, input=PASSWORD + "\n")
    refused = gateway.client("usher", *login, "--password-stdin", "--code", code, input=PASSWORD + "\n", check=False)
    assert refused.returncode == 1 and "a code is good once" in refused.stderr
    gateway.client("usher", *login, "--password-stdin", "--code-stdin", input=f"{PASSWORD}\n{codes[0]}\n")
    assert gateway.client("usher", "second-factor", "verify", "--code", codes[1]).stdout.startswith("second factor verified at")
    refused = gateway.client("usher", "second-factor", "verify", "--code", codes[1], check=False)
    assert refused.returncode == 1 and "does not accept this" in refused.stderr
    shown = gateway.ctl("account", "show", "alice").stdout
    assert "second factor" in shown and "enrolled" in shown


def test_seeds_and_codes_are_in_no_file_in_the_clear(stored, postgresql_server):
    app, codes = enroll_by_administrator(stored, "alice")
    assert sign_in(stored, code=codes[0])[0] == 201
    used = app.code()
    assert sign_in(stored, code=used)[0] == 201
    key = stored.data_dir / "keys" / "sealing.key"
    assert key.stat().st_mode & 0o777 == 0o600 and (stored.data_dir / "keys").stat().st_mode & 0o777 == 0o700
    assert stored.stop() == 0
    import base64

    padded = app.secret + "=" * (-len(app.secret) % 8)
    raw = base64.b32decode(padded)
    plain = [c.replace("-", "") for c in codes] + codes + [app.secret, app.secret.lower(), raw.hex()]
    needles = [text.encode() for text in plain] + [raw]
    dump = b""
    if stored.config["database"] != "sqlite":
        dump = subprocess.run(
            ["pg_dump", "--dbname", stored.config["database"]], check=True, capture_output=True, timeout=60 * SCALE
        ).stdout
        assert b"second_factors" in dump
    for folder, _, files in os.walk(stored.directory):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                dump += open(path, "rb").read()
    for needle in needles:
        assert needle not in dump
    stored.start()


def test_the_sealing_key_is_the_operators_and_can_be_rotated(gateway_factory):
    gateway = gateway_factory()

    def key(name):
        path = gateway.directory / name
        path.write_text(os.urandom(32).hex() + "\n")
        path.chmod(0o600)
        return str(path)

    first, second = key("first.key"), key("second.key")
    gateway.config["sealing_keys"] = [first]
    gateway.start()
    gateway.account("alice")
    app, codes = enroll_by_administrator(gateway, "alice")
    assert not (gateway.data_dir / "keys").exists()
    gateway.stop()
    gateway.config["sealing_keys"] = [second]
    gateway.start()
    assert "sealed with a key that is not in 'sealing_keys'" in gateway.log()
    assert sign_in(gateway, code=app.code())[0] == 503
    assert sign_in(gateway, code=app.code_at(app.used), password="a wrong password, but long")[0] == 401
    gateway.stop()
    gateway.config["sealing_keys"] = [second, first]
    gateway.start()
    assert sign_in(gateway, code=app.code())[0] == 201  # sealed again under the first of the list
    gateway.stop()
    gateway.config["sealing_keys"] = [second]
    gateway.start()
    assert sign_in(gateway, code=codes[0])[0] == 201
