"""`usher up`: programs of real life through the agent's local port, and what they are told when there is no way through."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from harness.agent import Agent
from harness.apps import App, DuplexApp, EchoApp, HalfCloseApp, RefusingPort, ResettingApp, SourceApp
from harness.build import BIN, SCALE, size
from harness.gateway import free_port
from harness.postgresql import psql
from harness.wait import wait_for
from test_clients import FileServer, sshd  # noqa: F401
from test_failures import NameServer


class WebApp(App):
    """Answers each request with its own head, as text, and closes."""

    def serve(self, connection):
        head = connection.recv_head()
        if head is None:
            return
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        while length and len(body) < int(length.group(1)):
            body += connection.recv()
        text = head + b"\n" + body
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text))
        connection.send(text)


@pytest.fixture
def agents():
    made = []

    def make(gateway, **options):
        agent = Agent(gateway, **options)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def up(gateway, agents):
    """Runs, signed in as alice."""
    return agents(gateway).login().start()


def curl(*arguments, **options):
    return subprocess.run(["curl", "-sS", "--max-time", str(60 * SCALE), *map(str, arguments)], capture_output=True, **options)


def test_curl_by_socks_and_by_both_ways_of_an_http_proxy(gateway, up):
    with WebApp() as web:
        gateway.allow("web", web.address, f"localhost:{web.port}")
        by_name = f"http://localhost:{web.port}/a?b"
        for way in (["--socks5-hostname", up.address], ["-x", f"http://{up.address}"], ["-p", "-x", f"http://{up.address}"]):
            got = curl(*way, "-d", "a form", by_name)
            assert got.returncode == 0, got.stderr
            assert got.stdout.startswith(b"POST /a?b HTTP/1.1\r\n") and got.stdout.endswith(b"\na form")
        assert curl("--socks5", up.address, f"http://{web.address}/").returncode == 0
        for connection in web.connections:
            connection.over.wait()
        records = [gateway.wait_closed(lambda r, c=c: int(r["bytes_up"]) == c.received and int(r["bytes_down"]) == c.sent)
                   for c in web.connections]
        assert {r["app"] for r in records} == {"web"} and {r["username"] for r in records} == {"alice"}
        # All of it went over one connection to the gateway.
        assert up.status()["agent"]["connections"] == 1


class TlsWebApp(WebApp):
    """The same over TLS, with a certificate of its own for localhost."""

    def __init__(self, folder):
        self.certificate, key = folder / "web.pem", folder / "web.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=web",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        super().__init__()

    def serve(self, connection):
        connection.sock = self.context.wrap_socket(connection.sock, server_side=True)
        super().serve(connection)


def test_https_through_the_local_proxy(gateway, up, tmp_path):
    with TlsWebApp(tmp_path) as web:
        gateway.allow("web", f"localhost:{web.port}")
        for way in (["--socks5-hostname", up.address], ["-x", f"http://{up.address}"]):
            got = curl(*way, "--cacert", web.certificate, f"https://localhost:{web.port}/private")
            assert got.returncode == 0 and got.stdout.startswith(b"GET /private "), got.stderr


def test_an_ipv6_address_by_socks(gateway, up):
    with EchoApp(host="::1") as app:
        gateway.allow("six", app.address)
        code, sock = up.socks("::1", app.port, "v6")
        with sock:
            assert code == 0
            sock.sendall(b"over six")
            assert sock.recv(100) == b"over six"


def test_bytes_both_ways_are_the_same_and_the_record_says_so(gateway, up, tmp_path):
    length = size(256 << 20)
    path = tmp_path / "big"
    path.write_bytes(os.urandom(1 << 20) * (length >> 20))
    with FileServer(path) as server:
        gateway.allow("files", server.address)
        got = tmp_path / "got"
        assert curl("--socks5-hostname", up.address, "-o", got, f"http://{server.address}/").returncode == 0
        assert subprocess.run(["cmp", path, got]).returncode == 0
        assert curl("-x", f"http://{up.address}", "-T", path, f"http://{server.address}/").returncode == 0
        for connection in server.connections:
            connection.over.wait()
        for c in server.connections:
            gateway.wait_closed(lambda r, c=c: int(r["bytes_up"]) == c.received and int(r["bytes_down"]) == c.sent)


def test_half_closes_and_resets_go_through(gateway, up):
    with HalfCloseApp() as app, ResettingApp(after=3) as resetting, DuplexApp(size(64 << 20)) as duplex:
        gateway.allow("half", app.address, resetting.address, duplex.address)
        code, sock = up.socks("127.0.0.1", app.port)
        assert code == 0
        sock.sendall(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"100000" and sock.recv(1) == b""
        code, sock = up.socks("127.0.0.1", resetting.port)
        sock.sendall(b"xxx")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        # The same for `usher connect`, which must not take a broken stream for a whole one.
        assert up.usher("connect", app.address, input=b"y" * 50_000).stdout == b"50000"
        broken = up.usher("connect", resetting.address, input=b"xxx", check=False)
        assert broken.returncode == 1 and b"broke" in broken.stderr
        code, sock = up.socks("127.0.0.1", duplex.port)
        sender = threading.Thread(target=lambda: (sock.sendall(b"z" * duplex.size), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        total = 0
        while more := sock.recv(1 << 16):
            total += len(more)
        sender.join()
        assert total == duplex.size
        wait_for(lambda: duplex.received == duplex.size, "all to be received")


def test_a_program_that_stalls_stops_nobody_and_costs_little(gateway, up):
    with SourceApp(1 << 30) as source, EchoApp() as echo:
        gateway.allow("flow", source.address, echo.address)
        stalled = [up.socks("127.0.0.1", source.port)[1] for _ in range(20)]
        wait_for(lambda: len(source.connections) == 20, "the app's connections")
        sent = -1
        while sent != source.sent:  # until nothing moves for a moment
            sent = source.sent
            code, sock = up.socks("127.0.0.1", echo.port)
            with sock:
                assert code == 0
                sock.sendall(b"still there")
                assert sock.recv(100) == b"still there"
        resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{up.process.pid}/status").read()).group(1))
        if SCALE == 1:
            assert resident < 128 * 1024, f"{resident} KiB"
        for sock in stalled:
            sock.close()


def test_ssh_by_usher_connect_uses_the_agents_connection(gateway, up, sshd):  # noqa: F811
    home, port = sshd
    gateway.allow("ssh", f"127.0.0.1:{port}")
    before = up.status()["agent"]["tunnels"]
    result = subprocess.run(
        ["ssh", "-F", "none", "-i", home / "user", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
         "-o", f"UserKnownHostsFile={home}/known", "-o", f"ProxyCommand={BIN}/usher connect %h %p", "-p", str(port),
         f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1", "wc -c"],
        input=b"x" * 300_000, capture_output=True, timeout=60 * SCALE, env=up.env,
    )
    assert result.stdout.strip() == b"300000", result.stderr
    assert up.status()["agent"]["tunnels"] == before + 1
    assert gateway.wait_closed(lambda r: r["app"] == "ssh")["username"] == "alice"


def test_psql_through_a_static_forward(gateway, agents, postgresql_server):
    port = int(postgresql_server.rsplit(":", 1)[1].split("/")[0])
    gateway.allow("db", f"127.0.0.1:{port}")
    up = agents(gateway, config=f"forwards:\n- '0=127.0.0.1:{port}'\n").login().start()
    url = postgresql_server.replace(f"127.0.0.1:{port}/", f"{up.forwards[0]}/")
    assert psql(url, "SELECT 6 * 7") == "42"
    assert psql(url, "SELECT sum(length(repeat('x', 1000))) FROM generate_series(1, 10000)") == "10000000"
    gateway.wait_closed(lambda r: r["app"] == "db")


def test_usher_forward_uses_the_agent(gateway, up, echo):
    forward = subprocess.Popen([BIN / "usher", "forward", f"0={echo.address}"], stdout=subprocess.PIPE, text=True, env=up.env)
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline()).group(1))
        with socket.create_connection(("127.0.0.1", port), timeout=30 * SCALE) as sock:
            sock.sendall(b"by the agent")
            assert sock.recv(100) == b"by the agent"
            assert up.status()["agent"]["open_tunnels"] == 1
    finally:
        forward.terminate()
        forward.wait()


def test_git_over_http_through_the_proxy(gateway, up, tmp_path):
    repository = tmp_path / "repo"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", repository], check=True)
    (repository / "file").write_text("of the enterprise")
    subprocess.run([*git, "-C", repository, "add", "file"], check=True)
    subprocess.run([*git, "-C", repository, "commit", "-qm", "one"], check=True)
    subprocess.run(["git", "-C", repository, "update-server-info"], check=True)
    port = free_port()
    server = subprocess.Popen(["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", tmp_path, str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the web server")
        gateway.allow("git", f"127.0.0.1:{port}")
        cloned = subprocess.run(
            ["git", "-c", f"http.proxy=http://{up.address}", "clone", "-q", f"http://127.0.0.1:{port}/repo/.git", tmp_path / "clone"],
            capture_output=True, timeout=60 * SCALE)
        assert cloned.returncode == 0, cloned.stderr
        assert (tmp_path / "clone" / "file").read_text() == "of the enterprise"
    finally:
        server.kill()
        server.wait()


def chromium(profile, *arguments):
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", *arguments],
        capture_output=True, text=True, timeout=120 * SCALE, env={**os.environ, "HOME": str(profile)},
    )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.skipif(SCALE != 1, reason="a browser in a sanitized run tests nothing more")
def test_chromium_with_the_pac_file(gateway_factory, agents, tmp_path):
    """Only the gateway's name server knows the name, so a page that comes has come through the gateway."""
    with NameServer() as names, WebApp() as web, WebApp() as other:
        gateway = gateway_factory(config={"dns": {"servers": [names.address], "timeout": "2s"}}).start()
        gateway.account("alice")
        gateway.allow("web", f"*.good.test:{web.port}")
        up = agents(gateway).login().start()
        pac = f"--proxy-pac-url=http://{up.address}/proxy.pac"
        page = chromium(tmp_path / "profile", pac, f"http://intranet.good.test:{web.port}/wanted")
        assert "GET /wanted HTTP/1.1" in page.stdout, page.stderr
        record = gateway.wait_closed(lambda r: r["app"] == "web")
        assert record["destination_host"] == "intranet.good.test"
        # What is no app of hers goes as before.
        page = chromium(tmp_path / "profile", pac, f"http://{other.address}/direct")
        assert "GET /direct HTTP/1.1" in page.stdout, page.stderr
        assert not [r for r in gateway.records() if int(r["destination_port"]) == other.port]


