"""Standard clients of real life: curl, ssh, psql, openssl; and the two programs that people type."""

import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness.apps import App
from harness.build import BIN, SCALE, size
from harness.gateway import PASSWORD, free_port
from harness.postgresql import psql
from harness.wait import wait_for


def login(gateway, program="usher", name="alice", **options):
    return gateway.client(
        program, *(["--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "login"] if program == "usherctl" else
                   ["login", "--gateway", f"localhost:{gateway.port}", "--ca", str(gateway.ca)]),
        "--username", name, "--password-stdin", input=PASSWORD + "\n", **options,
    )


class FileServer(App):
    """HTTP: a GET answers with `path`, a PUT is kept as a hash."""

    def __init__(self, path):
        self.path = path
        self.put = None
        super().__init__()

    def serve(self, connection):
        head = connection.recv_head()
        if head is None:
            return
        head, _, body = head.partition(b"\r\n\r\n")
        if head.startswith(b"PUT"):
            length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            if b"100-continue" in head:
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            digest, count = hashlib.sha256(body), len(body)
            while count < length:
                data = connection.recv()
                digest.update(data)
                count += len(data)
            self.put = digest.hexdigest()
            connection.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        length = os.path.getsize(self.path)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length)
        with open(self.path, "rb") as file:
            connection.sent += connection.sock.sendfile(file)


def test_a_gibibyte_each_way_by_curl_is_the_same_afterwards(gateway, tmp_path):
    length = size(1 << 30)
    path = tmp_path / "big"
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        block = os.urandom(1 << 20)
        for i in range(length >> 20):
            part = i.to_bytes(8, "big") + block[8:]
            file.write(part)
            digest.update(part)
    with FileServer(path) as server:
        gateway.allow("files", server.address)
        token = gateway.sign_in("alice")
        curl = ["curl", "-sS", "--proxy", f"https://localhost:{gateway.port}", "--proxy-cacert", gateway.ca, "--proxytunnel",
                "--proxy-user", f"alice:{token}"]
        fetched = subprocess.Popen([*curl, f"http://{server.address}/"], stdout=subprocess.PIPE)
        received = hashlib.sha256()
        while data := fetched.stdout.read(1 << 20):
            received.update(data)
        assert fetched.wait() == 0
        assert received.hexdigest() == digest.hexdigest()
        subprocess.run([*curl, "-T", path, f"http://{server.address}/"], check=True)
        assert server.put == digest.hexdigest()
        for connection in server.connections:
            connection.over.wait()
        records = [gateway.wait_closed(lambda r: int(r["bytes_down"]) > length), gateway.wait_closed(lambda r: int(r["bytes_up"]) > length)]
        assert sum(int(r["bytes_up"]) for r in records) == server.received
        assert sum(int(r["bytes_down"]) for r in records) == server.sent


@pytest.fixture
def sshd():
    """A private sshd that lets the user of the test in by a key."""
    home = Path(tempfile.mkdtemp(prefix="usher-sshd-"))
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / "authorized").write_text((home / "user.pub").read_text())
    port = free_port()
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\nPidFile none\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", home / "config"], stderr=subprocess.PIPE, text=True)
    while "Server listening" not in (line := process.stderr.readline()):
        assert line, "sshd did not start"
    yield home, port
    process.kill()
    process.wait()
    shutil.rmtree(home)


