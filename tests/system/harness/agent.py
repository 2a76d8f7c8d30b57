"""`usher up` as an employee runs it, signed in at a gateway."""

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

from .build import BIN, SCALE
from .gateway import PASSWORD
from .wait import wait_for


class Agent:
    """`home` is a folder of its own; `config` is the text of up.yaml; `within` is a command that becomes what follows."""

    def __init__(self, gateway, home=None, config=None, arguments=(), within=()):
        self.gateway = gateway
        self.home = Path(home or gateway.directory / "home")
        self.home.mkdir(exist_ok=True)
        self.within = within
        self.arguments = ["--socks", "127.0.0.1:0", *arguments]
        if config is not None:
            (self.home / "up.yaml").write_text(config)
            self.arguments += ["--config", str(self.home / "up.yaml")]
        self.env = gateway.client_environment(self.home)
        self.process = None

    def login(self, name="alice"):
        self.usher(
            "login", "--gateway", f"localhost:{self.gateway.port}", "--ca", str(self.gateway.ca), "--username", name,
            "--password-stdin", input=PASSWORD + "\n",
        )
        return self

    def usher(self, *arguments, **options):
        return self.gateway.client("usher", *arguments, home=self.home, **options)

    def start(self):
        notify_path = self.home / "notify"
        notify_path.unlink(missing_ok=True)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(notify_path))
        with open(self.home / "up.log", "wb") as log:
            self.process = subprocess.Popen(
                [*self.within, BIN / "usher", "up", *self.arguments], stdout=log, stderr=log, cwd=self.home,
                env={**self.env, "NOTIFY_SOCKET": str(notify_path)},
            )
        notify.settimeout(0.2)

        def told():
            assert self.process.poll() is None, f"usher up ended with {self.process.returncode}:\n{self.log()}"
            try:
                return b"READY=1" in notify.recv(4096)
            except TimeoutError:
                return False

        wait_for(told, f"usher up to be ready; its log:\n{self.log()}")
        notify.close()
        self.address = re.search(r"the agent serves address=(\S+)", self.log()).group(1)
        self.port = int(self.address.rsplit(":", 1)[1])
        self.forwards = re.findall(r"forwarding local=(\S+)", self.log())
        return self

    def log(self):
        return (self.home / "up.log").read_text(errors="replace")

    def status(self):
        """What `usher status -o json` says of the agent."""
        return json.loads(self.usher("status", "-o", "json", check=False).stdout)

    def connect(self):
        """A TCP connection to the local port."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30 * SCALE)

    def ask(self, data, half_close=False):
        """Sends bytes and reads to the end."""
        with self.connect() as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while more := sock.recv(65536):
                    answer += more
            except ConnectionResetError:
                pass
            return answer

    def socks(self, host, port, family="name"):
        """A SOCKS5 CONNECT: the reply code, and the socket."""
        sock = self.connect()
        sock.sendall(b"\x05\x01\x00")
        assert sock.recv(2) == b"\x05\x00"
        address = {
            "name": lambda: b"\x03" + bytes([len(host)]) + host.encode(),
            "v4": lambda: b"\x01" + socket.inet_pton(socket.AF_INET, host),
            "v6": lambda: b"\x04" + socket.inet_pton(socket.AF_INET6, host),
        }[family]()
        sock.sendall(b"\x05\x01\x00" + address + port.to_bytes(2, "big"))
        reply = b""
        while len(reply) < 10:
            more = sock.recv(10 - len(reply))
            assert more, reply
            reply += more
        return reply[1], sock

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30 * SCALE)

    def close(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                assert self.stop() == 0, self.log()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"usher up did not stop:\n{self.log()}") from None
        log = self.log()
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"):
            assert word not in log, log
