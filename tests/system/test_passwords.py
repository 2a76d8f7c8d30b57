"""Passwords by NIST SP 800-63B-4: what may be set and what not, the change that is forced, and hashes that get better."""

import json
import os
import pty
import subprocess

import pytest

from harness.build import BIN, SCALE
from harness.factors import curl, enroll_by_administrator, sign_in
from harness.gateway import PASSWORD
from test_sessions import ends_within

NEW = "gravel tornado lighthouse"
SHORT = "gravel 9x"
REQUIRED = (403, {"error": "password-change-required"})


@pytest.fixture
def stored(gateway_factory, echo, database):
    made = gateway_factory(database).start()
    made.account("alice")
    made.allow("demo", echo.address)
    return made


def set_password(gateway, password, *options):
    return gateway.ctl("account", "set-password", "alice", "--password-stdin", *options, input=password + "\n", check=False)


def change(gateway, password, new_password, code=None):
    body = {"username": "alice", "password": password, "new_password": new_password}
    if code is not None:
        body["second_factor"] = code
    return gateway.request("POST", "/.usher/v1/sessions", body)


def test_the_administrator_is_told_which_rule_a_password_breaks(gateway):
    for password, rule in [
        ("tornado lights", "has 14 characters, expected at least 15 (8 where the account has a second factor)"),
        ("Password123456!", "is one of those that are guessed first"),
        ("abcabcabcabcabcabc", "is a short text again and again"),
        ("qwertyuiopasdfghjkl", "is a run of letters, digits or keys"),
        ("Alice-Finance-26", "is little more than the account's names, its department"),
    ]:
        refused = set_password(gateway, password)
        assert refused.returncode == 1 and f"password: {rule}" in refused.stderr, refused.stderr
        assert password not in refused.stderr
        made = gateway.ctl("account", "create", "bob", "--department", "Finance", "--display-name", "Alice", "--password-stdin",
                           input=password + "\n", check=False)
        assert made.returncode == 1 and f"password: {rule}" in made.stderr, made.stderr
    for password in ("tornado lights!", "äöü ÄÖÜ ßßß éèê", "gravel lighthouse and more " * 30):
        assert set_password(gateway, password).returncode == 0
        assert sign_in(gateway, password=password)[0] == 201
    # The same characters, composed otherwise.
    assert set_password(gateway, "e\u0301t\u00e9 gravel tornado").returncode == 0
    assert sign_in(gateway, password="\u00e9te\u0301 gravel tornado")[0] == 201


def test_eight_characters_are_enough_beside_a_second_factor_and_not_after_it(stored):
    app, codes = enroll_by_administrator(stored, "alice")
    assert set_password(stored, "short 7").returncode == 1
    assert set_password(stored, SHORT).returncode == 0
    assert sign_in(stored, password=SHORT, code=app.code())[0] == 201
    stored.ctl("account", "second-factor", "reset", "alice")
    assert sign_in(stored, password=SHORT) == REQUIRED
    status, answer = change(stored, SHORT, "also short")
    assert (status, answer["error"]) == (422, "password-refused") and "expected at least 15" in answer["reason"]
    assert change(stored, SHORT, NEW)[0] == 201
    assert sign_in(stored, password=NEW)[0] == 201


def test_nothing_is_reachable_before_a_forced_change(stored, echo):
    token = stored.sign_in("alice")
    assert set_password(stored, "handed over by the boss", "--must-change-password").returncode == 0
    assert stored.connect(echo.address, token).status == 407
    assert "to be changed at the next sign-in" in stored.ctl("account", "show", "alice").stdout
    assert stored.stop() == 0
    stored.start()
    url = f"https://localhost:{stored.port}/.usher/v1/sessions"
    body = {"username": "alice", "password": "handed over by the boss"}
    assert curl(stored, "--json", json.dumps(body), url) == REQUIRED
    assert stored.ctl_json("session", "list") == []
    # Who does not know the password learns nothing of it, and sets nothing.
    assert sign_in(stored) == change(stored, PASSWORD, NEW) == (401, {"error": "sign-in-failed"})
    refused = change(stored, "handed over by the boss", "handed over by the boss")
    assert refused == (422, {"error": "password-refused", "reason": "password: is the old one"})
    status, answer = curl(stored, "--json", json.dumps({**body, "new_password": NEW}), url)
    assert status == 201
    stored.connect(echo.address, answer["token"]).close()
    assert sign_in(stored, password="handed over by the boss")[0] == 401
    events = [e["session"] for e in stored.ctl_json("audit", "tail", "--since", "24h") if "session" in e]
    assert [e["event"] for e in events if e["event"] == "PASSWORD_CHANGED"] == ["PASSWORD_CHANGED"]
    reasons = [e["reason"] for e in events if e["event"] == "SIGN_IN_FAILED"]
    assert reasons == ["password-must-change", "wrong-password", "wrong-password", "password-refused", "wrong-password"]
    assert "gravel" not in json.dumps(events) and "boss" not in json.dumps(events)


