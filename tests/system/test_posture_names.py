"""What a device is called, by whom it was made and which language it speaks: said at the sign-in, then reported as it changes."""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.gateway import PASSWORD
from harness.tunnel import ends_within
from harness.wait import wait_for
from test_posture import GOOD, asking, said, say, shown, status, stored  # noqa: F401
from test_up import agents  # noqa: F401

SIGNED_IN = {"device_id": "d", "name": "old-name", "brand": "Lenovo", "model": "20xw", "os": "Debian 11", "language": "en-GB"}
NAMES = {"device_name": "new-name", "brand": "LENOVO", "model": "20XW", "os_name": "Debian GNU/Linux 12 (bookworm)", "language": "de-DE"}


def sign_in(gateway):
    form = {"username": "alice", "password": PASSWORD, "device": SIGNED_IN}
    return gateway.request("POST", "/.usher/v1/sessions", form)[1]["token"]


def test_policies_ask_for_names_as_they_are_reported(stored, echo):
    gateway, app = stored, echo.address
    gateway.apply(asking("model = 20XW"))
    token = sign_in(gateway)
    # What was said at the sign-in alone is no posture.
    gateway.apply(asking("model = 20xw"))
    assert status(gateway, app, token) == 403
    said(gateway, token, {**GOOD, **NAMES})
    for field, value in NAMES.items():
        gateway.apply(asking(f"{field} = {value}"))
        assert status(gateway, app, token) == 200, field
        gateway.apply(asking(f"{field} != {value}"))
        assert status(gateway, app, token) == 403, field
    gateway.apply(asking("device_name = new-name", "brand = LENOVO", "language != fr-FR"))
    with gateway.connect(app, token) as tunnel:
        assert tunnel.status == 200
        # Declined, it is neither so nor otherwise, and what is said of the rest stands.
        said(gateway, token, {**GOOD, **{name: value for name, value in NAMES.items() if name != "brand"}})
        ends_within(tunnel, 10)
    record = gateway.wait_closed(lambda r: r["close_reason"] == "POLICY_CHANGED")
    # Whose device it is stands in the record once.
    assert record["reasons"][-1] == "posture device_name and brand = LENOVO and language != fr-FR"
    device = record["device"]
    assert [device[key] for key in ("name", "brand", "model", "os", "language")] == list(NAMES.values())
    assert device["reported"] == ["name", "brand", "model", "os", "language"] and device["device_id"] == "d"
    assert [r["access_id"] for r in gateway.records('device.name = "new-name" AND close_reason = POLICY_CHANGED')] == [record["access_id"]]
    # Of what a report leaves out the sign-in's word stands, as such.
    assert shown(gateway)["brand"] == "Lenovo" and "brand" not in shown(gateway)["reported"]
    # The sign-in's record is as it was; each report has a record of its own.
    events = [e["session"] for e in gateway.ctl_json("audit", "tail", "--since", "1h") if "session" in e]
    (opened,) = [e for e in events if e["event"] == "SIGNED_IN"]
    assert {key: opened["device"][key] for key in SIGNED_IN} == SIGNED_IN and not opened["device"].get("reported")
    assert [e["device"]["brand"] for e in events if e["event"] == "POSTURE_REPORTED"] == ["LENOVO", "Lenovo"]
    # A replay judges by what was reported, and takes the sign-in's word for nothing else.
    def would_be_allowed(condition):
        shown = gateway.ctl("policy", "replay", "--since", "1h", "-o", "json", "-", input=asking(condition)).stdout
        return [flip for flip in map(json.loads, shown.splitlines()) if not flip["allowed"]]

    assert len(would_be_allowed("device_name = new-name")) == len(NAMES) and not would_be_allowed("brand = Lenovo")
    # It outlives the gateway.
    said(gateway, token, {**GOOD, **NAMES})
    gateway.stop()
    gateway.start()
    assert status(gateway, app, token) == 200


