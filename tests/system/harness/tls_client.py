"""A TLS client that can end its own direction and go on reading, which ssl.SSLSocket cannot: its unwrap() reads ahead and loses
what was on the way. One thread may send while another receives."""

import ssl
import threading


class TlsClient:
    def __init__(self, context, plain, server_hostname):
        self.plain = plain
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_hostname)
        self.lock = threading.Lock()  # the TLS state
        self.sending = threading.Lock()  # the order of what goes out
        self.early = b""  # decrypted, not yet asked for
        self.ended = False
        while True:
            try:
                self.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
        self._flush()

    def _flush(self):
        with self.sending:
            with self.lock:
                data = self.outgoing.read()
            if data:
                self.plain.sendall(data)

    def _receive(self):
        data = self.plain.recv(1 << 16)
        with self.lock:
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()

    def sendall(self, data):
        view = memoryview(data)
        while view:
            with self.lock:
                count = self.object.write(view[: 1 << 16])
            view = view[count:]
            self._flush()

    def recv(self, count):
        """At most `count` bytes; b"" at the peer's close_notify; ssl.SSLEOFError when the stream was cut."""
        while True:
            with self.lock:
                # Another thread's half_close() may have read ahead, up to the end.
                if self.early:
                    data, self.early = self.early[:count], self.early[count:]
                    return data
                if self.ended:
                    return b""
                try:
                    if data := self.object.read(count):
                        return data
                    self.ended = True
                except ssl.SSLZeroReturnError:
                    self.ended = True
                except ssl.SSLWantReadError:
                    pass
            if not self.ended:
                self._flush()
                self._receive()

    def half_close(self):
        """Sends close_notify, without FIN."""
        with self.lock:
            try:
                while data := self.object.read(1 << 16):
                    self.early += data
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.ended = True
            try:
                self.object.unwrap()
            except ssl.SSLWantReadError:
                pass  # ours is written; theirs is not there yet, which is what half closed means
        self._flush()

    def settimeout(self, seconds):
        self.plain.settimeout(seconds)

    def setsockopt(self, *arguments):
        self.plain.setsockopt(*arguments)

    def shutdown(self, how):
        self.plain.shutdown(how)

    def version(self):
        return self.object.version()

    def close(self):
        self.plain.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
