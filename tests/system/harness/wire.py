"""Bytes as given: sends anything over a socket and takes apart what comes back."""

import select
import socket
import ssl
import time
from dataclasses import dataclass, field


@dataclass
class Exchange:
    """What came back, and how it ended."""

    data: bytes
    end: str  # "eof": closed properly; "reset"; "found": what was waited for is there; "timeout"
    seconds: float

    @property
    def answers(self):
        return parse_answers(self.data)


@dataclass
class Answer:
    status: int
    head: bytes
    headers: dict = field(default_factory=dict)  # lower-case name -> list of values
    body: bytes = b""

    def header(self, name):
        values = self.headers.get(name, [])
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


def parse_answers(data):
    """Strictly: every byte belongs to one whole HTTP/1.1 answer, or to what follows a CONNECT's 200 (the last one's body)."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"an answer's head is cut: {head!r}"
        line, *fields = head.split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        answer = Answer(int(status), head)
        for f in fields:
            name, colon, value = f.partition(b":")
            assert colon and name and b"\n" not in f and b"\r" not in f, f
            answer.headers.setdefault(name.decode().lower(), []).append(value.strip().decode())
        length = answer.header("content-length")
        if length is None:
            answer.body, data = data, b""
        else:
            answer.body, data = data[: int(length)], data[int(length) :]
            assert len(answer.body) == int(length), "an answer's body is cut"
        answers.append(answer)
    return answers


def exchange(sock, data, timeout=10.0, until=None, half_close=False):
    """Sends `data` while reading, until the peer closes or `until(received)` holds. Bytes that the peer does not take any more are
    not an error: what it said before is what counts."""
    started = time.monotonic()
    deadline = started + timeout
    sock.setblocking(False)
    received = bytearray()
    view = memoryview(bytes(data))
    writing, wants_read = bool(view), False
    end = "timeout"
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending()
        if not pending:
            select.select([sock], [sock] if writing and not wants_read else [], [], min(left, 1.0))
        if writing:
            try:
                view = view[sock.send(view[:65536]) :]
                wants_read = False
                writing = len(view) > 0
                if not writing and half_close:
                    sock.shutdown(socket.SHUT_WR)
            except (ssl.SSLWantWriteError, BlockingIOError):
                wants_read = False
            except ssl.SSLWantReadError:
                wants_read = True
            except OSError:
                writing = False
        try:
            chunk = sock.recv(65536)
            if not chunk:
                end = "eof"
                break
            received += chunk
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except OSError:
            end = "reset"
            break
        if until is not None and until(bytes(received)):
            end = "found"
            break
    return Exchange(bytes(received), end, time.monotonic() - started)


def head_is_there(received):
    return b"\r\n\r\n" in received
