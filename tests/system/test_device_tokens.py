"""A device's key on a PKCS#11 token (SoftHSM): enrolled, signed in, used by each of the client's ways, renewed and replaced; and what
its user is told where the token, its module or its PIN is not as it should be."""

import json
import os
import pty
import signal
import subprocess

import pytest
from harness.agent import Agent
from harness.build import BIN, SANITIZER, SCALE
from harness.gateway import PASSWORD
from harness.tokens import MODULE, PIN, WRONG_PIN, Token
from harness.wait import wait_for
from test_clock import SOURCE as STEP_CLOCK

CURRENT = "/.usher/v1/sessions/current"


class Person:
    """Alice at a machine with a token."""

    def __init__(self, gateway, token):
        self.gateway, self.token = gateway, token
        self.home = gateway.directory / "home/.config/usher"

    def usher(self, *arguments, **options):
        return self.gateway.client("usher", *arguments, environment={**self.token.environment, **options.pop("environment", {})}, **options)

    def login(self, *arguments, **options):
        return self.usher("login", "--gateway", f"localhost:{self.gateway.port}", "--ca", self.gateway.ca, "--username", "alice",
                          "--password-stdin", *arguments, input=PASSWORD + "\n", **options)

    def enroll(self, *arguments):
        self.login()
        answer = json.loads(self.usher("enroll", "-o", "json", *arguments).stdout)
        self.login()
        return answer

    def refused(self, *arguments, code=1, **options):
        """What is said on standard error."""
        done = self.usher(*arguments, check=False, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert PIN not in done.stdout + done.stderr
        return done.stderr


@pytest.fixture
def token(tmp_path):
    return Token(tmp_path / "token")


@pytest.fixture
def alice(gateway, token):
    return Person(gateway, token)


def test_a_key_on_a_token_binds_a_session_as_one_in_a_file_does(gateway, echo, alice, token):
    answer = alice.enroll("--key", token.uri, "--name", "laptop")
    assert answer["state"] == "active" and answer["key"].startswith("pkcs11:") and "?" not in answer["key"]
    stored = alice.home / "device.key"
    assert stored.read_text().startswith("pkcs11:") and "PRIVATE KEY" not in stored.read_text()
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in alice.home.glob("device.*")} == {"device.key": "0o600", "device.pem": "0o600"}
    assert json.loads(alice.usher("status", "-o", "json").stdout)["device_key"] == answer["key"]
    assert f'device key:     {answer["key"]}\n' in alice.usher("status").stdout
    # Nobody gets it off the token.
    (key,) = token.private_keys()
    wanted = {"CKA_TOKEN": True, "CKA_PRIVATE": True, "CKA_SENSITIVE": True, "CKA_EXTRACTABLE": False, "CKA_NEVER_EXTRACTABLE": True,
              "CKA_SIGN": True, "CKA_LOCAL": True}
    assert {name: key[name] for name in wanted} == wanted
    # The token of the session alone is worth nothing.
    assert gateway.request("GET", CURRENT, token=alice.usher("token").stdout.strip())[0] == 401
    assert alice.usher("connect", echo.address, input="through").stdout == "through"
    record = gateway.wait_closed()
    assert (record["enrolled_device_id"], record["enrolled_device_name"]) == (answer["device_id"], "laptop")
    assert "demo" in alice.usher("apps").stdout
    assert json.loads(alice.usher("status", "-o", "json").stdout)["state"] == "signed-in"
    again = alice.refused("enroll", "--key", token.uri)
    assert "--replace" in again
    alice.usher("logout")


def test_the_agent_carries_tunnels_with_it_and_goes_on_when_the_token_is_back(gateway, echo, alice, token):
    # Without a module's path: by those that the machine has registered with p11-kit.
    alice.enroll("--key", f"pkcs11:token=usher?pin-source={token.pin_file}")
    agent = Agent(gateway)
    agent.env |= token.environment
    agent.start()
    try:

        def through():
            answer = agent.ask(f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\n\r\nhello".encode(), half_close=True)
            return answer.rpartition(b"\r\n\r\n")[2]

        assert through() == b"hello"
        # A new session needs a new connection, and the new connection the token.
        token.unplug()
        alice_without = alice.refused("login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice",
                                      "--password-stdin", input=PASSWORD + "\n")
        assert "there is no token pkcs11:token=usher" in alice_without
        assert through() == b"hello"
        token.plug()
        alice.login()
        wait_for(lambda: through() == b"hello", "the agent to go on with the token")
    finally:
        agent.close()


def test_renewal_keeps_the_key(gateway, alice, token, tmp_path):
    if SANITIZER:
        pytest.skip("a sanitizer wants to be loaded before what moves the clock")
    answer = alice.enroll("--key", token.uri)
    before = {name: (alice.home / name).read_text() for name in ("device.key", "device.pem")}
    objects = token.objects()
    library, offset = tmp_path / "step_clock.so", tmp_path / "offset"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, STEP_CLOCK], check=True)
    offset.write_text(str(300 * 24 * 3600))
    alice.login(environment={"LD_PRELOAD": str(library), "USHER_CLOCK_OFFSET": str(offset)})
    assert (alice.home / "device.pem").read_text() != before["device.pem"]
    assert (alice.home / "device.key").read_text() == before["device.key"] and token.objects() == objects
    alice.login()
    (device,) = gateway.ctl_json("device", "list")
    assert device["device_id"] == answer["device_id"]


