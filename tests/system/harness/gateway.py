"""A real usherd in a folder of its own, and what an administrator and an employee do with it."""

import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

from .build import BIN, SCALE, USHERCTL
from .tls_client import TlsClient
from .tunnel import Tunnel
from .wait import wait_for

PASSWORD = "correct horse battery"


# Below the ephemeral ports, and apart for each of the processes that run tests at the same time: a port that is free now is
# still free when the program under test binds it. Two runs at a time on one machine need USHER_TEST_FIRST_PORT.
_first = int(os.environ.get("USHER_TEST_FIRST_PORT", "11000")) + 2_500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_ports = itertools.cycle(range(_first, _first + 2_500))


def free_port():
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Gateway:
    """`config` is merged over a small configuration. `database` is the configuration's value."""

    def __init__(self, directory, database="sqlite", config=None, env=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config = {
            "listen": f"127.0.0.1:{free_port()}",
            "metrics": f"127.0.0.1:{free_port()}",
            "data_dir": str(self.directory / "data"),
            "database": database,
            "workers": 2,
            # The cheapest that is allowed: tests are not about the cost of a guess.
            "hashing": {"memory": "7MiB", "operations": 1},
            **(config or {}),
        }
        self.env = {**os.environ, **(env or {})}
        self.program = BIN / "usherd"
        self.process = None
        self.expected_dead = False
        self.under = []  # a command that runs the program it is given

    # -- the process

    @property
    def port(self):
        return int(self.config["listen"].rsplit(":", 1)[1])

    @property
    def metrics_port(self):
        return int(self.config["metrics"].rsplit(":", 1)[1])

    @property
    def data_dir(self):
        return Path(self.config["data_dir"])

    @property
    def ca(self):
        return self.data_dir / "tls" / "ca.pem"

    @property
    def config_file(self):
        return self.directory / "usher.yaml"

    def start(self, wait_ready=True):
        # JSON is YAML.
        self.config_file.write_text(json.dumps(self.config, indent=1))
        notify_path = self.directory / "notify"
        notify_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(notify_path))
        self.expected_dead = False
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.under, self.program, "--config", self.config_file],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**self.env, **self.traced(), "NOTIFY_SOCKET": str(notify_path)},
            )
        if wait_ready:
            self.wait_notified("READY=1")
        return self

    def traced(self):
        """What a program under strace needs: the search for leaks traces the process itself, and one tracer is all there can be."""
        if not self.under:
            return {}
        return {"ASAN_OPTIONS": ":".join([*filter(None, [self.env.get("ASAN_OPTIONS")]), "detect_leaks=0"])}

    def wait_notified(self, word, timeout=30):
        """Until the process has told its service manager `word`."""

        def told():
            assert self.process.poll() is None, f"usherd ended with {self.process.returncode}:\n{self.log()}"
            self.notify.settimeout(0.2)
            try:
                return word in self.notify.recv(4096).decode().splitlines()
            except TimeoutError:
                return False

        wait_for(told, f"usherd to say {word}; its log:\n{self.log()}", timeout)

    def terminate(self):
        self.expected_dead = True
        self.process.terminate()

    def wait(self, timeout=60):
        self.expected_dead = True
        return self.process.wait(timeout * SCALE)

    def stop(self):
        """SIGTERM; the exit code."""
        self.terminate()
        return self.wait()

    def kill(self):
        self.expected_dead = True
        self.process.kill()
        self.process.wait()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.wait_notified("RELOADING=1")
        self.wait_notified("READY=1")

    def log(self):
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def check(self):
        """At the end of a test: it still runs unless it was stopped, and no sanitizer has spoken."""
        log = self.log()
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"):
            assert word not in log, log
        if self.process and not self.expected_dead:
            assert self.process.poll() is None, f"usherd died with {self.process.returncode}:\n{log}"

    def close(self):
        if self.process and self.process.poll() is None:
            self.terminate()
            try:
                code = self.process.wait(30 * SCALE)
                assert code == 0, f"usherd ended with {code}:\n{self.log()}"
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"usherd did not stop:\n{self.log()}") from None

    # -- the administrator

    def ctl(self, *arguments, input=None, check=True):
        """usherctl on the gateway's own socket."""
        result = subprocess.run(
            [USHERCTL, "--socket", self.data_dir / "control.sock", *arguments],
            input=input,
            capture_output=True,
            text=True,
            timeout=60 * SCALE,
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    def ctl_json(self, *arguments):
        return [json.loads(line) for line in self.ctl(*arguments, "-o", "json").stdout.splitlines() if line.strip()]

    def account(self, name, password=PASSWORD, department="Finance", groups=("staff",), role=None):
        options = ["--department", department] if department else []
        for group in groups:
            options += ["--group", group]
        if role:
            options += ["--role", role]
        self.ctl("account", "create", name, *options, "--password-stdin", input=password + "\n")

    def apply(self, text, check=True):
        return self.ctl("apply", "-f", "-", input=text, check=check)

    def allow(self, name, *destinations):
        """An app of these destinations that everyone in Finance may use, on loopback too."""
        self.apply(
            f"kind: app\nname: {name}\ndestinations: {json.dumps(list(destinations))}\n"
            "allow_addresses: ['127.0.0.0/8', '::1']\n---\n"
            f"kind: policy\nname: {name}\napps: [{name}]\nallow: [{{departments: [Finance]}}]\n"
        )

    def records(self, filter=None):
        """The rows of the store, newest first."""
        return self.ctl_json("audit", "query", *(["--filter", filter] if filter else []))

    def wait_record(self, predicate, timeout=20):
        return wait_for(
            lambda: next((r for r in self.records() if predicate(r)), None), "a record", timeout
        )

    def wait_closed(self, predicate=lambda record: True, timeout=20):
        return self.wait_record(lambda r: r["event"] == "CLOSED" and predicate(r), timeout)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10 * SCALE) as answer:
            return answer.read().decode()

    def metric(self, name):
        """The sum over a metric's labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # -- the employee

    def tls_context(self):
        context = ssl.create_default_context(cafile=str(self.ca))
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    def open_plain(self, source="127.0.0.1"):
        """TCP to the gateway."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30 * SCALE, source_address=(source, 0))

    def open_raw(self, context=None, source="127.0.0.1"):
        """TLS to the gateway, its certificate verified."""
        return (context or self.tls_context()).wrap_socket(
            self.open_plain(source), server_hostname="localhost", suppress_ragged_eofs=False
        )

    def request(self, method, path, body=None, token=None, source="127.0.0.1"):
        """One request of the sign-in API: status and parsed JSON (None without a body)."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        with self.open_raw(source=source) as sock:
            sock.sendall("\r\n".join([*lines, "", ""]).encode() + data)
            answer = b""
            while more := sock.recv(65536):
                answer += more
        head, _, text = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(text) if text else None

    def sign_in(self, name, password=PASSWORD):
        status, answer = self.request("POST", "/.usher/v1/sessions", {"username": name, "password": password})
        assert status == 201, (status, answer)
        return answer["token"]

    def connect(self, target, token=None, basic=None, headers=()):
        return Tunnel(TlsClient(self.tls_context(), self.open_plain(), "localhost"), target, token, basic, headers)

    def client_environment(self, home):
        """Without what tells of the desktop of whoever runs the tests."""
        own = ("XDG_", "USHER", "DBUS_SESSION_", "DCONF_", "GSETTINGS_")
        return {k: v for k, v in self.env.items() if not k.startswith(own)} | {"HOME": str(home)}

    def client(self, program, *arguments, home=None, input=None, check=True, environment=None, **options):
        """usher or usherctl as a person would run them, with a home of its own; `environment` is beside the test's."""
        home = Path(home or self.directory / "home")
        home.mkdir(exist_ok=True)
        result = subprocess.run(
            [BIN / program, *arguments],
            input=input,
            capture_output=True,
            text=not isinstance(input, bytes),
            env={**self.client_environment(home), **(environment or {})},
            timeout=120 * SCALE,
            **options,
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result
