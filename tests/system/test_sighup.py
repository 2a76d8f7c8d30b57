"""SIGHUP: new handshakes see the new certificate, live tunnels notice nothing, a certificate that cannot be used changes nothing, and
the log goes on in a new file."""

import json
import os
import socket
import ssl
import subprocess

import pytest

from harness.build import SCALE
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for


def make_certificate(directory, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "30",
         "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return directory / f"{name}.pem", directory / f"{name}.key"


@pytest.fixture
def certified(tmp_path, prepared):
    """A gateway with a certificate of its own, to be replaced."""
    first = make_certificate(tmp_path, "first")
    for source, name in zip(first, ("live.pem", "live.key")):
        (tmp_path / name).write_bytes(source.read_bytes())
    gateway = prepared(
        config={"tls": {"certificate": str(tmp_path / "live.pem"), "private_key": str(tmp_path / "live.key")}}, trusted=tmp_path / "live.pem"
    )
    gateway.folder = tmp_path
    return gateway


def replace(gateway, certificate, key):
    """As tools do: a new file in the place of the old one."""
    for source, name in ((certificate, "live.pem"), (key, "live.key")):
        new = gateway.folder / (name + ".new")
        new.write_bytes(source.read_bytes())
        os.rename(new, gateway.folder / name)


def presented(gateway):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10 * SCALE) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            return sock.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def hangup(gateway, word):
    before = gateway.log().count(word)
    gateway.process.send_signal(1)
    wait_for(lambda: gateway.log().count(word) > before, f"'{word}' in the log")


RELOADED = "certificates and log were reloaded"
REFUSED = "certificates could not be reloaded; the old ones stay"


def test_a_new_certificate_is_for_new_connections_and_live_tunnels_notice_nothing(certified):
    gateway = certified
    assert presented(gateway) == der(gateway.folder / "first.pem")
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        tunnel.send(b"before")
        assert tunnel.sock.recv(6) == b"before"
        for name in ("second", "third"):
            certificate, key = make_certificate(gateway.folder, name)
            replace(gateway, certificate, key)
            hangup(gateway, RELOADED)
            assert presented(gateway) == der(certificate)
            tunnel.send(b"after")
            assert tunnel.sock.recv(5) == b"after"
        tunnel.half_close()
        assert tunnel.recv_all() == b""
    record = gateway.wait_record(lambda r: r["event"] == "CLOSED")
    assert record["close_reason"] == "CLIENT_CLOSED" and int(record["bytes_up"]) == int(record["bytes_down"]) == 16
    # The new one is as good as the old one was.
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200


@pytest.mark.parametrize("case", ["missing", "empty", "no PEM", "another key"])
def test_a_certificate_that_cannot_be_used_changes_nothing(certified, case):
    gateway = certified
    if case == "missing":
        os.remove(gateway.folder / "live.key")
    elif case == "empty":
        (gateway.folder / "live.pem").write_bytes(b"")
    elif case == "no PEM":
        (gateway.folder / "live.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    else:
        (gateway.folder / "live.key").write_bytes(make_certificate(gateway.folder, "other")[1].read_bytes())
    token = None
    hangup(gateway, REFUSED)
    line = next(line for line in gateway.log().splitlines() if REFUSED in line)
    assert "live.pem" in line or "live.key" in line
    assert presented(gateway) == der(gateway.folder / "first.pem")
    # And when it is mended, the next one is taken.
    replace(gateway, *make_certificate(gateway.folder, "mended"))
    hangup(gateway, RELOADED)
    assert presented(gateway) == der(gateway.folder / "mended.pem")
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200


def test_the_log_goes_on_in_a_new_file(tmp_path, prepared):
    log = tmp_path / "usherd.log"
    gateway = prepared(config={"log": {"file": str(log), "format": "json"}})
    wait_for(lambda: "usherd serves" in log.read_text(), "the log")
    os.rename(log, tmp_path / "usherd.log.1")
    gateway.process.send_signal(1)
    wait_for(lambda: log.exists() and RELOADED in log.read_text(), "the new log")
    old = (tmp_path / "usherd.log.1").read_text()
    assert gateway.stop() == 0
    assert "usherd stopped" in log.read_text()
    assert (tmp_path / "usherd.log.1").read_text() == old
    for line in (old + log.read_text()).splitlines():
        assert isinstance(json.loads(line), dict)
    assert log.stat().st_mode & 0o077 == 0


def test_a_log_that_cannot_be_opened_again_is_no_end(tmp_path, prepared):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = folder / "usherd.log"
    gateway = prepared(config={"log": {"file": str(log)}})
    os.rename(folder, tmp_path / "gone")
    gateway.process.send_signal(1)
    moved = tmp_path / "gone" / "usherd.log"
    wait_for(lambda: "the log could not be re-opened" in moved.read_text(), "the error in the old file")
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
    os.rename(tmp_path / "gone", folder)
    gateway.process.send_signal(1)
    wait_for(lambda: RELOADED in log.read_text(), "the log")


def test_many_hangups_in_a_row_and_a_service_manager_that_hears_of_none(certified):
    """The manager's socket is full after a few messages, which must not hold the gateway."""
    token = certified.sign_in("alice")
    with certified.connect(certified.app.address, token=token) as tunnel:
        for _ in range(50):
            certified.process.send_signal(1)
            tunnel.send(b"x")
            assert tunnel.sock.recv(1) == b"x"
        hangup(certified, RELOADED)
    assert certified.process.poll() is None
