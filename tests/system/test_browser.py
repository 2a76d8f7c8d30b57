"""A browser with the gateway itself as its proxy, and no agent: TLS to the proxy, HTTP/2, and the credential that it asks its user for."""

import shutil
import ssl
import subprocess

import pytest
from harness.apps import App
from harness.build import SCALE
from harness.chromium import Chromium, key_hash
from harness.names import NameServer

pytestmark = [
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
    pytest.mark.skipif(SCALE != 1, reason="a browser in a sanitized run tests nothing more"),
]


class SecureWebApp(App):
    """HTTPS with a certificate of its own: the first line of each request is its answer."""

    def __init__(self, directory):
        self.certificate, key = directory / "app.pem", directory / "app.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=intranet.good.test", "-addext", "subjectAltName=DNS:intranet.good.test", "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.certificate, key)
        super().__init__()

    def serve(self, connection):
        with self.context.wrap_socket(connection.sock, server_side=True) as sock:
            connection.sock = sock
            head = connection.recv_head()
            if head is None:
                return
            text = head.partition(b"\r\n")[0]
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text))
            connection.send(text)


def test_chromium_asks_its_user_for_the_gateways_credential(gateway_factory, tmp_path):
    """Only the gateway's name server knows the name, so a page that comes has come through the gateway."""
    with NameServer() as names, SecureWebApp(tmp_path) as web:
        names.answers["intranet.good.test"] = ["127.0.0.1"]
        gateway = gateway_factory(config={"dns": {"servers": [names.address], "timeout": "2s"}}).start()
        gateway.account("alice")
        gateway.allow("web", f"*.good.test:{web.port}")
        token = gateway.sign_in("alice")
        credentials = [("alice", "not her token"), ("alice", token)]
        keys = ",".join(map(key_hash, (gateway.data_dir / "tls" / "server.pem", web.certificate)))
        proxy = [f"--proxy-server=https://localhost:{gateway.port}", f"--ignore-certificate-errors-spki-list={keys}"]
        with Chromium(tmp_path / "profile", *proxy, credentials=credentials) as browser:
            assert browser.page(f"https://intranet.good.test:{web.port}/wanted") == "GET /wanted HTTP/1.1"
            # The first one was not taken, and what was is used from then on.
            assert browser.asked == [("Proxy", "basic", "usher")] * 2
            assert browser.page(f"https://intranet.good.test:{web.port}/again") == "GET /again HTTP/1.1"
            assert len(browser.asked) == 2
            record = gateway.wait_closed(lambda r: r["app"] == "web")
            assert (record["username"], record["destination_host"]) == ("alice", "intranet.good.test")
            # What she may not use comes from nowhere else.
            assert browser.page("https://elsewhere.test/") == "net::ERR_TUNNEL_CONNECTION_FAILED"
            # Whose session is over is asked again.
            gateway.ctl("session", "revoke", "--account", "alice")
            browser.credentials = [("alice", gateway.sign_in("alice"))]
            assert browser.page(f"https://intranet.good.test:{web.port}/later") == "GET /later HTTP/1.1"
            assert len(browser.asked) == 3
