"""A Kafka broker with TLS: librdkafka's mock, which speaks none, in a network namespace of its own, behind a relay that does.
The mock tells its clients to connect to its own address of the loopback; here the relay has that one."""

import json
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from .build import BIN, SCALE
from .namespace import Namespace
from .rsyslog import Authority
from .wait import wait_for

TOPIC = "usher-audit"
MSG_SIZE_TOO_LARGE, INVALID_RECORD, NOT_ENOUGH_REPLICAS, TOPIC_AUTHORIZATION_FAILED = 10, 87, 19, 29


class Kafka:
    """Asks for a client certificate of the authority. stop() and start() take it away and bring it back with what it holds."""

    def __init__(self, folder, name="127.0.0.1"):
        self.folder = Path(folder)
        self.authority = Authority(self.folder)
        self.identity = self.authority.issue(name, "serverAuth")
        self.client = self.authority.issue("gateway.example", "clientAuth")
        self.namespace = Namespace().__enter__()
        self.listener = None
        self.lock = threading.Lock()
        self.connections = []
        self.received = []  # (partition, key, event) in the order in which they came
        try:
            subprocess.run(["ip", "-n", self.namespace.name, "link", "set", "lo", "up"], check=True)
            self.mock = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace.name, BIN / "kafka_mock", TOPIC],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            )
            self.port = int(self.mock.stdout.readline().split(":")[1])
            threading.Thread(target=self.collect, daemon=True).start()
        except BaseException:
            self.close()
            raise

    def collect(self):
        for line in self.mock.stdout:
            _, partition, key, value = line.split(" ", 3)
            with self.lock:
                self.received.append((int(partition), key, json.loads(value)))

    def start(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.identity)
        context.load_verify_locations(self.authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener, context), daemon=True).start()
        return self

    def accept(self, listener, context):
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(plain, context), daemon=True).start()

    def relay(self, plain, context):
        try:
            plain.settimeout(60 * SCALE)
            outside = context.wrap_socket(plain, server_side=True)
            outside.settimeout(None)
            inside = self.namespace.run(lambda: socket.create_connection(("127.0.0.1", self.port)))
        except OSError:
            plain.close()
            return
        with self.lock:
            self.connections += [outside, inside]
        back = threading.Thread(target=self.pump, args=(inside, outside), daemon=True)
        back.start()
        self.pump(outside, inside)
        back.join()
        outside.close()
        inside.close()

    @staticmethod
    def pump(source, sink):
        try:
            while more := source.recv(65536):
                sink.sendall(more)
        except OSError:
            pass
        for each in (source, sink):
            try:
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        with self.lock:
            connections, self.connections = self.connections, []
        for each in connections:
            try:
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.stop()
        if hasattr(self, "mock"):
            self.mock.stdin.close()
            try:
                self.mock.wait(20 * SCALE)
            except subprocess.TimeoutExpired:
                self.mock.kill()
                self.mock.wait()
        self.namespace.__exit__()

    def fail(self, count, code):
        """The next `count` requests to produce get an error."""
        self.mock.stdin.write(f"error {count} {code}\n")
        self.mock.stdin.flush()

    def messages(self):
        with self.lock:
            return list(self.received)

    def sequences(self):
        return [event["metadata"]["sequence"] for _, _, event in self.messages()]

    def wait_sequences(self, last):
        wait_for(lambda: set(self.sequences()) >= set(range(1, last + 1)), f"the messages up to {last}", 60 * SCALE)

    def sink(self, **more):
        """The gateway's configuration of this receiver."""
        certificate, key = self.client
        return {
            "name": "siem",
            "kind": "kafka",
            "brokers": [f"127.0.0.1:{self.port}"],
            "topic": TOPIC,
            "ca": str(self.authority.certificate),
            "certificate": str(certificate),
            "private_key": str(key),
            **more,
        }