def test_the_pac_file_lists_what_the_account_may_reach(gateway, up):
    gateway.apply("kind: app\nname: hidden\ndestinations: ['hidden.corp.example:443']\n")
    got = curl("-i", f"http://{up.address}/proxy.pac")
    head, _, text = got.stdout.decode().partition("\r\n\r\n")
    assert "content-type: application/x-ns-proxy-autoconfig" in head and "nosniff" in head and "no-store" in head
    assert f"PROXY {up.address}" in text and "hidden" not in text
    gateway.allow("new", "*.new.corp.example:443")
    wait_for(lambda: b"*.new.corp.example" in curl(f"http://{up.address}/proxy.pac").stdout, "the new app to be listed")


def test_usher_apps_lists_the_built_in_app_to_those_who_may(gateway, up, agents):
    rows = [json.loads(line) for line in up.usher("apps", "-o", "json").stdout.splitlines()]
    assert [r["name"] for r in rows] == ["demo"] and rows[0]["destinations"]
    assert "demo" in up.usher("apps").stdout
    gateway.account("root-of-all", role="administrator", department="IT", groups=())
    admin = agents(gateway, home=gateway.directory / "admin").login("root-of-all")
    rows = [json.loads(line) for line in admin.usher("apps", "-o", "json").stdout.splitlines()]
    assert rows == [{"name": "usher-control", "destinations": ["control.usher.internal:443"]}]
    assert gateway.request("GET", "/.usher/v1/apps")[0] == 401
    assert gateway.request("GET", "/.usher/v1/apps", token="x" * 43)[0] == 401
    assert gateway.request("DELETE", "/.usher/v1/apps", token=gateway.sign_in("alice"))[0] == 405


