"""usherctl status and drain: nothing new, what is live goes on and is counted, and ends with the deadline at the latest."""

import json
import signal
import subprocess
import time

import pytest

from harness.build import BIN, SCALE
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for
from test_shutdown import ended, listening, number


def status(gateway):
    (answer,) = gateway.ctl_json("status")
    return answer


def demo_records(gateway):
    return [r for r in gateway.records() if r.get("app") == "demo"]


def test_the_status_of_a_gateway_that_serves(gateway):
    answer = status(gateway)
    assert answer["state"] == "SERVING"
    assert int(answer["process_id"]) == gateway.process.pid
    assert int(answer.get("tunnels", 0)) == 0 and "drain_deadline" not in answer
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token):
        assert int(status(gateway)["tunnels"]) == 1
        table = gateway.ctl("status").stdout
        assert "serving" in table and answer["gateway_id"] in table


def test_a_drain_takes_nothing_new_and_lets_what_is_live_go_on(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel, H2Client(gateway) as client:
        stream = client.connect(gateway.app.address, token)
        assert tunnel.status == stream.status == 200
        said = gateway.ctl("drain", "--deadline", "10m").stdout
        assert said.startswith("draining until ")
        assert gateway.ready() == 503
        answer = status(gateway)
        assert answer["state"] == "DRAINING" and int(answer["tunnels"]) == 2 and answer["drain_deadline"]
        wait_for(lambda: not listening(gateway), "the listener's end")
        client.wait(lambda: client.goaway is not None)
        assert client.goaway == 0

        for end in (tunnel, stream):
            for _ in range(20):
                end.send(b"x" * 1000)
                assert len(end.recv_exactly(1000)) == 1000
        assert gateway.metric("usher_tunnels_open") == 2
        stream.send(b"last", end=True)
        assert stream.recv_all() == b"last"
        wait_for(lambda: int(status(gateway)["tunnels"]) == 1, "one tunnel to be left")
        assert gateway.process.poll() is None
        gateway.expected_dead = True
        tunnel.half_close()
        assert tunnel.recv_all() == b""
    assert gateway.wait() == 0
    gateway.start()
    records = demo_records(gateway)
    assert sorted(number(r, "bytes_up") for r in records) == [20_000, 20_004]
    assert {r["close_reason"] for r in records} == {"CLIENT_CLOSED"}
    assert [a["system"]["event"] for a in gateway.events() if "system" in a] == ["STARTED", "STOPPED", "STARTED"]


def test_the_deadline_cuts_what_is_left(prepared):
    gateway = prepared(config={"timeouts": {"drain": "10m"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel, H2Client(gateway) as client:
        stream = client.connect(gateway.app.address, token)
        for end in (tunnel, stream):
            end.send(b"12345")
            assert end.recv_exactly(5) == b"12345"
        started = time.monotonic()
        gateway.expected_dead = True
        gateway.ctl("drain", "--deadline", "2s")
        assert gateway.wait() == 0
        assert 1.9 <= time.monotonic() - started < 2 + 8 * SCALE
        assert ended(tunnel.sock)
        client.wait_closed()
    gateway.start()
    records = demo_records(gateway)
    assert [r["close_reason"] for r in records] == ["SHUTDOWN"] * 2
    assert [number(r, "bytes_up") for r in records] == [number(r, "bytes_down") for r in records] == [5, 5]


def test_asked_again_it_moves_the_deadline(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        gateway.expected_dead = True
        gateway.ctl("drain", "--deadline", "10m")
        far = status(gateway)["drain_deadline"]
        gateway.ctl("drain", "--deadline", "1h")
        assert status(gateway)["drain_deadline"] > far
        assert gateway.process.poll() is None
        gateway.ctl("drain", "--deadline", "1ms")
        assert gateway.wait() == 0
        assert ended(tunnel.sock)


def test_waiting_says_how_many_are_left_and_returns_at_the_end(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as first, gateway.connect(gateway.app.address, token=token) as second:
        gateway.expected_dead = True
        waiting = subprocess.Popen(
            [BIN / "usherctl", "--socket", gateway.data_dir / "control.sock", "drain", "--deadline", "10m", "--wait"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines = []
        for tunnel, word in ((first, "tunnels left: 2\n"), (second, "tunnels left: 1\n")):
            while word not in lines:
                line = waiting.stdout.readline()
                assert line, waiting.stderr.read()
                lines.append(line)
            assert waiting.poll() is None
            tunnel.half_close()
            assert tunnel.recv_all() == b""
        rest, complaints = waiting.communicate(timeout=30 * SCALE)
        assert (waiting.returncode, complaints) == (0, "")
        assert rest.endswith("the gateway has ended\n")
    assert gateway.wait() == 0


def test_a_signal_ends_a_drain(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        gateway.expected_dead = True
        gateway.ctl("drain", "--deadline", "1h")
        gateway.process.send_signal(signal.SIGUSR1)  # means nothing by itself
        tunnel.send(b"x")
        assert tunnel.recv(1) == b"x"
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert time.monotonic() - started < 8 * SCALE
        assert ended(tunnel.sock)


def test_a_stranger_signal_harms_nothing(gateway):
    for _ in range(5):
        gateway.process.send_signal(signal.SIGUSR1)
    assert status(gateway)["state"] == "SERVING"
    assert gateway.ready() == 200


def test_whoever_watches_through_a_tunnel_holds_no_drain_up(gateway):
    gateway.account("root", role="administrator")
    gateway.client("usherctl", "login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "root", "--password-stdin", input=PASSWORD + "\n")  # fmt: skip
    gateway.expected_dead = True
    done = gateway.client("usherctl", "drain", "--deadline", "1h", "--wait")
    assert done.stdout.endswith("the gateway has ended\n")
    assert gateway.wait() == 0
    gateway.start()
    acts = [e["admin"] for e in gateway.events() if e.get("admin", {}).get("action") == "gateway.drain"]
    assert [(a["actor"], a["outcome"]) for a in acts] == [("root", "DONE")]
    assert json.loads(acts[0]["after_json"]) == {"deadline": "1h"}


@pytest.mark.parametrize("deadline", ["", "soon", "-1s", "10", "1h30m"])
def test_a_deadline_that_is_none_is_wrong_usage(gateway, deadline):
    refused = gateway.ctl("drain", f"--deadline={deadline}", check=False)
    assert refused.returncode == 2
    assert "--deadline" in refused.stderr
    assert status(gateway)["state"] == "SERVING"


def test_a_deadline_that_is_too_far_is_refused(gateway):
    refused = gateway.ctl("drain", "--deadline", "25h", check=False)
    assert refused.returncode == 1
    assert "deadline: must be from 0 s to 24 h" in refused.stderr
    assert status(gateway)["state"] == "SERVING"


def test_an_auditor_may_look_and_not_drain(gateway):
    gateway.account("eve", role="auditor")
    gateway.client("usherctl", "login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "eve", "--password-stdin", input=PASSWORD + "\n")  # fmt: skip
    assert "serving" in gateway.client("usherctl", "status").stdout
    refused = gateway.client("usherctl", "drain", check=False)
    assert refused.returncode == 1 and "permission" in refused.stderr
    assert status(gateway)["state"] == "SERVING"
