"""Small TCP apps on 127.0.0.1, each with a ledger of what it received and sent on each connection."""

import hashlib
import socket
import struct
import threading


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.received = 0
        self.sent = 0
        self.received_hash = hashlib.sha256()
        self.end = None  # "eof", "reset" or "closed", once it is over
        self.over = threading.Event()

    @property
    def ended(self):
        return self.over.is_set()

    def recv(self):
        data = self.sock.recv(65536)
        self.received += len(data)
        self.received_hash.update(data)
        if not data:
            self.end = "eof"
        return data

    def recv_head(self):
        """Until the blank line of an HTTP request is there, with what came behind it; None where the peer ended before."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.recv()
            if not data:
                return None
            head += data
        return head

    def send(self, data):
        view = memoryview(data)
        while view:
            count = self.sock.send(view)
            self.sent += count
            view = view[count:]


class App:
    """Serves each connection on a thread of its own by serve(connection)."""

    def __init__(self, backlog=512, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=backlog)
        self.host = host
        self.port = self.listener.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.connections = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self.serve(connection)
        except ConnectionResetError:
            connection.end = "reset"
        except OSError:
            connection.end = connection.end or "closed"
        finally:
            connection.sock.close()
            connection.over.set()

    def serve(self, connection):
        raise NotImplementedError

    @property
    def received(self):
        return sum(c.received for c in self.connections)

    @property
    def sent(self):
        return sum(c.sent for c in self.connections)

    def close(self):
        for sock in [self.listener] + [c.sock for c in self.connections]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # not connected any more
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class EchoApp(App):
    def serve(self, connection):
        while data := connection.recv():
            connection.send(data)
        connection.sock.shutdown(socket.SHUT_WR)


class SinkApp(App):
    """Reads to the end and closes."""

    def serve(self, connection):
        while connection.recv():
            pass


class SourceApp(App):
    """Sends `size` bytes and the end of its direction, then reads to the client's end."""

    def __init__(self, size, **options):
        self.size = size
        super().__init__(**options)

    def serve(self, connection):
        block = bytes(range(256)) * 256
        while connection.sent < self.size:
            connection.send(block[: self.size - connection.sent])
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.recv():
            pass


class DuplexApp(App):
    """Sends `size` bytes while it reads; ends its direction when both are done."""

    def __init__(self, size, **options):
        self.size = size
        super().__init__(**options)

    def serve(self, connection):
        reader = threading.Thread(target=self._drain, args=(connection,), daemon=True)
        reader.start()
        block = bytes(65536)
        while connection.sent < self.size:
            connection.send(block[: self.size - connection.sent])
        connection.sock.shutdown(socket.SHUT_WR)
        reader.join()

    @staticmethod
    def _drain(connection):
        try:
            while connection.recv():
                pass
        except OSError:
            connection.end = "reset"


class HalfCloseApp(App):
    """Answers only when the client has ended its direction: the count of what came, as decimal."""

    def serve(self, connection):
        while connection.recv():
            pass
        connection.send(str(connection.received).encode())
        connection.sock.shutdown(socket.SHUT_WR)


class HangingApp(App):
    """Takes connections and then neither reads nor sends until it is closed."""

    def __init__(self, **options):
        self.closing = threading.Event()
        super().__init__(**options)

    def serve(self, connection):
        self.closing.wait()

    def close(self):
        self.closing.set()
        super().close()


class ResettingApp(App):
    """Reads at least `after` bytes, then resets the connection."""

    def __init__(self, after=0, **options):
        self.after = after
        super().__init__(**options)

    def serve(self, connection):
        while connection.received < self.after and connection.recv():
            pass
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()
        connection.end = "reset"


class RefusingPort:
    """A port that is taken and refuses connections."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
