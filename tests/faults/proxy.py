"""A TCP proxy in front of PostgreSQL that partitions, refuses, and loses the reply to a COMMIT."""

import socket
import threading


class Proxy:
    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.may_pass = threading.Event()
        self.may_pass.set()
        self.refusing = False
        self.to_lose = 0  # replies to COMMIT
        self.lost = 0
        self.pairs = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self.may_pass.wait()
        if self.refusing:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=30)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self.lock:
            self.pairs.add(pair)
        threading.Thread(target=self._pump, args=(pair, server, client, False), daemon=True).start()
        self._pump(pair, client, server, True)

    def _pump(self, pair, source, sink, to_server):
        try:
            while data := source.recv(1 << 16):
                self.may_pass.wait()
                sink.sendall(data)
                # A simple query, as libpq sends it: 'Q', four bytes of length, the text, a zero.
                if to_server and data.endswith(b"COMMIT\0") and self._loses():
                    self._await_reply(pair)
                    break
        except OSError:
            pass  # one of them is gone, and so is the other one
        self._close(pair)

    def _loses(self):
        with self.lock:
            if self.to_lose == 0:
                return False
            self.to_lose -= 1
            self.lost += 1
            return True

    @staticmethod
    def _await_reply(pair):
        """The client is gone first, so that the reply reaches nobody; the server has the COMMIT all the same."""
        client, server = pair
        client.shutdown(socket.SHUT_RDWR)
        server.shutdown(socket.SHUT_WR)

    def _close(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for sock in pair:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def partition(self):
        """Nothing passes any more, and nobody is told."""
        self.may_pass.clear()

    def heal(self, cut=False):
        """What waited passes; or, with `cut`, the connections of before are gone."""
        if cut:
            self.cut()
        self.refusing = False
        self.may_pass.set()

    def cut(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self._close(pair)

    def lose_replies(self, count):
        with self.lock:
            self.to_lose = count

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.may_pass.set()
        self.cut()