def test_ssh_through_usher_connect(gateway, sshd):
    home, port = sshd
    gateway.allow("ssh", f"127.0.0.1:{port}")
    login(gateway)
    result = subprocess.run(
        ["ssh", "-F", "none", "-i", home / "user", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
         "-o", f"UserKnownHostsFile={home}/known", "-o", f"ProxyCommand={BIN}/usher connect %h %p", "-p", str(port),
         f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1", "wc -c"],
        input=b"x" * 300_000, capture_output=True, timeout=60 * SCALE,
        env={**os.environ, "HOME": str(gateway.directory / "home")},
    )
    assert result.stdout.strip() == b"300000", result.stderr
    record = gateway.wait_closed(lambda r: r["app"] == "ssh")
    assert int(record["bytes_up"]) > 300_000
    assert record["device"]["os"]


def test_psql_through_usher_forward(gateway, postgresql_server):
    port = int(postgresql_server.rsplit(":", 1)[1].split("/")[0])
    gateway.allow("db", f"127.0.0.1:{port}")
    login(gateway)
    forward = subprocess.Popen(
        [BIN / "usher", "forward", f"0=127.0.0.1:{port}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "HOME": str(gateway.directory / "home")},
    )
    try:
        line = forward.stdout.readline() or forward.stderr.readline()
        local = re.search(r"127\.0\.0\.1:(\d+)", line).group(1)
        url = postgresql_server.replace(f":{port}/", f":{local}/")
        assert psql(url, "SELECT 6 * 7") == "42"
        assert psql(url, "SELECT sum(length(repeat('x', 1000))) FROM generate_series(1, 10000)") == "10000000"
        record = gateway.wait_closed(lambda r: r["app"] == "db")
        assert record["username"] == "alice"
    finally:
        forward.terminate()
        forward.wait()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_connect_tool_over_tls_that_knows_only_basic(gateway, echo, version):
    """What nc -X connect does, over TLS: openssl s_client makes the connection, the credential is typed."""
    import base64

    token = gateway.sign_in("alice")
    basic = base64.b64encode(f"alice:{token}".encode()).decode()
    process = subprocess.Popen(
        ["openssl", "s_client", "-quiet", version, "-verify_return_error", "-CAfile", gateway.ca, "-servername", "localhost",
         "-connect", f"localhost:{gateway.port}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    process.stdin.write(f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\nProxy-Authorization: Basic {basic}\r\n\r\n".encode())
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"HTTP/1.1 200")
    while process.stdout.readline() != b"\r\n":
        pass
    process.stdin.write(b"over and back\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"over and back\n"
    process.kill()
    process.wait()


def test_a_tls_client_that_negotiates_again_is_refused_and_only_it(gateway, echo):
    with gateway.connect(echo.address, gateway.sign_in("alice")) as other:
        # "R" on a line of its own makes s_client start a renegotiation.
        done = subprocess.run(
            ["openssl", "s_client", "-tls1_2", "-CAfile", gateway.ca, "-servername", "localhost", "-connect",
             f"localhost:{gateway.port}"], input=b"R\n", capture_output=True, timeout=60)
        assert b"RENEGOTIATING" in done.stdout + done.stderr
        assert b"no renegotiation" in done.stderr
        other.send(b"still here")
        assert other.recv_exactly(10) == b"still here"


def test_signing_in_and_out_by_the_agent(gateway, echo):
    login(gateway)
    home = gateway.directory / "home"
    kept = [p for p in home.rglob("*") if p.is_file() and "session" in p.name]
    assert kept and all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in kept)
    assert "alice" in gateway.client("usher", "status").stdout
    assert "demo" in gateway.client("usher", "apps").stdout
    answer = gateway.client("usher", "connect", echo.address, input=b"through the agent")
    assert answer.stdout == b"through the agent"
    gateway.client("usher", "logout")
    for command in (["status"], ["apps"], ["token"], ["connect", echo.address]):
        result = gateway.client("usher", *command, check=False)
        assert result.returncode != 0
        assert "usher login" in result.stderr
    wait_for(lambda: gateway.ctl_json("session", "list") == [], "the session to be gone")


def test_wrong_passwords_and_strange_gateways_get_words(gateway):
    wrong = gateway.client(
        "usher", "login", "--gateway", f"localhost:{gateway.port}", "--ca", str(gateway.ca), "--username", "alice",
        "--password-stdin", input="wrong\n", check=False,
    )
    assert wrong.returncode != 0 and "wrong" not in wrong.stderr.replace("wrong username or password", "")
    untrusted = gateway.client(
        "usher", "login", "--gateway", f"localhost:{gateway.port}", "--username", "alice", "--password-stdin",
        input=PASSWORD + "\n", check=False,
    )
    assert untrusted.returncode != 0 and "--ca" in untrusted.stderr
    nobody = gateway.client(
        "usher", "login", "--gateway", f"localhost:{free_port()}", "--username", "alice", "--password-stdin",
        input=PASSWORD + "\n", check=False,
    )
    assert nobody.returncode != 0 and "refused" in nobody.stderr
    denied = login(gateway) and gateway.client("usher", "connect", "127.0.0.1:1", check=False, input=b"")
    assert denied.returncode != 0 and denied.stderr
    for result in (wrong, untrusted, nobody):
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("program", ["usher", "usherctl"])
def test_help_version_completion_and_usage_errors(gateway, program):
    assert "Examples:" in gateway.client(program, "--help").stdout
    nothing = gateway.client(program, check=False)
    assert nothing.returncode == 2 and f"{program} --help" in nothing.stderr
    assert program in gateway.client(program, "version").stdout
    for shell in ("bash", "zsh", "fish"):
        script = gateway.client(program, "completion", shell).stdout
        assert program in script
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, check=True)
    assert gateway.client(program, "conect", check=False).returncode == 2


def test_an_administrator_works_from_elsewhere(gateway, echo):
    gateway.account("root-of-all", role="administrator", groups=(), department="IT")
    gateway.account("watcher", role="auditor", groups=(), department="IT")
    login(gateway, "usherctl", "root-of-all")
    remote = ["--gateway", f"localhost:{gateway.port}", "--ca", str(gateway.ca)]
    assert "alice" in gateway.client("usherctl", *remote, "account", "list").stdout
    gateway.client("usherctl", *remote, "account", "disable", "alice")
    (event,) = [e for e in events(gateway) if e.get("admin", {}).get("action") == "account.disable"]
    assert event["admin"]["actor"] == "root-of-all"
    assert json.loads(event["admin"]["before_json"])["status"] == "active"
    assert json.loads(event["admin"]["after_json"])["status"] == "disabled"

    auditor = gateway.directory / "auditor"
    login(gateway, "usherctl", "watcher", home=auditor)
    assert gateway.client("usherctl", *remote, "audit", "query", home=auditor).returncode == 0
    refused = gateway.client("usherctl", *remote, "account", "enable", "alice", home=auditor, check=False)
    assert refused.returncode != 0
    assert "permission denied" in refused.stderr
    tried = [e["admin"] for e in events(gateway) if e.get("admin", {}).get("actor") == "watcher"]
    assert [t["outcome"] for t in tried if t["action"] == "account.enable"] == ["REFUSED"]

    employee = gateway.directory / "employee"
    gateway.account("eve")
    login(gateway, "usherctl", "eve", home=employee)
    refused = gateway.client("usherctl", *remote, "account", "list", home=employee, check=False)
    assert refused.returncode != 0


def events(gateway):
    return gateway.ctl_json("audit", "tail", "--since", "1h")
