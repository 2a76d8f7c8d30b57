"""A real rsyslog that takes syslog over TLS and writes what comes into a file, one message a line."""

import json
import re
import socket
import subprocess
from pathlib import Path

from .build import SCALE
from .gateway import free_port
from .wait import wait_for

HEADER = re.compile(
    r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) usherd - (access|session|admin|system) "
    r'\[meta sequenceId="(\d+)"\]\[origin software="usherd" swVersion="[0-9.]+"\] (\{.*\})'
)


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60 * SCALE)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        openssl("req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "30",
                "-keyout", self.key, "-out", self.certificate, "-subj", "/CN=sinks")

    def issue(self, name, usage):
        """The paths of a certificate for `name`, and of its key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / "request", self.folder / "extensions"
        openssl("req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", request,
                "-subj", f"/CN={name}")
        kind = "IP" if name[0].isdigit() else "DNS"
        extensions.write_text(f"subjectAltName={kind}:{name}\nextendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "30",
                "-extfile", extensions, "-out", certificate)
        return certificate, key


class Rsyslog:
    """Asks for a client certificate of the authority. May be stopped and started again; what was written stays."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.authority = Authority(self.folder)
        certificate, key = self.authority.issue("logs.example", "serverAuth")
        self.client = self.authority.issue("gateway.example", "clientAuth")
        self.port = free_port()
        self.output = self.folder / "messages"
        self.configuration = self.folder / "rsyslog.conf"
        self.configuration.write_text(
            f'global(workDirectory="{self.folder}" maxMessageSize="16k" defaultNetstreamDriver="ossl" '
            f'defaultNetstreamDriverCAFile="{self.authority.certificate}" defaultNetstreamDriverCertFile="{certificate}" '
            f'defaultNetstreamDriverKeyFile="{key}")\n'
            'module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'action(type="omfile" file="{self.output}" template="raw")\n'
        )
        self.process = None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["rsyslogd", "-n", "-C", "-f", self.configuration, "-i", self.folder / "pid"], stdout=log, stderr=log
            )
        wait_for(self.listens, "rsyslogd to listen")
        return self

    def listens(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        """SIGTERM: what it has read is written."""
        if self.process:
            self.process.terminate()
            self.process.wait(60 * SCALE)
            self.process = None

    def messages(self):
        """Those that are written whole."""
        text = self.output.read_text() if self.output.exists() else ""
        return text.split("\n")[:-1]

    def events(self):
        """Each message's event, the header checked and of the same record."""
        out = []
        for message in self.messages():
            matched = HEADER.fullmatch(message)
            assert matched, message
            priority, _, _, _, sequence, text = matched.groups()
            event = json.loads(text)
            assert int(priority) // 8 == 13
            assert int(sequence) == event["metadata"]["sequence"]
            out.append(event)
        return out

    def sequences(self):
        return [event["metadata"]["sequence"] for event in self.events()]

    def sink(self, **more):
        """The gateway's configuration of this receiver."""
        certificate, key = self.client
        return {
            "name": "siem",
            "kind": "syslog",
            "address": f"127.0.0.1:{self.port}",
            "server_name": "logs.example",
            "ca": str(self.authority.certificate),
            "certificate": str(certificate),
            "private_key": str(key),
            **more,
        }
