"""Enrolled devices: a key that the device makes, a certificate of the gateway's own authority, sessions that are bound to it, and the
end of all of that. Certificates are shown by curl, python's ssl and `usher`; keys are made by openssl."""

import base64
import json
import ssl
import subprocess
import time

import pytest

from harness.build import SCALE
from harness.factors import curl, enroll_by_administrator, sign_in
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
from harness.tls_client import TlsClient
from harness.prepared import prepared  # noqa: F401
from harness.tunnel import Tunnel, ends_within
from harness.wait import wait_for
from test_gateways import WITHIN, beside, pair  # noqa: F401

DEVICES = "/.usher/v1/devices"
CURRENT = "/.usher/v1/sessions/current"
CERTIFICATE = "/.usher/v1/devices/current/certificate"


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60 * SCALE).stdout


class Device:
    """A key of openssl's in files, and the certificate that it got."""

    def __init__(self, folder, name="laptop"):
        self.name = name
        folder.mkdir(exist_ok=True)
        self.key, self.pem = folder / f"{name}.key", folder / f"{name}.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(self.key))

    def request(self):
        return base64.b64encode(openssl("req", "-new", "-key", str(self.key), "-subj", "/CN=mallory", "-outform", "DER")).decode()

    def enroll(self, gateway, token):
        status, answer = gateway.request("POST", DEVICES, {"name": self.name, "certificate_request": self.request()}, token)
        assert status == 201, (status, answer)
        self.pem.write_text(answer["certificate"])
        self.id = answer["device_id"]
        return answer

    def context(self, gateway, certificate=None):
        context = gateway.tls_context()
        context.load_cert_chain(certificate or self.pem, self.key)
        return context

    def ask(self, gateway, method, path, body=None, token=None, certificate=None):
        """Status and answer of one request on a connection that shows the certificate."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        with gateway.open_raw(self.context(gateway, certificate)) as sock:
            sock.sendall("\r\n".join([*lines, "", ""]).encode() + data)
            answer = b""
            while more := sock.recv(65536):
                answer += more
        head, _, text = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(text) if text else None

    def sign_in(self, gateway, name="alice", **more):
        return self.ask(gateway, "POST", "/.usher/v1/sessions", {"username": name, "password": PASSWORD, **more})

    def token(self, gateway, name="alice"):
        status, answer = self.sign_in(gateway, name)
        assert status == 201, answer
        return answer["token"]

    def connect(self, gateway, target, token):
        return Tunnel(TlsClient(self.context(gateway), gateway.open_plain(), "localhost"), target, token)


@pytest.fixture
def stored(gateway_factory, echo, database):
    """A gateway on each kind of database."""
    made = gateway_factory(database).start()
    made.account("alice")
    made.allow("demo", echo.address)
    return made


def enrolled(gateway, tmp_path, name="laptop", account="alice"):
    device = Device(tmp_path / "devices", name)
    device.enroll(gateway, gateway.sign_in(account))
    return device


def denials(gateway):
    return [r["reasons"][0] for r in reversed(gateway.records('event = DENIED'))]


def test_a_stolen_token_is_worth_nothing_without_the_key(stored, echo, tmp_path):
    device = enrolled(stored, tmp_path)
    other = enrolled(stored, tmp_path, "other")
    token = device.token(stored)
    with device.connect(stored, echo.address, token) as tunnel:
        assert tunnel.status == 200
        tunnel.send(b"hello")
        assert tunnel.recv_exactly(5) == b"hello"
    status, session = device.ask(stored, "GET", CURRENT, token=token)
    assert status == 200 and session["device_id"] == device.id and session["device_state"] == "active"
    # Without a key, and with another device's of the same account.
    for connect in (stored.connect, lambda *a: other.connect(stored, *a)):
        assert connect(echo.address, token).status == 407
    assert stored.connect(echo.address, basic=("alice", token)).status == 407
    assert stored.request("GET", CURRENT, token=token) == (401, {"error": "not-signed-in"})
    assert stored.request("DELETE", CURRENT, token=token)[0] == 401
    assert other.ask(stored, "GET", "/.usher/v1/apps", token=token)[0] == 401
    assert stored.request("POST", CERTIFICATE, token=token)[0] == 401
    wanted = ["device-key-missing", "device-key-wrong"] + ["device-key-missing"] * 3 + ["device-key-wrong", "device-key-missing"]
    wait_for(lambda: sorted(denials(stored)) == sorted(wanted), "the denials on record")
    (record,) = [r for r in stored.records() if r["event"] == "CLOSED"]
    assert (record["enrolled_device_id"], record["enrolled_device_name"]) == (device.id, "laptop")
    assert stored.records(f'enrolled_device_id = "{device.id}"') == [record]
    assert all(r["username"] == "alice" and r["session_id"] == record["session_id"] for r in stored.records("event = DENIED"))
    # It is still good where it belongs, also in another process.
    assert stored.stop() == 0
    stored.start()
    assert stored.connect(echo.address, token).status == 407
    with device.connect(stored, echo.address, token) as tunnel:
        assert tunnel.status == 200


def test_http2_minds_the_key_as_http1_does(gateway, echo, tmp_path):
    device = enrolled(gateway, tmp_path)
    token = device.token(gateway)

    def statuses(context):
        client = H2Client(gateway, context=context)
        try:
            return client.connect(echo.address, token).status
        finally:
            client.sock.close()

    assert statuses(device.context(gateway)) == 200
    assert statuses(gateway.tls_context()) == 407


def test_curl_shows_the_certificate_as_any_client_can(gateway, tmp_path):
    device = enrolled(gateway, tmp_path)
    url = f"https://localhost:{gateway.port}/.usher/v1/sessions"
    shown = ("--cert", device.pem, "--key", device.key)
    body = json.dumps({"username": "alice", "password": PASSWORD})
    for version in ("--tlsv1.3", "--tls-max=1.2"):
        flags = ["--tls-max", "1.2"] if version.startswith("--tls-max") else [version]
        status, answer = curl(gateway, *flags, *shown, "--json", body, url)
        assert status == 201
        bearer = ("--header", f"Authorization: Bearer {answer['token']}")
        assert curl(gateway, *flags, *shown, *bearer, url + "/current")[0] == 200
        assert curl(gateway, *flags, *bearer, url + "/current")[0] == 401


def test_only_certificates_of_the_own_authority_are_taken(gateway, gateway_factory, tmp_path):
    device = enrolled(gateway, tmp_path)
    stranger = gateway_factory().start()
    stranger.account("alice")
    foreign = enrolled(stranger, tmp_path, "foreign")
    # Self-signed under the authority's own name, and a certificate that signs another one.
    issuer = openssl("x509", "-in", str(device.pem), "-noout", "-issuer", "-nameopt", "compat").decode().strip().removeprefix("issuer=").strip()
    forged = Device(tmp_path / "devices", "forged")
    subject = "/" + "/".join(part.strip() for part in issuer.split(",")) if not issuer.startswith("/") else issuer
    openssl("req", "-x509", "-new", "-key", str(forged.key), "-subj", subject, "-days", "2", "-out", str(forged.pem))
    below = Device(tmp_path / "devices", "below")
    leaf = tmp_path / "leaf.pem"
    request = tmp_path / "below.csr"
    openssl("req", "-new", "-key", str(below.key), "-subj", "/CN=below", "-out", str(request))
    openssl("x509", "-req", "-in", str(request), "-CA", str(device.pem), "-CAkey", str(device.key), "-CAcreateserial", "-days", "2", "-out", str(leaf))
    below.pem.write_text(leaf.read_text() + device.pem.read_text())
    for bad in (foreign, forged, below):
        with pytest.raises(ssl.SSLError, match="alert"):
            bad.ask(gateway, "GET", CURRENT, token="x" * 43)
    assert device.ask(gateway, "GET", CURRENT, token="x" * 43)[0] == 401
    # A client without one is asked for those of this authority alone, by its name, and goes on.
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-CAfile", str(gateway.ca)],
        input=b"", capture_output=True, timeout=60 * SCALE,
    ).stdout.decode()
    names = shown.partition("Acceptable client certificate CA names\n")[2].partition("\nRequested Signature")[0].splitlines()
    assert len(names) == 1 and "Usher device CA" in names[0]


def test_what_is_no_request_of_a_p256_key_is_refused(gateway, tmp_path):
    gateway.account("bob")
    token = gateway.sign_in("alice")
    device = Device(tmp_path / "devices")
    rsa = tmp_path / "rsa.key"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(rsa))
    of_rsa = base64.b64encode(openssl("req", "-new", "-key", str(rsa), "-subj", "/CN=x", "-outform", "DER")).decode()
    good = device.request()
    raw = bytearray(base64.b64decode(good))
    raw[-5] ^= 1
    for bad in ("", "AAAA", of_rsa, good[:-4], good + "=", "A" * 7000, base64.b64encode(raw).decode()):
        assert gateway.request("POST", DEVICES, {"name": "x", "certificate_request": bad}, token)[0] == 400
    token = gateway.sign_in("bob")  # whose tries are not used up
    for form in ({"name": "x"}, {"certificate_request": good}, {"name": "x", "certificate_request": good, "state": "active"}):
        assert gateway.request("POST", DEVICES, form, token)[0] == 400
    assert gateway.request("POST", DEVICES, {"name": "x" * 300, "certificate_request": good}, token)[0] == 400
    assert gateway.request("POST", DEVICES, {"name": "x", "certificate_request": good})[0] == 401
    assert gateway.request("GET", DEVICES, token=token)[0] == 405
    assert gateway.ctl_json("device", "list") == []
    device.enroll(gateway, token)
    assert gateway.request("POST", DEVICES, {"name": "x", "certificate_request": device.request()}, token) == (409, {"error": "key-known-already"})
    # The name in the request is nobody's word.
    text = openssl("x509", "-in", str(device.pem), "-noout", "-text").decode()
    assert not any(name in text for name in ("mallory", "alice", "bob")) and f"URI:urn:usher:device:{device.id}" in text
    assert "TLS Web Client Authentication" in text and "CA:FALSE" in text


def test_an_account_with_a_second_factor_proves_it_to_enrol(gateway, tmp_path):
    old = gateway.sign_in("alice")
    app, _ = enroll_by_administrator(gateway, "alice")
    device = Device(tmp_path / "devices")
    form = {"name": "laptop", "certificate_request": device.request()}
    if gateway.request("GET", CURRENT, token=old)[0] == 200:
        assert gateway.request("POST", DEVICES, form, old) == (403, {"error": "sign-in-too-old"})
    token = sign_in(gateway, code=app.code())[1]["token"]
    assert gateway.request("POST", DEVICES, form, token)[0] == 201


def test_so_many_devices_an_account(gateway_factory, tmp_path):
    gateway = gateway_factory(config={"limits": {"devices_per_account": 2}}).start()
    gateway.account("alice")
    first = enrolled(gateway, tmp_path, "one")
    enrolled(gateway, tmp_path, "two")
    third = Device(tmp_path / "devices", "three")
    form = {"name": "three", "certificate_request": third.request()}
    token = gateway.sign_in("alice")
    assert gateway.request("POST", DEVICES, form, token) == (409, {"error": "too-many-devices"})
    gateway.ctl("device", "unbind", first.id)
    assert gateway.request("POST", DEVICES, form, token)[0] == 201


@pytest.mark.parametrize("act, reason", [("lock", "device-locked"), ("lost", "device-lost"), ("unbind", "device-unbound")])
def test_what_is_taken_from_a_device_ends_at_once(stored, echo, tmp_path, act, reason):
    device = enrolled(stored, tmp_path)
    other = enrolled(stored, tmp_path, "other")
    token, kept = device.token(stored), other.token(stored)
    with device.connect(stored, echo.address, token) as tunnel, other.connect(stored, echo.address, kept) as lives:
        assert (tunnel.status, lives.status) == (200, 200)
        (answer,) = stored.ctl_json("device", act, device.id)
        assert (answer["ended_sessions"], answer["closed_accesses"]) == ("1", "1")
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            tunnel.recv_exactly(1)
        lives.send(b"still")
        assert lives.recv_exactly(5) == b"still"
        record = stored.wait_closed(lambda r: r["enrolled_device_id"] == device.id)
        assert record["close_reason"] == "REVOKED" and record["revoked_at"]
    assert device.ask(stored, "GET", CURRENT, token=token)[0] == 401
    assert device.sign_in(stored) == (403, {"error": reason})
    assert device.sign_in(stored, "alice", password="wrong, and long enough")[0] == 401
    failed = [e["session"]["reason"] for e in stored.ctl_json("audit", "tail", "--since", "24h") if e.get("session", {}).get("event") == "SIGN_IN_FAILED"]
    assert failed == [reason, "wrong-password"]
    acts = [e["admin"] for e in stored.ctl_json("audit", "tail", "--since", "24h") if e.get("admin", {}).get("action", "").startswith("device.")]
    assert acts[-1]["resource"] == f"devices/{device.id}"
    unlocked = stored.ctl("device", "unlock", device.id, check=False)
    assert (unlocked.returncode == 0) == (act == "lock")
    assert (device.sign_in(stored)[0] == 201) == (act == "lock")


def test_a_device_of_somebody_else_signs_nobody_in(gateway, tmp_path):
    gateway.account("bob")
    device = enrolled(gateway, tmp_path)
    assert device.sign_in(gateway, "bob") == (403, {"error": "device-of-another-account"})
    assert device.ask(gateway, "POST", "/.usher/v1/sessions", {"username": "bob", "password": "wrong, and long"})[0] == 401


def test_approval_by_an_administrator(gateway_factory, echo, tmp_path):
    gateway = gateway_factory(config={"device_approval": "required"}).start()
    gateway.account("alice")
    device = Device(tmp_path / "devices")
    assert device.enroll(gateway, gateway.sign_in("alice"))["state"] == "pending"
    token = device.token(gateway)
    assert device.ask(gateway, "GET", CURRENT, token=token)[1]["device_state"] == "pending"
    (listed,) = gateway.ctl_json("device", "list", "--account", "alice")
    assert (listed["state"], listed["username"], listed["display_name"]) == ("PENDING", "alice", "laptop")
    assert listed["last_seen_at"]
    gateway.ctl("device", "approve", device.id)
    assert device.ask(gateway, "GET", CURRENT, token=token)[1]["device_state"] == "active"
    (shown,) = gateway.ctl_json("device", "show", device.id)
    assert shown["state"] == "ACTIVE"


def test_a_certificate_is_renewed_by_its_own_key(gateway, tmp_path):
    device = enrolled(gateway, tmp_path)
    token = device.token(gateway)
    status, answer = device.ask(gateway, "POST", CERTIFICATE, token=token)
    assert status == 200 and answer["device_id"] == device.id
    new = tmp_path / "new.pem"
    new.write_text(answer["certificate"])
    assert new.read_text() != device.pem.read_text()
    # The session stands on the key, so it is good with both.
    for certificate in (new, device.pem):
        assert device.ask(gateway, "GET", CURRENT, token=token, certificate=certificate)[0] == 200
    assert gateway.request("POST", CERTIFICATE, token=gateway.sign_in("alice")) == (409, {"error": "no-device"})


def test_a_tunnel_to_the_control_api_minds_the_key_too(gateway, tmp_path):
    gateway.account("root", role="administrator")
    device = enrolled(gateway, tmp_path, account="root")
    assert gateway.connect("control.usher.internal:443", device.token(gateway, "root")).status == 407
    with device.connect(gateway, "control.usher.internal:443", device.token(gateway, "root")) as tunnel:
        assert tunnel.status == 200


def test_usher_enrols_and_its_token_is_of_no_use_elsewhere(gateway, echo, tmp_path):
    def usher(*arguments, input=None, check=True):
        return gateway.client("usher", *arguments, input=input, check=check)

    login = ["login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin"]
    usher(*login, input=PASSWORD + "\n")
    answer = json.loads(usher("enroll", "--name", "Alice's laptop", "-o", "json").stdout)
    assert answer["state"] == "active"
    again = usher("enroll", check=False)
    assert again.returncode == 1 and "--replace" in again.stderr
    home = gateway.directory / "home/.config/usher"
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in home.glob("device.*")} == {"device.key": "0o600", "device.pem": "0o600"}
    usher(*login, input=PASSWORD + "\n")
    token = usher("token").stdout.strip()
    assert gateway.request("GET", CURRENT, token=token)[0] == 401
    assert usher("connect", echo.address, input="through").stdout == "through"
    record = gateway.wait_closed()
    assert (record["enrolled_device_id"], record["enrolled_device_name"]) == (answer["device_id"], "Alice's laptop")
    assert "demo" in usher("apps").stdout
    gateway.ctl("device", "lock", answer["device_id"])
    refused = usher(*login, input=PASSWORD + "\n", check=False)
    assert refused.returncode == 1 and "device-locked" in refused.stderr
    gateway.ctl("device", "unlock", answer["device_id"])
    usher(*login, input=PASSWORD + "\n")
    usher("logout")
    usher(*login, input=PASSWORD + "\n")
    usher("enroll", "--replace", "--name", "new key")
    assert len(gateway.ctl_json("device", "list")) == 2


def test_a_gateway_that_is_not_the_devices_own_is_shown_nothing(gateway, gateway_factory):
    stranger = gateway_factory().start()
    stranger.account("alice")

    def login(at):
        return gateway.client(
            "usher", "login", "--gateway", f"localhost:{at.port}", "--ca", at.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n"
        )

    login(gateway)
    gateway.client("usher", "enroll")
    key = json.loads(gateway.client("usher", "status", "-o", "json", check=False).stdout)["device_key"]
    assert key.endswith("/.config/usher/device.key") and "PRIVATE KEY" in open(key).read()
    login(stranger)  # it would refuse a certificate of another authority
    (session,) = stranger.ctl_json("session", "list")
    assert session["username"] == "alice"


def test_a_device_of_one_gateway_is_known_and_cut_off_at_another(pair, tmp_path):
    first, other = pair
    device = enrolled(first, tmp_path)
    # The other one has no sealing key for the authority, and needs none to recognise its devices.
    token = wait_for(lambda: (answer := device.sign_in(other))[0] == 201 and answer[1]["token"], "the device to be known")
    assert other.connect(first.app.address, token).status == 407
    with device.connect(other, first.app.address, token) as tunnel:
        assert tunnel.status == 200
        tunnel.send(b"x")
        assert tunnel.recv_exactly(1) == b"x"
        started = time.monotonic()
        first.ctl("device", "lost", device.id)
        ends_within(tunnel, 30)
        took = time.monotonic() - started
    assert took < WITHIN * SCALE + 0.5, f"{took:.3f} s"  # the command itself takes a part of it
    assert device.sign_in(other) == (403, {"error": "device-lost"})
    assert other.wait_closed(lambda r: r["enrolled_device_id"] == device.id)["close_reason"] == "REVOKED"


def asks_for(states, apps="demo", expect=""):
    text = f"kind: policy\nname: demo\napps: [{apps}]\nallow: [{{groups: [staff], devices: [{states}]}}]\n"
    return text + (f"expect: {expect}\n" if expect else "")


NEEDED = "an enrolled device is needed: usher enroll, then usher login"


def test_an_app_asks_for_an_enrolled_device_and_says_so(stored, echo, tmp_path):
    free = stored.sign_in("alice")
    with stored.connect(echo.address, free) as lives:
        assert lives.status == 200
        stored.apply(asks_for("active"))
        ends_within(lives, 10)
    with stored.connect(echo.address, free) as refused:
        assert refused.status == 403
        assert refused.headers["proxy-status"] == f'usher; error=http_request_denied; details="{NEEDED}"'
        assert refused.body().strip() == NEEDED
    denied = stored.wait_record(lambda r: r["event"] == "DENIED")
    assert denied["reasons"] == ["device-needed demo/allow[0]", "device active"] and denied["policy"] == "demo"
    assert denied["enrolled_device_state"] == "none" and "second_factor_at" not in denied
    # Whom no device would help is told what everybody is told who asks for what is not there.
    stored.account("eve", groups=("guests",))
    stranger = stored.sign_in("eve")
    with stored.connect(echo.address, stranger) as other, stored.connect("192.0.2.1:443", stranger) as absent:
        assert other.status == absent.status == 403 and other.body() == absent.body()

    device = enrolled(stored, tmp_path)
    token = device.token(stored)
    with device.connect(stored, echo.address, token) as tunnel:
        assert tunnel.status == 200
        stored.ctl("device", "lock", device.id)
        ends_within(tunnel, 10)
    record = stored.wait_closed(lambda r: r["enrolled_device_id"] == device.id)
    assert record["reasons"] == ["allow-rule demo/allow[0] by group and device", "group staff", "device active"]
    assert (record["close_reason"], record["enrolled_device_state"]) == ("REVOKED", "active")
    assert [r["access_id"] for r in stored.records('enrolled_device_state = "active"')] == [record["access_id"]]

    ask = ("policy", "explain", "--account", "alice", "--app", "demo")
    shown = stored.ctl(*ask).stdout
    assert shown.startswith("alice may not use demo: device-needed demo/allow[0] (device active)\n") and "there is no such device" in shown
    locked = stored.ctl_json(*ask, "--device", device.id)[0]
    assert not locked["allow"] and locked["reason"] == "device-locked" and locked["rules"][0]["unmet"] == "device"
    stored.ctl("device", "unlock", device.id)
    answer = stored.ctl_json(*ask, "--device", device.id)[0]
    assert answer["allow"] and answer["reason"] == "allow-rule demo/allow[0] by group and device"
    foreign = stored.ctl("policy", "explain", "--account", "eve", "--app", "demo", "--device", device.id, check=False)
    assert foreign.returncode == 1 and "is not a device of 'eve'" in foreign.stderr
    absent = stored.ctl(*ask, "--device", "nowhere", check=False)
    assert absent.returncode == 1 and "device 'nowhere' does not exist" in absent.stderr


def test_policies_with_devices_are_kept_shown_and_tested(gateway):
    expect = "\n  - {account: alice, app: demo, device: active, allow: true}\n  - {account: alice, app: demo, allow: false}"
    gateway.apply(asks_for("active, pending", expect=expect))
    shown = gateway.ctl("get", "policies", "-o", "yaml").stdout
    assert 'devices: ["active", "pending"]' in shown and 'device: "active"' in shown
    assert "unchanged" in gateway.apply(shown).stdout
    assert "device active|pending" in gateway.ctl("get", "policies").stdout
    for text, complaint in [
        (asks_for("locked"), ":4:37: 'locked' is no state of a device that is let in"),
        (asks_for("active", expect="{account: alice, app: demo, device: any, allow: true}"), "'any' is no state of a device"),
        (asks_for("active", expect="{account: alice, app: demo, allow: true}"), "device-needed demo/allow[0]"),
        (asks_for("active").replace("devices:", "device:"), "did you mean 'devices'"),
    ]:
        refused = gateway.apply(text, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, (complaint, refused.stderr)


def test_who_waits_for_approval_is_told_so_and_gets_in_with_it(gateway_factory, echo, tmp_path):
    gateway = gateway_factory(config={"device_approval": "required"}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    gateway.apply(asks_for("active"))

    def usher(*arguments, input=None, check=True):
        return gateway.client("usher", *arguments, input=input, check=check)

    login = ["login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin"]
    usher(*login, input=PASSWORD + "\n")
    refused = usher("connect", echo.address, input="", check=False)
    assert refused.returncode == 1 and NEEDED in refused.stderr
    device = json.loads(usher("enroll", "-o", "json").stdout)
    usher(*login, input=PASSWORD + "\n")
    refused = usher("connect", echo.address, input="", check=False)
    assert refused.returncode == 1 and "waits for an administrator's approval" in refused.stderr
    gateway.ctl("device", "approve", device["device_id"])
    assert usher("connect", echo.address, input="through").stdout == "through"
    gateway.wait_closed()
    states = [r["enrolled_device_state"] for r in gateway.records('app = "demo"')]
    assert sorted(states) == ["active", "none", "pending"]
