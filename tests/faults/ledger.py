"""What the client and the app of a test write down by themselves about each access. Nothing in here comes from the gateway.

Each access goes to an address of its own, 127.x.y.z at the app's one port: so the app knows which access a connection is, even one
that brought no byte, and so does the record. The first bytes through a tunnel are a nonce and what the app is to do; the nonce shows
that the bytes are that client's."""

import secrets
import socket
import struct
import threading
import time

HEADER = struct.Struct(">16sBQQ")  # nonce, ending, bytes up behind this header, bytes down
MAGIC = b"usher"

CLIENT_FIRST, APP_FIRST, CLIENT_RESETS, APP_RESETS, HELD, STALLED = range(6)
ENDINGS = ("client first", "app first", "client resets", "app resets", "held", "stalled")
FOREVER = 1 << 40

BLOCK = bytes(range(256)) * 64


class Count:
    """Bytes that arrived, and by when."""

    def __init__(self):
        self.total = 0
        self.history = []  # (monotonic time, total), at most two a second

    def add(self, count):
        self.total += count
        now = time.monotonic()
        if not self.history or now - self.history[-1][0] >= 0.5:
            self.history.append((now, self.total))

    def by(self, moment):
        """A lower bound of what had arrived at `moment`."""
        return max((total for at, total in self.history if at <= moment), default=0)


class Access:
    """One access as its client sees it."""

    def __init__(self, address, ending, up, down):
        self.address, self.ending, self.up, self.down = address, ending, up, down
        self.nonce = MAGIC + secrets.token_bytes(16 - len(MAGIC))
        self.status = None  # the answer to the CONNECT, if one came
        self.took = None  # seconds from the CONNECT to it, over HTTP/1.1
        self.sent = 0  # handed to the system; what arrived is for the app to say
        self.received = Count()
        self.end = None  # "eof": all of it, and its end; "reset": by this client; "cut"; None: it never began
        self.ended_at = None
        self.protocol = None
        self.bad = None  # what the client itself found wrong

    @property
    def header(self):
        return HEADER.pack(self.nonce, self.ending, self.up, self.down)

    def over(self, end):
        self.end = self.end or end
        self.ended_at = time.monotonic()

    def __str__(self):
        return (
            f"{self.address} over {self.protocol} ({ENDINGS[self.ending]}, up {self.up}, down {self.down}): client status {self.status}, "
            f"sent {self.sent}, received {self.received.total}, end {self.end}"
        )


class Served:
    """One connection as the app sees it."""

    def __init__(self, sock):
        self.sock = sock
        self.address = sock.getsockname()[0]
        self.received = Count()
        self.sent = 0
        self.nonce = None
        self.end = None
        self.over = threading.Event()

    def __str__(self):
        return f"app received {self.received.total}, sent {self.sent}, end {self.end}"


class LedgerApp:
    """Does with each connection what its header says, and reads each to its very end."""

    def __init__(self, port):
        self.listener = socket.create_server(("0.0.0.0", port), backlog=1024)
        self.port = port
        self.lock = threading.Lock()
        self.served = []
        self.reads_stalled = threading.Event()  # what is stalled is read now
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            served = Served(sock)
            with self.lock:
                self.served.append(served)
            threading.Thread(target=self._run, args=(served,), daemon=True).start()

    def _run(self, served):
        try:
            self._serve(served)
        except OSError:
            served.end = served.end or "cut"
        finally:
            served.sock.close()
            served.over.set()

    def _serve(self, served):
        head = b""
        while len(head) < HEADER.size:
            data = served.sock.recv(HEADER.size - len(head))
            if not data:
                served.end = "eof"
                return
            served.received.add(len(data))
            head += data
        served.nonce, ending, up, down = HEADER.unpack(head)
        writer = threading.Thread(target=self._write, args=(served, ending, down), daemon=True)
        if down > 32768:
            writer.start()
        else:
            self._write(served, ending, down)
        if ending == STALLED:
            self.reads_stalled.wait()
        while True:
            if ending == APP_RESETS and served.received.total >= HEADER.size + up:
                served.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                served.end = "reset"
                return
            data = served.sock.recv(1 << 16)
            if not data:
                break
            served.received.add(len(data))
        if writer.ident:
            writer.join()
        if ending == CLIENT_FIRST:
            served.sock.shutdown(socket.SHUT_WR)
        served.end = "eof"

    @staticmethod
    def _write(served, ending, down):
        try:
            while served.sent < down:
                served.sent += served.sock.send(BLOCK[: down - served.sent])
            if ending == APP_FIRST:
                served.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # reading goes on: what has arrived is still to be counted

    def entries(self):
        """By address."""
        with self.lock:
            served = list(self.served)
        return {s.address: s for s in served}

    def wait_over(self, timeout=60):
        """Until each connection has been read to its end."""
        deadline = time.monotonic() + timeout
        with self.lock:
            served = list(self.served)
        for one in served:
            if not one.over.wait(max(0, deadline - time.monotonic())):
                raise AssertionError(f"the app's connection to {one.address} does not end")

    def forget(self):
        with self.lock:
            self.served = [s for s in self.served if not s.over.is_set()]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        self.listener.close()


class Addresses:
    """A fresh 127.x.y.z each time; those that programs use (127.0.0.*) are left out. Thread-safe."""

    def __init__(self):
        self.lock, self.next = threading.Lock(), 1 << 8

    def take(self):
        with self.lock:
            self.next += 1
            if self.next % 256 in (0, 255):
                self.next += 2
            number = self.next
        return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