def test_a_new_name_of_the_device_is_reported_while_the_agent_runs(gateway, echo, agents):
    alone = ["unshare", "--map-root-user", "--uts"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("nobody but root may have a host name of their own here")
    within = [*alone, "sh", "-c", 'hostname "$0" && exec "$@"', "first-name"]
    agent = agents(gateway, within=within).login().start()
    gateway.apply(asking("device_name = second-name"))
    wait_for(lambda: shown(gateway)["name"] == "first-name", "the name to be reported", timeout=30)
    assert agent.socks("127.0.0.1", echo.port)[0] != 0
    enter = ["nsenter", "--target", str(agent.process.pid), "--user", "--preserve-credentials", "--uts"]
    subprocess.run([*enter, "hostname", "second-name"], check=True, timeout=30)
    # It looks once a minute.
    wait_for(lambda: shown(gateway)["name"] == "second-name", "the new name to be reported", timeout=90)
    code, sock = agent.socks("127.0.0.1", echo.port)
    with sock:
        assert code == 0
        sock.sendall(b"through")
        assert sock.recv(7) == b"through"
        # Its user may decline it, and that counts at once.
        assert agent.usher("posture", "decline", "device_name").stderr == ""
        sock.settimeout(30)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
    assert "name" not in shown(gateway)["reported"] and shown(gateway)["agent_version"]


def test_the_agent_reports_the_names_it_said_at_the_sign_in(gateway):
    def usher(*arguments, input=None):
        return gateway.client("usher", *arguments, input=input, environment={"LC_ALL": "de_DE.UTF-8"})

    usher("login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n")
    body = json.loads(usher("posture", "-o", "json").stdout)
    names = {key: body["posture"][key] for key in ("device_name", "os_name", "language")}
    assert names["device_name"] and names["os_name"] and names["language"] == "de-DE"
    assert names.items() <= body["at_sign_in"].items() <= body["posture"].items()
    assert {"name", "os", "language"} <= set(shown(gateway)["reported"]) and shown(gateway)["os"] == names["os_name"]
    usher("posture", "decline", "all")
    assert shown(gateway)["reported"] == [] and shown(gateway)["os"] == names["os_name"]
    usher("logout")
    usher("login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n")
    assert shown(gateway)["os"] == "" and shown(gateway)["name"] == ""


class OlderGateway:
    """A gateway of before reports had names: it refuses a report with a member that it does not know, as that one did."""

    KNOWN = {
        "os", "os_version", "agent_version", "device_uid", "time_zone", "network_type", "screen", "storage_bytes",
        "storage_free_bytes", "battery_percent", "disk_encrypted", "firewall", "screen_lock",
    }

    def __init__(self, tls):
        gateway, self.reports = self, []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, code, body=None):
                data = json.dumps(body).encode() if body is not None else b""
                self.send_response(code)
                if body is not None:
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def form(self):
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def do_POST(self):
                self.form()
                self.answer(201, {"token": "t" * 43, "session_id": "s", "username": "alice", "expires_at": "2099-01-01T00:00:00Z"})

            def do_GET(self):
                self.answer(200, {"session_id": "s", "tenant": "A" * 43})

            def do_PUT(self):
                report = self.form()
                gateway.reports.append(report)
                unknown = sorted(set(report) - OlderGateway.KNOWN)
                if unknown:
                    reason = f"{unknown[0]}: is nothing that a device says of itself"
                    return self.answer(400, {"error": "malformed-posture", "reason": reason})
                self.answer(204)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_an_older_gateway_gets_a_report_without_names(gateway):
    tls = gateway.ca.parent
    with OlderGateway((tls / "server.pem", tls / "server.key")) as older:
        signed_in = gateway.client("usher", "login", "--gateway", f"localhost:{older.port}", "--ca", gateway.ca, "--username", "alice", "--password-stdin", input=PASSWORD + "\n")
        assert signed_in.stderr == "", signed_in.stderr
        first, second = older.reports
        assert set(first) - OlderGateway.KNOWN and set(second) <= OlderGateway.KNOWN and second["agent_version"]
        # Who declines them is asked for nothing twice.
        declined = gateway.client("usher", "posture", "decline", "device_name", "brand", "model", "os_name", "language")
        assert declined.stderr == "" and len(older.reports) == 3 and older.reports[2] == second
