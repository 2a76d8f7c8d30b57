"""One CONNECT through the gateway, over TLS."""

import base64
import hashlib
import socket
import struct
import time

from .build import SCALE


class Tunnel:
    """Sends CONNECT and reads the answer's head. With a status of 200 the rest is the app's bytes."""

    def __init__(self, sock, target, token=None, basic=None, headers=()):
        self.sock = sock
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers]
        if token is not None:
            lines.append(f"Proxy-Authorization: Bearer {token}")
        if basic is not None:
            lines.append("Proxy-Authorization: Basic " + base64.b64encode(":".join(basic).encode()).decode())
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                raise ConnectionError(f"the gateway closed after {head!r}")
            head += byte
        status, *fields = head.decode().split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {}
        for field in fields:
            name, colon, value = field.partition(":")
            if colon:
                self.headers[name.lower()] = value.strip()

    def send(self, data):
        self.sock.sendall(data)

    def recv(self, count=65536):
        return self.sock.recv(count)

    def recv_exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.recv(count - len(data))
            assert more, f"the end came after {len(data)} of {count} bytes"
            data += more
        return data

    def recv_all(self):
        """Everything up to the app's end."""
        parts = []
        while data := self.recv():
            parts.append(data)
        return b"".join(parts)

    def count_all(self):
        """How many bytes came up to the app's end, and their SHA-256."""
        total, digest = 0, hashlib.sha256()
        while data := self.recv(1 << 16):
            total += len(data)
            digest.update(data)
        return total, digest.hexdigest()

    def body(self):
        """The text of a refusal."""
        return self.sock.recv(int(self.headers.get("content-length", "0")) or 1).decode()

    def half_close(self):
        """Ends this direction by close_notify; reading goes on."""
        self.sock.half_close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ends_within(tunnel, seconds):
    """Waits for the end of the tunnel on the client's side; how long it took."""
    started = time.monotonic()
    tunnel.sock.settimeout(seconds * SCALE)
    try:
        assert tunnel.recv() == b""
    except TimeoutError:
        raise AssertionError(f"the tunnel still stood after {seconds * SCALE} s") from None
    except OSError:
        pass  # a reset is an end too
    return time.monotonic() - started