def test_enrolling_anew_puts_another_key_on_the_token_and_takes_the_old_one_off(gateway, echo, alice, token):
    alice.enroll("--key", token.uri)
    first, stored = token.objects(), (alice.home / "device.key").read_text()
    assert len(first) == 2
    # Where the key is made is where the present one is, unless it is said.
    alice.enroll("--replace")
    second = token.objects()
    assert len(second) == 2 and not set(first) & set(second)
    assert (alice.home / "device.key").read_text() != stored
    assert alice.usher("connect", echo.address, input="through").stdout == "through"
    # An enrolment that the gateway refuses leaves all as it was.
    gateway.ctl("account", "disable", "alice")
    alice.refused("enroll", "--replace")
    assert token.objects() == second
    gateway.ctl("account", "enable", "alice")
    alice.login()
    # So does one that is cut off: what it made goes with the next one.
    stored = (alice.home / "device.key").read_text()
    gateway.process.send_signal(signal.SIGSTOP)
    process = subprocess.Popen([BIN / "usher", "enroll", "--replace"], env={**gateway.client_environment(gateway.directory / "home"), **token.environment},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(token.private_keys()) == 2 and "CKA_SIGN" in token.private_keys()[1], "the new pair")
    finally:
        process.kill()
        process.wait()
        gateway.process.send_signal(signal.SIGCONT)
    assert len(token.objects()) == 4 and (alice.home / "device.key").read_text() == stored
    assert alice.usher("connect", echo.address, input="through").stdout == "through"
    alice.enroll("--replace")
    assert len(token.objects()) == 2
    # Into a file, and the token is clean.
    answer = alice.enroll("--replace", "--key", "file")
    assert answer["key"] == "file" and token.objects() == []
    assert "PRIVATE KEY" in (alice.home / "device.key").read_text()
    assert sorted(p.name for p in alice.home.glob("device.*")) == ["device.key", "device.pem"]


