"""A mixed load: tunnels over HTTP/1.1 and HTTP/2 with known byte counts and every kind of end. Each is in the client's ledger before
its CONNECT is sent."""

import random
import socket
import ssl
import struct
import threading
import time

import h2.exceptions

from harness.h2_client import H2Client
from harness.tls_client import TlsClient
from harness.tunnel import Tunnel

from .ledger import APP_FIRST, APP_RESETS, BLOCK, CLIENT_FIRST, CLIENT_RESETS, FOREVER, HEADER, HELD, STALLED, Access


class Load:
    """Runs until stop(), or until the gateway is gone. `http1` and `http2` are numbers of clients; `pumps` tunnels move bytes both
    ways without end; nobody reads at either end of the `stalls` before stop(). What each client does follows from the seed; when it does it does not."""

    def __init__(self, gateway, token, app, addresses, seed, http1=4, http2=2, pumps=1, holds=8, stalls=1):
        self.gateway, self.token, self.app, self.addresses = gateway, token, app, addresses
        self.context = gateway.tls_context()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.accesses = []
        self.answered = 0
        self.threads = []
        self.kept = set()  # sockets of tunnels that do not end by themselves
        for number in range(http1):
            self._start(self._http1, random.Random(f"{seed} http1 {number}"))
        for number in range(http2):
            self._start(self._http2, random.Random(f"{seed} http2 {number}"), max(1, holds // 4))
        for number in range(pumps):
            self._start(self._pump, HELD, FOREVER if number % 2 == 0 else 0)
        app.reads_stalled.clear()
        for _ in range(stalls):
            self._start(self._pump, STALLED, FOREVER)

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def stop(self, timeout=120):
        """Cuts what does not end by itself, lets the rest go on to its end, and waits for the clients."""
        self.over.set()
        self.app.reads_stalled.set()
        with self.lock:
            kept = list(self.kept)
        for sock in kept:
            self._cut(sock)
        for thread in self.threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a client of the load does not end"

    @staticmethod
    def _cut(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already

    # -- what an access is to be

    def _plan(self, rng, ending=None, most=200_000):
        ending = ending if ending is not None else rng.choices(
            [CLIENT_FIRST, APP_FIRST, CLIENT_RESETS, APP_RESETS], [6, 4, 1, 1])[0]
        up, down = (rng.choice([0, 1, 100, rng.randrange(20_000), rng.randrange(most)]) for _ in range(2))
        return self._enter(Access(self.addresses.take(), ending, up, down))

    def _enter(self, access):
        with self.lock:
            self.accesses.append(access)
        return access

    def _target(self, access):
        return f"{access.address}:{self.app.port}"

    def _answered(self):
        with self.lock:
            self.answered += 1

    # -- HTTP/1.1: a connection each

    def _http1(self, rng):
        held = 0
        while not self.over.is_set():
            if held < 2 and rng.random() < 0.1:
                held += 1
                self._hold(rng)
                continue
            access = self._plan(rng)
            access.protocol = "http/1.1"
            if not self._one_http1(access, rng):
                return

    def _connect(self, access):
        """The tunnel, or None when it was refused or the gateway is gone."""
        try:
            plain = self.gateway.open_plain()
        except OSError:
            return None
        try:
            tls = TlsClient(self.context, plain, "localhost")
            asked = time.monotonic()
            tunnel = Tunnel(tls, self._target(access), token=self.token)
            access.took = time.monotonic() - asked
        except (OSError, ConnectionError):
            plain.close()
            return None
        access.status = tunnel.status
        if tunnel.status != 200:
            plain.close()
            return None
        self._answered()
        return tunnel

    def _one_http1(self, access, rng):
        """False when the gateway is gone."""
        tunnel = self._connect(access)
        if tunnel is None:
            return access.status is not None
        reset = access.ending == CLIENT_RESETS
        try:
            # A reader of its own: whoever sends much while nobody reads would wait for ever.
            sender = threading.Thread(target=self._send_http1, args=(access, tunnel), daemon=True)
            if access.up > 16_384 and not reset:
                sender.start()
            else:
                self._send_http1(access, tunnel)
            if reset:
                wanted = rng.randrange(access.down + 1)
                while access.received.total < wanted:
                    self._receive(access, tunnel)
                access.over("reset")
                tunnel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return True
            while self._receive(access, tunnel):
                pass
            if sender.ident:
                sender.join()
            if access.ending == APP_FIRST:
                tunnel.half_close()
            access.over("eof")
            return True
        except OSError:
            if sender.ident:
                sender.join()
            self._read_rest(access, tunnel)
            access.over("cut")
            return access.ending == APP_RESETS
        finally:
            tunnel.close()

    @staticmethod
    def _send_http1(access, tunnel):
        try:
            tunnel.send(access.header)
            access.sent += HEADER.size
            left = access.up
            while left > 0:
                block = BLOCK[:left]
                tunnel.send(block)
                access.sent += len(block)
                left -= len(block)
            if access.ending == CLIENT_FIRST:
                tunnel.half_close()
        except OSError:
            pass  # the reader finds out

    @staticmethod
    def _receive(access, tunnel):
        data = tunnel.recv(1 << 16)
        access.received.add(len(data))
        return len(data)

    @staticmethod
    def _read_rest(access, tunnel):
        """What had arrived when sending failed, which reading must not be ended by."""
        tls = tunnel.sock
        try:
            while data := tls.plain.recv(1 << 16):
                tls.incoming.write(data)
        except OSError:
            pass  # its end
        try:
            while data := tls.object.read(1 << 16):
                access.received.add(len(data))
        except ssl.SSLError:
            pass  # the last record is cut, or asks for more

    def _hold(self, rng):
        access = self._plan(rng, HELD)
        access.protocol = "http/1.1"
        tunnel = self._connect(access)
        if tunnel is not None:
            self._start(self._keep, access, tunnel)

    def _keep(self, access, tunnel):
        """Sends, and then only reads until it is cut."""
        with self.lock:
            self.kept.add(tunnel.sock.plain)
        if self.over.is_set():
            self._cut(tunnel.sock.plain)
        sender = threading.Thread(target=self._send_http1, args=(access, tunnel), daemon=True)
        sender.start()
        if access.ending == STALLED:
            self.over.wait()
        try:
            while self._receive(access, tunnel):
                pass
            access.over("eof")
        except OSError:
            sender.join()
            self._read_rest(access, tunnel)
            access.over("cut")
        finally:
            with self.lock:
                self.kept.discard(tunnel.sock.plain)
            tunnel.close()

    def _pump(self, ending, down):
        access = self._enter(Access(self.addresses.take(), ending, FOREVER, down))
        access.protocol = "http/1.1"
        tunnel = self._connect(access)
        if tunnel is not None:
            self._keep(access, tunnel)

    # -- HTTP/2: many tunnels on a connection

    def _http2(self, rng, holds):
        while not self.over.is_set():
            try:
                client = H2Client(self.gateway)
            except OSError:
                return
            pairs = []
            try:
                for _ in range(holds):
                    self._open_http2(client, pairs, [self._plan(rng, HELD)])
                for _ in range(rng.randrange(4, 20)):
                    if client.closed or self.over.is_set():
                        break
                    batch = self._open_http2(client, pairs, [self._plan(rng, most=60_000) for _ in range(rng.randrange(1, 9))])
                    open_ones = [(a, s) for a, s in batch if s.status == 200 and a.ending != CLIENT_RESETS]
                    client.wait(lambda: all(s.over for _, s in open_ones))
                for access, stream in pairs:
                    if not stream.over and stream.status == 200 and not client.closed:
                        stream.cancel()
                        access.over("reset")
            except (OSError, h2.exceptions.H2Error):
                pass  # the gateway is gone
            finally:
                self._settle(client, pairs)
                client.close()

    def _open_http2(self, client, pairs, accesses):
        """Also appends them to `pairs`, each as soon as it is asked for."""
        batch = []
        for access in accesses:
            access.protocol = "h2"
            batch.append((access, client.start_connect(self._target(access), self.token)))
            pairs.append(batch[-1])
        client.wait(lambda: all(s.status is not None or s.over for _, s in batch))
        for access, stream in batch:
            access.status = stream.status
            if stream.status != 200 or stream.over:
                continue
            self._answered()
            try:
                self._send_http2(access, stream)
            except (OSError, h2.exceptions.H2Error):
                pass  # this stream is over, or all of them are: wait() finds out
        return batch

    @staticmethod
    def _send_http2(access, stream):
        stream.send(access.header)
        access.sent += HEADER.size
        left = access.up
        while left > 0 and not stream.over:
            block = BLOCK[:left]
            stream.send(block)
            access.sent += len(block)
            left -= len(block)
        if access.ending in (CLIENT_FIRST, APP_FIRST):
            stream.half_close()
        elif access.ending == CLIENT_RESETS and not stream.over:
            stream.cancel()
            access.over("reset")

    @staticmethod
    def _settle(client, pairs):
        """What has arrived is read to the end first, so that the ledger has all of it."""
        try:
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the gateway has reset it; what had come is still there
        try:
            client.wait_closed(10)
        except (OSError, AssertionError, h2.exceptions.H2Error):
            pass
        for access, stream in pairs:
            access.status = stream.status
            if stream.status == 200:
                access.received.add(stream.received)
            access.over("eof" if stream.ended and stream.reset is None else "cut")
