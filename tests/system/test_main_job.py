"""The main story: provision, sign in, reach an app with curl, and find it on the record."""

import json
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from harness.apps import App
from harness.build import BIN, SCALE


class Page(App):
    """A page of 11 bytes over HTTP."""

    def serve(self, connection):
        head = connection.recv_head()
        if head is None:
            return
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello there")


def curl(gateway, url, *options):
    return subprocess.run(
        ["curl", "-sS", "--max-time", str(30 * SCALE), "--proxy", f"https://localhost:{gateway.port}",
         "--proxy-cacert", gateway.ca, "--proxytunnel", *options, url],
        capture_output=True, text=True,
    )


@pytest.mark.parametrize("credential", ["bearer", "basic"])
def test_an_access_by_curl_is_relayed_and_on_the_record(gateway_factory, database, credential):
    gateway = gateway_factory(database).start()
    gateway.account("alice", department="Finance", groups=("staff",))
    with Page() as page:
        gateway.allow("intranet", page.address)
        token = gateway.sign_in("alice")
        options = {
            "bearer": ["--proxy-header", f"Proxy-Authorization: Bearer {token}"],
            "basic": ["--proxy-user", f"alice:{token}"],
        }[credential]
        before = datetime.now(timezone.utc)
        answer = curl(gateway, f"http://{page.address}/", *options)
        assert answer.stdout == "hello there", answer.stderr

        record = gateway.wait_closed()
        assert record["username"] == "alice"
        assert record["department"] == "Finance"
        assert record["app"] == "intranet"
        assert record["destination_host"] == "127.0.0.1"
        assert record["destination_ip"] == "127.0.0.1"
        assert record["destination_port"] == page.port
        assert record["client_ip"] == "127.0.0.1"
        assert record["verdict"] == "ALLOWED"
        assert record["policy"] == "intranet"
        assert record["close_reason"] in ("APP_CLOSED", "CLIENT_CLOSED")
        assert int(record["bytes_up"]) == page.received
        assert int(record["bytes_down"]) == page.sent
        assert not record["bytes_uncertain"]
        opened = datetime.fromisoformat(record["opened_at"].replace("Z", "+00:00"))
        assert before - timedelta(seconds=1) <= opened <= datetime.now(timezone.utc)
        assert 0 < int(record["duration_us"]) < 30_000_000 * SCALE

        tail = gateway.ctl("audit", "tail", "--since", "1h", "-o", "json").stdout
        events = [json.loads(line) for line in tail.splitlines()]
        of_access = [e["access"]["event"] for e in events if e.get("access", {}).get("access_id") == record["access_id"]]
        assert of_access == ["OPENED", "CLOSED"]


def test_the_live_tail_shows_an_access_while_it_is_open(gateway, echo):
    tail = subprocess.Popen(
        [BIN / "usherctl", "--socket", gateway.data_dir / "control.sock", "audit", "tail", "--follow", "--since", "1h",
         "-o", "json"],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        with gateway.connect(echo.address, gateway.sign_in("alice")) as tunnel:
            assert tunnel.status == 200
            while (event := json.loads(tail.stdout.readline())).get("access", {}).get("event") != "OPENED":
                pass
            assert event["access"]["username"] == "alice"
            tunnel.send(b"12345")
            assert tunnel.recv_exactly(5) == b"12345"
            tunnel.half_close()
            assert tunnel.recv_all() == b""
        while (event := json.loads(tail.stdout.readline())).get("access", {}).get("event") != "CLOSED":
            pass
        assert (int(event["access"]["bytes_up"]), int(event["access"]["bytes_down"])) == (5, 5)
    finally:
        tail.kill()
        tail.wait()


def test_nobody_reaches_anything_without_a_session(gateway, echo):
    with gateway.connect(echo.address) as tunnel:
        assert tunnel.status == 407
        assert "proxy-authenticate" in tunnel.headers
    with gateway.connect(echo.address, "A" * 43) as tunnel:
        assert tunnel.status == 407
    with gateway.connect(echo.address, basic=("bob", gateway.sign_in("alice"))) as tunnel:
        assert tunnel.status == 407, "a token is good for its own account only"
    assert echo.connections == []