def test_a_refusal_reaches_the_program_in_its_own_protocol(gateway, up):
    with RefusingPort() as nobody:
        gateway.allow("gone", nobody.address)
        for target, status, code in (("127.0.0.1:1", 403, 2), (nobody.address, 502, 5)):
            host, port = target.rsplit(":", 1)
            assert up.socks(host, int(port))[0] == code
            for way in ([f"http://{target}/"], ["-p", f"http://{target}/"]):
                got = curl("-i", "-x", f"http://{up.address}", *way)
                assert f"HTTP/1.1 {status}".encode() in got.stdout, got.stdout
        denied = curl("-x", f"http://{up.address}", "http://127.0.0.1:1/").stdout
        assert denied == b"usher: no policy allows this destination\n"
        assert b"no policy allows" in up.usher("connect", "127.0.0.1:1", check=False, input=b"").stderr
    refused = gateway.wait_record(lambda r: r["event"] == "DENIED" and int(r["destination_port"]) == 1)
    assert refused["username"] == "alice"


def test_the_session_ends_and_comes_back(gateway, up, echo):
    gateway.ctl("session", "revoke", "--account", "alice")
    got = curl("-i", "-x", f"http://{up.address}", f"http://{echo.address}/")
    assert b"HTTP/1.1 503" in got.stdout and b"usher login" in got.stdout
    assert up.socks("127.0.0.1", echo.port)[0] == 1
    status = up.usher("status", check=False)
    assert status.returncode == 1 and "usher login" in status.stderr and "an administrator ended your session" in status.stderr
    up.login()
    code, sock = up.socks("127.0.0.1", echo.port)
    assert code == 0
    sock.sendall(b"again")
    assert sock.recv(10) == b"again"
    # A revocation ends what is open.
    gateway.ctl("session", "revoke", "--account", "alice")
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    up.login()
    up.usher("logout")
    assert b"nobody is signed in" in curl("-x", f"http://{up.address}", f"http://{echo.address}/").stdout
    assert "signed-out" in up.usher("status", check=False).stdout


