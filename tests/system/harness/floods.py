"""Floods of HTTP/2 and of slow clients, and what they cost everybody else. `python3 floods.py attack KIND PORT CA FRAMES CONNECTIONS`
is an attacker in a process of its own."""

import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

SCALE = 4 if os.environ.get("USHER_SANITIZER") else 1  # as build.SCALE, which an attacker's own process does not import
BATCH = 200


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


CONNECT_HEAD = b"\x00\x07:method\x07CONNECT\x00\x0a:authority\x03a:1"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
END_HEADERS = 4


def hpack_integer(value, prefix_bits, first=0):
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out = [first | most]
    value -= most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def hpack_bomb(i):
    """One field of 4,000 bytes goes into the table, and is then named sixteen thousand times at a byte each."""
    value = b"x" * 4000
    stored = b"\x40" + hpack_integer(1, 7) + b"a" + hpack_integer(len(value), 7) + value
    return frame(1, END_HEADERS, 2 * i + 1, (CONNECT_HEAD + stored + b"\xbe" * 16_000)[:16_384])


def many_tiny_fields(i):
    return frame(1, END_HEADERS, 2 * i + 1, CONNECT_HEAD + b"\x00\x01a\x00" * 4000)


FLOODS = {
    "ping": lambda i: frame(6, 0, 0, bytes(8)),
    "settings": lambda i: frame(4, 0, 0),
    "unknown": lambda i: frame(0xEE, 0, 0, b"x"),
    "window": lambda i: frame(8, 0, 0, struct.pack(">I", 1)),
    "rapid reset": lambda i: frame(1, END_HEADERS, 2 * i + 1, CONNECT_HEAD) + frame(3, 0, 2 * i + 1, struct.pack(">I", 8)),
    "priority": lambda i: frame(2, 0, 2 * i + 1, struct.pack(">IB", 0, 16)),
    "empty data": lambda i: (frame(1, END_HEADERS, 1, CONNECT_HEAD) if i == 0 else b"") + frame(0, 0, 1),
    "continuation": lambda i: frame(1, 0, 1, CONNECT_HEAD) if i == 0 else frame(9, 0, 1, b"\x00\x01a\x01b"),
    "made reset": lambda i: frame(1, END_HEADERS, 2 * i + 1, CONNECT_HEAD) + frame(8, 0, 2 * i + 1, struct.pack(">I", 0)),
    "hpack bomb": hpack_bomb,
    "tiny fields": many_tiny_fields,
}


def attack(kind, port, ca, frames):
    """Sends until the gateway has had enough; how many frames that took."""
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    flood = FLOODS[kind]
    sent = 0
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=("127.0.0.66", 0))
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(PREFACE)
            batch = 1 if len(flood(1)) > 1000 else BATCH
            while sent < frames:
                sock.sendall(b"".join(flood(i) for i in range(sent, sent + batch)))
                sent += batch
            while sock.recv(1 << 16):
                pass
    except (OSError, ssl.SSLError):
        pass  # it was cut, which is what it is to be
    return sent


class Attackers:
    """Several of them at once, coming back whenever they are cut, in a process of their own that is ended at the end."""

    def __init__(self, kind, gateway, frames, connections, rounds=1):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "attack", kind, str(gateway.port), str(gateway.ca), str(frames), str(connections), str(rounds)],
            stdout=subprocess.PIPE, text=True,
        )

    def wait(self, timeout):
        """The frames that each connection could send."""
        output, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0
        return [int(line) for line in output.split()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


SLOW = {
    "headers": ["-H"],
    "body": ["-B", "-t", "POST", "-f", "application/json", "-s", "4096"],
    "read": ["-X", "-w", "8", "-y", "16", "-n", "1", "-z", "8", "-k", "3"],
    "range": ["-R", "-a", "10", "-b", "3000"],
}


class SlowClients:
    """slowhttptest over TLS, in one of its four modes."""

    def __init__(self, mode, gateway, connections, seconds):
        self.process = subprocess.Popen(
            ["slowhttptest", *SLOW[mode], "-u", f"https://127.0.0.1:{gateway.port}/.usher/v1/sessions", "-c", str(connections),
             "-r", str(max(50, connections // 4)), "-l", str(seconds), "-i", "1", "-p", "3"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def resident_kib(gateway):
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


class Bystander:
    """Somebody who is signed in and opens a tunnel now and then on a connection that is there, from another address."""

    def __init__(self, gateway, client, token):
        self.gateway, self.client, self.token = gateway, client, token

    def set_up(self):
        """The seconds that one tunnel takes to be there, with a byte through and back."""
        started = time.monotonic()
        stream = self.client.connect(self.gateway.app.address, self.token)
        assert stream.status == 200, stream.status
        stream.send(b"x", end=True)
        assert stream.recv_all() == b"x"
        return time.monotonic() - started

    def measure(self, count=0, until=lambda: False):
        """`count` of them, or as many as there are until `until()` holds; sorted."""
        took = []
        deadline = time.monotonic() + 150 * SCALE
        while len(took) < count or (count == 0 and not until()):
            assert time.monotonic() < deadline, "the flood does not end"
            took.append(self.set_up())
        return sorted(took)


def percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def main():
    _, _, kind, port, ca, frames, connections, rounds = sys.argv
    results = []

    def one():
        for _ in range(int(rounds)):
            results.append(attack(kind, int(port), ca, int(frames)))

    threads = [threading.Thread(target=one) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*results)


if __name__ == "__main__":
    main()
