"""What web pages, other users of the machine, broken programs and a lying gateway try at the agent's local port."""

import os
import socket
import subprocess
import threading

import pytest
from harness.build import SCALE
from harness.wait import wait_for
from test_up import agents, curl, up  # noqa: F401


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


@pytest.mark.parametrize("data", [
    b"\x00", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x16\x03\x01\x02\x00\x01", b"\xff" * 100, b"\r\n\r\n", b" GET / HTTP/1.1\r\n\r\n",
])
def test_what_is_neither_socks_nor_http_is_closed_without_a_word(up, data):  # noqa: F811
    assert up.ask(data) == b""


def test_socks_refusals(up, echo):  # noqa: F811
    assert up.ask(b"\x05\x01\x02") == b"\x05\xff"
    assert up.ask(b"\x05\x00") == b"\x05\xff"
    hello = b"\x05\x01\x00"
    v4 = b"\x01\x7f\x00\x00\x01" + echo.port.to_bytes(2, "big")
    assert up.ask(hello + b"\x05\x02\x00" + v4)[2:4] == b"\x05\x07"  # BIND
    assert up.ask(hello + b"\x05\x03\x00" + v4)[2:4] == b"\x05\x07"  # UDP ASSOCIATE
    assert up.ask(hello + b"\x05\x01\x00\x02" + v4)[2:4] == b"\x05\x08"
    assert up.ask(hello + b"\x05\x01\x00\x03\x05a b.c\x00\x50")[2:4] == b"\x05\x01"


def test_heads_that_are_too_much(up):  # noqa: F811
    name = "a" * 10_000
    assert status_of(up.ask(f"CONNECT {name}:80 HTTP/1.1\r\n\r\n".encode())) == 400
    assert status_of(up.ask(f"GET http://{name}/ HTTP/1.1\r\n\r\n".encode())) == 400
    assert status_of(up.ask(b"GET http://a/ HTTP/1.1\r\nX: " + b"x" * 70_000)) == 431
    assert status_of(up.ask(b"GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")) == 400
    assert status_of(up.ask(b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")) == 400


PAGE = "GET /proxy.pac HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"


def test_the_pac_file_is_not_for_web_pages(up):  # noqa: F811
    def ask(host, more=""):
        return up.ask(PAGE.format(host=host, more=more).encode())

    assert status_of(ask(up.address)) == 200
    assert status_of(ask(f"localhost:{up.port}")) == 200
    assert status_of(ask(f"[::1]:{up.port}")) == 200
    for host in ("evil.example", f"evil.example:{up.port}", "127.0.0.1", "127.0.0.1:1", f"localhost.evil.example:{up.port}",
                 f"10.0.0.1:{up.port}", f"2130706433:{up.port}", "", f"localhost:{up.port}@evil.example"):
        answer = ask(host)
        assert status_of(answer) == 403 and b"FindProxyForURL" not in answer, host
    for more in ("Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n",
                 "Sec-Fetch-Site: same-site\r\n", f"Host: {up.address}\r\n"):
        assert status_of(ask(up.address, more)) == 403, more
    assert status_of(up.ask(f"GET / HTTP/1.1\r\nHost: {up.address}\r\n\r\n".encode())) == 404
    assert status_of(up.ask(f"POST /proxy.pac HTTP/1.1\r\nHost: {up.address}\r\nContent-Length: 2\r\n\r\nab".encode())) == 405
    assert status_of(up.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")) == 400


def test_slow_programs_are_cut_and_do_not_hinder_others(up, echo):  # noqa: F811
    slow = []
    for start in (b"", b"\x05", b"\x05\x01\x00\x05\x01", b"GET http://a/ HTTP/1.1\r\nX: "):
        sock = up.connect()
        sock.sendall(start)
        slow.append(sock)
    stop = threading.Event()

    def drip():
        while not stop.wait(1):
            for sock in slow[3:]:
                try:
                    sock.send(b"x")
                except OSError:
                    return

    dripping = threading.Thread(target=drip)
    dripping.start()
    assert up.socks("127.0.0.1", echo.port)[0] == 0
    try:
        for sock in slow:
            sock.settimeout(30 * SCALE)
            try:
                while sock.recv(100):
                    pass
            except ConnectionResetError:
                pass
    finally:
        stop.set()
        dripping.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_other_users_of_the_machine_get_nothing(gateway, up, agents, echo):  # noqa: F811
    with_curl = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--max-time", "20"]
    for way in (["--socks5-hostname", up.address, f"http://{echo.address}/"], [f"http://{up.address}/proxy.pac"],
                ["-x", f"http://{up.address}", f"http://{echo.address}/"]):
        got = subprocess.run([*with_curl, *way], capture_output=True)
        assert got.returncode != 0 and got.stdout == b""
    assert "another user" in up.log()
    assert gateway.records() == []
    # Neither does one who is gone before he is looked at: the kernel calls the owner of a closed socket root.
    late = ("import socket\nfor _ in range(200):\n s = socket.create_connection(('127.0.0.1', %d))\n"
            " s.send(b'CONNECT %s HTTP/1.1\\r\\n\\r\\nsmuggled')\n s.close()\n" % (up.port, echo.address))
    subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", late], check=True)
    assert up.socks("127.0.0.1", echo.port)[0] == 0  # behind all of them in the queue
    wait_for(lambda: len(echo.connections) == 1, "the one connection")
    assert echo.received == 0
    (directory,) = (p.parent for p in up.home.rglob("agent.sock"))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "agent.sock").stat().st_mode & 0o777 == 0o600
    os.chmod(directory, 0o777)
    other = up.usher("connect", echo.address, check=False, input=b"")
    assert other.returncode == 1 and b"chmod 700" in other.stderr
    os.chmod(directory, 0o700)


def test_packets_that_the_agent_does_not_know(up, echo):  # noqa: F811
    (path,) = up.home.rglob("agent.sock")
    for packet in (b"", b"x", b"connect", b"connect a", b"connect a b", b"connect  :1", b"x" * 5000, b"\xff\x00"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(30 * SCALE)
            directory = os.open(path.parent, os.O_PATH)
            sock.connect(f"/proc/self/fd/{directory}/agent.sock")
            os.close(directory)
            sock.send(packet)
            if packet:
                answer = sock.recv(4096)
                assert answer == b"" or answer.startswith(b"no "), packet
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        directory = os.open(path.parent, os.O_PATH)
        sock.connect(f"/proc/self/fd/{directory}/agent.sock")
        os.close(directory)
        sock.send(b"connect somebody-else 127.0.0.1:%d" % echo.port)
        assert sock.recv(100) == b"other-session"
    assert up.socks("127.0.0.1", echo.port)[0] == 0


def test_many_tunnels_at_once(gateway, up, echo):  # noqa: F811
    import resource

    # More than one connection carries (limits.streams_per_connection), less than limits.tunnels_per_device.
    count = 1_020 if SCALE == 1 else 60
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    socks = []
    try:
        for i in range(count):
            code, sock = up.socks("127.0.0.1", echo.port)
            assert code == 0, i
            socks.append(sock)
        # The gateway takes 1,000 streams on a connection.
        assert up.status()["agent"]["connections"] == (2 if count > 1000 else 1)
        for sock in (socks[0], socks[-1]):
            sock.sendall(b"here")
            assert sock.recv(10) == b"here"
    finally:
        for sock in socks:
            sock.close()
    wait_for(lambda: up.status()["agent"]["open_tunnels"] == 0, "the tunnels to end")
    assert len(os.listdir(f"/proc/{up.process.pid}/fd")) < 40