def test_usher_status_says_what_goes_on(gateway, up, echo):
    code, sock = up.socks("127.0.0.1", echo.port)
    with sock:
        status = up.status()
        assert status["state"] == "signed-in" and status["username"] == "alice"
        agent = status["agent"]
        assert (agent["open_tunnels"], agent["connections"], agent["address"]) == (1, 1, up.address)
        text = up.usher("status").stdout
        assert up.address in text and "alice" in text and "1 open" in text
    up.close()
    assert "not running; start it with: usher up" in up.usher("status").stdout
    gateway.ctl("account", "disable", "alice")
    assert "your account is disabled" in up.usher("status", check=False).stderr
    gateway.stop()
    away = up.usher("status", check=False)
    assert away.returncode == 1 and "cannot be asked" in away.stderr


def test_the_gateway_restarts_below_a_running_agent(gateway, up, echo):
    code, sock = up.socks("127.0.0.1", echo.port)
    sock.sendall(b"before")
    assert sock.recv(10) == b"before"
    gateway.kill()
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    assert up.socks("127.0.0.1", echo.port)[0] == 1
    gateway.start()

    def through():
        code, again = up.socks("127.0.0.1", echo.port)
        with again:
            if code != 0:
                return False
            again.sendall(b"after")
            assert again.recv(10) == b"after"
            return True

    wait_for(through, "the agent to find the gateway again")
    crashed = gateway.wait_closed(lambda r: r["close_reason"] == "GATEWAY_CRASHED")
    assert crashed["username"] == "alice" and crashed["app"] == "demo"
    closed = gateway.wait_closed(lambda r: r["close_reason"] == "CLIENT_CLOSED")
    assert (int(closed["bytes_up"]), int(closed["bytes_down"])) == (5, 5)
    assert up.status()["agent"].get("last_error") is None


def test_a_gateway_that_drains_lets_tunnels_go_on(gateway_factory, agents, echo):
    gateway = gateway_factory(config={"timeouts": {"drain": "20s"}}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    up = agents(gateway).login().start()
    code, sock = up.socks("127.0.0.1", echo.port)
    assert code == 0
    gateway.terminate()
    wait_for(lambda: up.socks("127.0.0.1", echo.port)[0] == 1, "the gateway to take nothing more")
    sock.sendall(b"goes on")
    assert sock.recv(10) == b"goes on"
    sock.close()
    assert gateway.wait() == 0


def test_there_is_one_agent_and_it_is_stopped_kindly(gateway, up, echo):
    second = up.usher("up", "--socks", "127.0.0.1:0", check=False)
    assert second.returncode == 1 and f"process {up.process.pid}" in second.stderr
    code, sock = up.socks("127.0.0.1", echo.port)
    assert code == 0
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(20 * SCALE) == 0
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert not list(up.home.rglob("agent.sock"))
    up.start()
    assert up.socks("127.0.0.1", echo.port)[0] == 0


def test_the_log_holds_no_personal_data_and_no_token(gateway, up, echo):
    token = up.usher("token").stdout.strip()
    up.socks("127.0.0.1", echo.port)
    curl("-x", f"http://{up.address}", "http://secret-name.corp.example/secret-path")
    log = up.log()
    for word in (token, "alice", "secret", str(echo.port)):
        assert word not in log, log


def test_wrong_input_is_named(gateway, agents, tmp_path):
    up = agents(gateway).login()
    for text, words in (
        ("socks: 0.0.0.0:1080\n", ["up.yaml:1:", "'socks'", "no loopback address"]),
        ("sock: 127.0.0.1:1\n", ["up.yaml:1:1", "unknown key 'sock'", "did you mean 'socks'"]),
        ("forwards:\n- x\n", ["up.yaml:2:", "LOCAL=HOST:PORT"]),
        ("forwards: {a: b}\n", ["up.yaml:1:", "'forwards' is a list"]),
    ):
        (tmp_path / "up.yaml").write_text(text)
        result = up.usher("up", "--config", str(tmp_path / "up.yaml"), check=False)
        assert result.returncode == 1
        for word in words:
            assert word in result.stderr, result.stderr
    public = up.usher("up", "--socks", "0.0.0.0:1080", check=False)
    assert public.returncode == 2 and "no loopback address" in public.stderr
    missing = up.usher("up", "--config", "/nonexistent/up.yaml", check=False)
    assert missing.returncode == 1 and "/nonexistent/up.yaml" in missing.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = up.usher("up", "--socks", f"127.0.0.1:{taken.getsockname()[1]}", check=False)
        assert busy.returncode == 1 and "Address already in use" in busy.stderr
    assert "Examples:" in up.usher("up", "--help").stdout