def test_a_pin_is_asked_for_where_no_file_has_it_and_the_agent_says_that_it_cannot(gateway, echo, alice, token):
    uri = token.uri.partition("&pin-source")[0]
    alice.login()
    said = alice.refused("enroll", "--key", uri, start_new_session=True)
    assert "no terminal" in said and "pin-source=file:/PATH" in said

    def at_a_terminal(*arguments, pin):
        """usher with a terminal of its own, on which the PIN is typed when it is asked for."""
        master, slave = pty.openpty()
        process = subprocess.Popen(["setsid", "--ctty", "--wait", BIN / "usher", *arguments], stdin=slave, stdout=slave, stderr=slave,
                                   env={**gateway.client_environment(gateway.directory / "home"), **token.environment})
        os.close(slave)
        shown, typed = b"", False
        try:
            while more := os.read(master, 4096):
                shown += more
                if not typed and b"PIN of the token pkcs11:token=usher: " in shown:
                    typed = True
                    os.write(master, pin.encode() + b"\n")
        except OSError:  # the other end is closed
            pass
        os.close(master)
        assert pin.encode() not in shown and shown.count(b"PIN of the token pkcs11:") == 1
        return process.wait(timeout=60 * SCALE), shown.decode()

    code, shown = at_a_terminal("enroll", "--key", uri, pin="9999")
    assert code == 1 and "refuses the PIN" in shown and token.objects() == []
    code, shown = at_a_terminal("enroll", "--key", uri, pin=PIN)
    assert code == 0 and "Its key is on the token" in shown and "usher up has nobody to ask" in shown, shown
    # Asked once for all that a command does, and never by the agent.
    code, shown = at_a_terminal("apps", pin=PIN)
    assert code == 0 and "demo" in shown
    agent = Agent(gateway)
    agent.env |= token.environment
    agent.start()
    try:
        agent.ask(f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\n\r\n".encode())
        assert "there is nobody to ask here" in agent.log() and "pin-source=file:/PATH" in agent.log()
    finally:
        agent.close()
    stored = alice.home / "device.key"
    stored.write_text(stored.read_text().strip() + f"&pin-source=file:{token.pin_file}\n")
    alice.login()
    assert alice.usher("connect", echo.address, input="through").stdout == "through"


def test_a_wrong_pin_is_tried_once(gateway, echo, alice, token):
    alice.enroll("--key", token.uri)
    token.set_pin_file(WRONG_PIN)
    said = alice.refused("connect", echo.address, input="")
    assert "refuses the PIN" in said and WRONG_PIN not in said
    agent = Agent(gateway)
    agent.env |= token.environment
    agent.start()

    def answer():
        return agent.ask(f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\n\r\n".encode(), half_close=True)

    try:
        assert b" 503 " in answer() and b"PIN" in answer()
        # The tunnels and the report of the posture are two threads, and one token: the first is refused, the other not tried.
        wait_for(lambda: "has refused this PIN before" in agent.log(), "the same PIN not to be tried again")
        assert agent.log().count("refuses the PIN") == 1 and WRONG_PIN not in agent.log()
        status = json.loads(alice.usher("status", "-o", "json", check=False).stdout)
        assert status["state"] == "unreachable" and "the PIN" in status["words"] and "PIN" in status["agent"]["last_error"]
        token.set_pin_file(PIN)
        alice.login()
        wait_for(lambda: answer().startswith(b"HTTP/1.1 200"), "the agent to take the right PIN from the file")
    finally:
        agent.close()


def test_what_is_wrong_with_a_token_is_said_with_what_to_do(gateway, alice, token):
    def at(query, token_name="usher", path=""):
        return f"pkcs11:token={token_name}{path}?module-path={MODULE}{query}"

    secret = f"&pin-source=file:{token.pin_file}"
    for uri, words in [
        (at("&pin-value=" + PIN), "would show the PIN"),
        (at(secret, path=";id=%01"), "id= is chosen"),
        (at(secret, path=";tken=x"), "did you mean 'token'?"),
        (at("&pin-source=pin"), "whole path"),
        ("pkcs11:", "names no token"),
        ("/home/alice/key", "no PKCS#11 URI"),
    ]:
        said = alice.refused("enroll", "--key", uri, code=2)
        assert "--key: " in said and words in said
    alice.login()
    for uri, words in [
        (at(secret, token_name="other"), "there is no token pkcs11:token=other; put it in and try again (there is: 'usher')"),
        (f"pkcs11:token=usher?module-path=/nowhere/x.so{secret}", "the PKCS#11 module /nowhere/x.so cannot be loaded"),
        (f"pkcs11:token=usher?module-path={BIN / 'usher'}{secret}", "cannot be loaded"),
        (f"pkcs11:token=usher?module-name=nowhere{secret}", "no PKCS#11 module 'nowhere' is registered"),
        (at("&pin-source=/nowhere/pin"), "there is no file /nowhere/pin"),
    ]:
        assert words in alice.refused("enroll", "--key", uri)
    token.set_pin_file(PIN, 0o640)
    said = alice.refused("enroll", "--key", token.uri)
    assert f"chmod 600 {token.pin_file}" in said and "change the PIN" in said
    token.set_pin_file(PIN)
    # The label belongs to a key of somebody else's: this machine has lost its own.
    alice.enroll("--key", token.uri)
    (alice.home / "device.key").unlink()
    (alice.home / "device.pem").unlink()
    alice.login()
    said = alice.refused("enroll", "--key", token.uri)
    assert "has a key 'usher' already" in said and "object=NAME" in said and len(token.objects()) == 2
    answer = alice.enroll("--key", at(secret, path=";object=laptop%202"))
    assert "object=laptop%202" in answer["key"] and len(token.objects()) == 4
    # The key is gone from the token: another one is needed.
    token.add("usher")
    assert "more than one token is" in alice.refused("apps") and not list(alice.home.glob("*.new"))


def test_a_key_that_is_not_on_its_token_any_more(gateway, alice, token):
    alice.enroll("--key", token.uri)
    for path in token.objects():
        path.unlink()
    said = alice.refused("apps")
    assert "has this device's key no longer" in said and "usher enroll --replace" in said
    # Whoever has lost it can still sign out here, and enrol anew.
    assert alice.usher("logout", "--forget").returncode == 0
    assert "usher login --without-device" in said
    alice.login("--without-device")
    assert alice.usher("enroll", "--replace", "--key", "file").returncode == 0
    alice.login()
    assert alice.usher("apps").returncode == 0
