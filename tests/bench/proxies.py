"""The three proxies, started fresh for each run with the same certificate, on loopback, one worker thread each."""
import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

PASSWORD = "bench-Passw0rd-of-one-run"


def warn_of_autogroups():
    """Says so where the processor is shared among sessions: what runs in another one than the load may starve, see docs/benchmarks.md."""
    setting = Path("/proc/sys/kernel/sched_autogroup_enabled")
    if setting.exists() and setting.read_text().strip() != "0":
        print("kernel.sched_autogroup_enabled is on: waits may be the scheduler's (sysctl -w kernel.sched_autogroup_enabled=0)", file=sys.stderr)


class BenchError(Exception):
    """What is told to whoever runs the bench, without a trace."""


def need(program, hint):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{program} is missing: {hint}")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificate(folder):
    """An ECDSA P-256 certificate for 127.0.0.1, and the same with its key in one file for HAProxy."""
    openssl = need("openssl", "apt-get install openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    (folder / "both.pem").write_text(cert.read_text() + key.read_text())
    for file in folder.glob("*.pem"):
        file.chmod(0o644)  # Squid reads it as its own user; the key is worth nothing after this run


class Proxy:
    """A started proxy. `routes` maps the app's kind (source, sink, echo) to the arguments of the load generator."""
    name = ""

    def __init__(self, folder, certificates, apps, core):
        self.folder, self.certificates, self.apps, self.core = folder, certificates, apps, core
        self.port = free_port()
        self.authorization = None
        self.process = None

    def route(self, kind):
        return ["--proxy", str(self.port), "--target", f"127.0.0.1:{self.apps[kind]}"]

    def launch(self, command, also=None):
        """Until it listens, and the file `also` is there."""
        self.log = self.folder / "output.log"
        with open(self.log, "wb") as out:
            pin = (lambda: os.sched_setaffinity(0, {self.core})) if self.core is not None else None
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=pin)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if also is None or also.exists():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise BenchError(f"{self.name} does not listen; its last words:\n{self.last_words()}")

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Usher(Proxy):
    """usherd as it comes: SQLite, durable records, one worker; each tunnel authenticated, authorized and recorded."""
    name = "usher"

    def __init__(self, *args, binaries):
        super().__init__(*args)
        self.binaries = binaries

    @staticmethod
    def version(binaries):
        return subprocess.run([binaries / "usherd", "--version"], capture_output=True, text=True).stdout.strip()

    def start(self):
        data = self.folder / "data"
        config = self.folder / "usher.yaml"
        config.write_text(f"listen: 127.0.0.1:{self.port}\ndata_dir: {data}\nworkers: 1\n"
                          f"tls: {{certificate: {self.certificates}/cert.pem, private_key: {self.certificates}/key.pem}}\n"
                          # One account from one address does here what thousands do.
                          "limits: {connections_per_address: 1000000, handshakes_per_second: 1000000, handshakes_burst: 1000000, "
                          "tunnels_per_account: 1000000, tunnels_per_device: 1000000}\n")
        self.launch([str(self.binaries / "usherd"), "--config", str(config)], also=data / "control.sock")
        self.control(["account", "create", "bench", "--group", "bench", "--password-stdin"], PASSWORD + "\n")
        resources = self.folder / "resources.yaml"
        destinations = json.dumps([f"127.0.0.1:{port}" for port in self.apps.values()])
        resources.write_text(f"kind: app\nname: bench\ndestinations: {destinations}\nallow_addresses: [127.0.0.0/8]\n"
                             "---\nkind: policy\nname: bench\napps: [bench]\nallow: [{groups: [bench]}]\n")
        self.control(["apply", "-f", str(resources)])
        token = base64.b64encode(f"bench:{self.sign_in()}".encode()).decode()
        self.authorization = f"Basic {token}"

    def control(self, arguments, text=None):
        done = subprocess.run(
            [str(self.binaries / "usherctl"), "--socket", str(self.folder / "data" / "control.sock"), *arguments],
            input=text, text=True, capture_output=True)
        if done.returncode != 0:
            raise BenchError(f"usherctl {arguments[0]}: {done.stderr.strip()}")

    def sign_in(self, source="127.0.0.1"):
        context = ssl.create_default_context(cafile=str(self.certificates / "cert.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20,
                                                 source_address=(source, 0))
        connection.request("POST", "/.usher/v1/sessions", json.dumps({"username": "bench", "password": PASSWORD}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 201:
            raise BenchError(f"sign-in at usher: {answer.status}")
        return json.loads(body)["token"]


class HAProxy(Proxy):
    """TLS in front, TCP behind, and nothing else: no authentication, no policy, no log."""
    name = "haproxy"

    @staticmethod
    def version():
        path = need("haproxy", "apt-get install haproxy")
        return subprocess.run([path, "-v"], capture_output=True, text=True).stdout.splitlines()[0]

    def start(self):
        self.ports = {kind: free_port() for kind in self.apps}
        self.port = self.ports["echo"]
        config = self.folder / "haproxy.cfg"
        text = ("global\n  nbthread 1\n  maxconn 4000\n"
                "defaults\n  mode tcp\n  maxconn 4000\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n")
        for kind, port in self.ports.items():
            text += (f"listen {kind}\n  bind 127.0.0.1:{port} ssl crt {self.certificates}/both.pem"
                     f" ssl-min-ver TLSv1.3 curves X25519:P-256\n  server app 127.0.0.1:{self.apps[kind]}\n")
        config.write_text(text)
        self.launch([need("haproxy", "apt-get install haproxy"), "-db", "-f", str(config)])

    def route(self, kind):
        return ["--proxy", str(self.ports[kind])]


class Squid(Proxy):
    """TLS CONNECT with Basic authentication; no cache and no access log, which is the cheapest that it can do."""
    name = "squid"

    @staticmethod
    def version():
        path = need("squid", "apt-get install squid-openssl")
        text = subprocess.run([path, "-v"], capture_output=True, text=True).stdout
        if "--with-openssl" not in text:
            raise BenchError("this squid has no OpenSSL and so no https_port: apt-get install squid-openssl")
        return text.splitlines()[0]

    def start(self):
        helper = Path("/usr/lib/squid/basic_ncsa_auth")
        if not helper.exists():
            raise BenchError(f"{helper} is missing: apt-get install squid-openssl")
        hashed = subprocess.run([need("openssl", "apt-get install openssl"), "passwd", "-apr1", "-stdin"],
                                input=PASSWORD + "\n", text=True, capture_output=True, check=True).stdout.strip()
        passwords = self.folder / "passwords"
        passwords.write_text(f"bench:{hashed}\n")
        config = self.folder / "squid.conf"
        config.write_text(
            f"https_port 127.0.0.1:{self.port} tls-cert={self.certificates}/cert.pem"
            f" tls-key={self.certificates}/key.pem\n"
            f"auth_param basic program {helper} {passwords}\nauth_param basic children 2 startup=1 idle=1\n"
            "auth_param basic credentialsttl 2 hours\nacl signed_in proxy_auth REQUIRED\n"
            "http_access allow CONNECT signed_in\nhttp_access deny all\n"
            "workers 1\ncache deny all\naccess_log none\ncache_store_log none\n"
            f"cache_log {self.folder}/cache.log\npid_filename {self.folder}/squid.pid\ncoredump_dir {self.folder}\n"
            "max_filedescriptors 16384\npinger_enable off\nnetdb_filename none\nshutdown_lifetime 0 seconds\n"
            "dns_nameservers 127.0.0.1\n")
        if os.geteuid() == 0:  # it gives up root for this user
            shutil.chown(self.folder, "proxy", "proxy")
        self.launch([need("squid", "apt-get install squid-openssl"), "-N", "-f", str(config)])
        self.authorization = "Basic " + base64.b64encode(f"bench:{PASSWORD}".encode()).decode()

    def last_words(self):
        log = self.folder / "cache.log"
        return super().last_words() + ("\n".join(log.read_text().splitlines()[-15:]) if log.exists() else "")