def test_a_code_is_not_used_up_by_a_change_that_is_refused(gateway):
    app, _ = enroll_by_administrator(gateway, "alice")
    assert set_password(gateway, "handed over by the boss", "--must-change-password").returncode == 0
    code = app.lasting_code()
    assert sign_in(gateway, password="handed over by the boss", code=code) == REQUIRED
    assert change(gateway, "handed over by the boss", "short", code)[0] == 422
    assert change(gateway, "handed over by the boss", NEW, code)[0] == 201
    assert change(gateway, NEW, "another gravel tornado", code)[0] == 401


def test_changing_the_password_ends_the_other_sessions(gateway, echo):
    other = gateway.sign_in("alice")
    tunnel = gateway.connect(echo.address, other)
    assert tunnel.status == 200
    status, answer = change(gateway, PASSWORD, NEW)
    assert status == 201
    assert gateway.connect(echo.address, other).status == 407
    ends_within(tunnel, 5)
    assert gateway.connect(echo.address, answer["token"]).status == 200


def test_login_changes_the_password_at_once(gateway):
    assert set_password(gateway, "handed over by the boss", "--must-change-password").returncode == 0
    login = ("login", "--gateway", f"127.0.0.1:{gateway.port}", "--ca", str(gateway.ca), "--username", "alice")
    refused = gateway.client("usher", *login, "--password-stdin", input="handed over by the boss\n", check=False)
    assert refused.returncode == 1 and "your password has to be changed; give the new one with --new-password-stdin" in refused.stderr
    lines = "handed over by the boss\ntoo short\n"
    refused = gateway.client("usher", *login, "--password-stdin", "--new-password-stdin", input=lines, check=False)
    assert refused.returncode == 1 and "has 9 characters, expected at least 15" in refused.stderr
    lines = f"handed over by the boss\n{NEW}\n"
    assert "signed in as alice" in gateway.client("usher", *login, "--password-stdin", "--new-password-stdin", input=lines).stdout
    lines = f"{NEW}\nanother gravel tornado\n"
    gateway.client("usher", *login, "--password-stdin", "--new-password-stdin", input=lines)
    assert sign_in(gateway, password="another gravel tornado")[0] == 201


def test_login_asks_for_the_new_password_on_a_terminal(gateway):
    assert set_password(gateway, "handed over by the boss", "--must-change-password").returncode == 0
    home = gateway.directory / "home"
    home.mkdir()
    env = {k: v for k, v in gateway.env.items() if not k.startswith(("XDG_", "USHER"))}
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [BIN / "usher", "login", "--gateway", f"127.0.0.1:{gateway.port}", "--ca", str(gateway.ca), "--username", "alice"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env={**env, "HOME": str(home)},
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(terminal)
    seen = b""

    def answer(prompt, line):
        nonlocal seen
        while prompt not in seen:
            seen += os.read(main, 4096)
        seen = seen.split(prompt, 1)[1]
        os.write(main, line + b"\n")

    answer(b"Password of alice", b"handed over by the boss")
    answer(b"Enter if you have none", b"")
    answer(b"has to be changed\r\nNew password: ", NEW.encode())
    answer(b"Again: ", NEW.encode())
    while b"signed in as alice" not in seen:
        seen += os.read(main, 4096)
    assert process.wait(60 * SCALE) == 0
    os.close(main)
    assert NEW.encode() not in seen


def test_a_hash_is_made_anew_when_it_costs_less_than_it_should(gateway_factory):
    gateway = gateway_factory().start()
    gateway.account("alice")

    def stored_hash():
        import sqlite3

        with sqlite3.connect(f"file:{gateway.data_dir}/usher.db?mode=ro", uri=True) as db:
            return db.execute("SELECT password_hash FROM accounts WHERE username = 'alice'").fetchone()[0]

    cheap = stored_hash()
    assert "m=7168,t=1," in cheap
    gateway.stop()
    gateway.config["hashing"] = {"memory": "16MiB", "operations": 2}
    gateway.start()
    assert sign_in(gateway, password="a wrong password, but long")[0] == 401
    assert stored_hash() == cheap
    token = sign_in(gateway)[1]["token"]
    better = stored_hash()
    assert "m=16384,t=2," in better
    assert sign_in(gateway)[0] == 201
    assert stored_hash() == better
    assert gateway.request("GET", "/.usher/v1/sessions/current", token=token)[0] == 200
