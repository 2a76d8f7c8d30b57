"""usherctl upgrade: another process takes over listeners and journal, and no tunnel notices. The older one finishes what it has,
is on record, and obeys."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.build import BIN, SANITIZER, SCALE
from harness.gateway import PASSWORD
from harness.h2_client import H2Client
from harness.prepared import gateway, prepared  # noqa: F401
from harness.upgrade import Adopted, adopt_orphans, upgrade
from harness.wait import wait_for
from test_shutdown import ended, number

LONG = 60 * SCALE


def status(gateway):
    (answer,) = gateway.ctl_json("status")
    return answer


def demo_records(gateway):
    return [r for r in gateway.records() if r.get("app") == "demo"]


def echo(end, data):
    end.send(data)
    assert end.recv_exactly(len(data)) == data


def finish(tunnel):
    tunnel.half_close()
    assert tunnel.recv_all() == b""


def system_events(gateway):
    return [e["system"] for e in gateway.events() if "system" in e]


def own_program(gateway):
    """The gateway's program in a place of its own, where a test may replace it. Starts the gateway again."""
    gateway.stop()
    program = gateway.directory / "usherd"
    shutil.copy(BIN / "usherd", program)
    gateway.program = program
    gateway.start()
    return program


def replace(program, script):
    new = program.with_suffix(".new")
    new.write_text(script)
    new.chmod(0o755)
    os.replace(new, program)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_tunnels_go_on_and_new_ones_come_to_the_new_process(prepared, request, database):
    options = {} if database == "sqlite" else {"database": request.getfixturevalue("postgresql_database")}
    gateway = prepared(**options)
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel, H2Client(gateway) as client:
        stream = client.connect(gateway.app.address, token)
        for end in (tunnel, stream):
            echo(end, b"before")
        before = status(gateway)
        older = upgrade(gateway, "--deadline", "1h")
        now = status(gateway)
        assert now["state"] == "SERVING" and now["gateway_id"] == before["gateway_id"]
        assert int(now.get("tunnels", 0)) == 0
        assert int(now["predecessor"]["process_id"]) == older.pid
        assert int(now["predecessor"]["tunnels"]) == 2
        assert gateway.ready() == 200
        client.wait(lambda: client.goaway is not None)

        for end in (tunnel, stream):
            for _ in range(20):
                echo(end, b"x" * 1000)
        # The session of before is good in the new process, and so is what is made there.
        with gateway.connect(gateway.app.address, token=token) as other:
            echo(other, b"after")
            assert int(status(gateway)["tunnels"]) == 1
            finish(other)
        gateway.account("bob")
        with gateway.connect(gateway.app.address, token=gateway.sign_in("bob")) as other:
            echo(other, b"bob's")
            finish(other)
        assert older.poll() is None
        stream.send(b"last", end=True)
        assert stream.recv_all() == b"last"
        finish(tunnel)
    assert older.wait(LONG) == 0
    wait_for(lambda: "predecessor" not in status(gateway), "the older process to be gone")
    wait_for(lambda: len([r for r in demo_records(gateway) if r["event"] == "CLOSED"]) == 4, "all to be closed")
    records = demo_records(gateway)
    assert sorted(number(r, "bytes_up") for r in records) == [5, 5, 20_006, 20_010]
    assert {r["close_reason"] for r in records} == {"CLIENT_CLOSED"}
    gateway.assert_dense()
    assert [e["event"] for e in system_events(gateway)] == ["STARTED", "STARTED"]
    assert f"took over from process {older.pid}" in system_events(gateway)[1]["detail"]


def test_the_service_manager_is_told_of_the_new_process(gateway):
    older = upgrade(gateway)
    gateway.wait_notified(f"MAINPID={gateway.process.pid}")
    assert older.wait(LONG) == 0


def test_nobody_fails_while_it_happens(gateway):
    """Tunnels are opened all the time, by many at once, over both protocols: none is refused, and each is on record."""
    token = gateway.sign_in("alice")
    stop = threading.Event()
    failures, opened, lock = [], [0], threading.Lock()

    def one_after_another():
        while not stop.is_set():
            try:
                with gateway.connect(gateway.app.address, token=token) as tunnel:
                    # An instrumented process takes seconds to take over, and OPENED may wait for two.
                    if SANITIZER and tunnel.status == 503:
                        continue
                    assert tunnel.status == 200
                    echo(tunnel, b"hello")
                    finish(tunnel)
                    with lock:
                        opened[0] += 1
            except Exception as error:  # noqa: BLE001 - every one of them is the test's failure
                failures.append(repr(error))

    threads = [threading.Thread(target=one_after_another) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            wait_for(lambda target=opened[0] + 20: opened[0] >= target, "tunnels")
            older = upgrade(gateway, "--deadline", "10m", "--end-previous")
            assert older.wait(LONG) == 0
        wait_for(lambda target=opened[0] + 20: opened[0] >= target, "tunnels")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    closed = lambda: [r for r in demo_records(gateway) if r.get("close_reason") == "CLIENT_CLOSED"]  # noqa: E731
    wait_for(lambda: len(closed()) == opened[0], "all to be closed")
    assert SANITIZER or len(demo_records(gateway)) == opened[0]
    gateway.assert_dense()


def test_the_deadline_cuts_what_is_left(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"12345")
        older = upgrade(gateway, "--deadline", "2s")
        assert older.wait(LONG) == 0
        assert ended(tunnel.sock)
    record = gateway.wait_closed()
    assert record["close_reason"] == "SHUTDOWN"
    assert number(record, "bytes_up") == number(record, "bytes_down") == 5


def cut_by_disabling(gateway, token):
    gateway.ctl("account", "disable", "alice")
    return {"REVOKED"}


def cut_by_deleting_the_policy(gateway, token):
    gateway.ctl("delete", "policy", "demo")
    return {"POLICY_CHANGED"}


def cut_by_revoking(gateway, token):
    gateway.ctl("session", "revoke", "--account", "alice")
    return {"REVOKED"}


def cut_by_signing_out(gateway, token):
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=token)[0] == 204
    return {"SIGNED_OUT"}


@pytest.mark.parametrize("cut", [cut_by_disabling, cut_by_deleting_the_policy, cut_by_revoking, cut_by_signing_out])
def test_what_is_taken_away_is_cut_in_the_older_process_too(gateway, cut):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel, H2Client(gateway) as client:
        stream = client.connect(gateway.app.address, token)
        echo(tunnel, b"x")
        echo(stream, b"x")
        older = upgrade(gateway, "--deadline", "1h")
        # By the time the command has answered.
        reasons = cut(gateway, token)
        assert ended(tunnel.sock)
        client.wait(lambda: stream.over or client.closed)
    assert older.wait(LONG) == 0
    wait_for(lambda: {r["event"] for r in demo_records(gateway)} == {"CLOSED"}, "both to be closed")
    assert {r["close_reason"] for r in demo_records(gateway)} == reasons
    gateway.assert_dense()


def test_an_older_process_that_does_not_obey_is_killed(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        older = upgrade(gateway, "--deadline", "1h")
        older.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        gateway.ctl("account", "disable", "alice")
        assert time.monotonic() - started < 10 * SCALE
        assert older.wait(LONG) == -signal.SIGKILL
        assert ended(tunnel.sock)
    record = gateway.wait_closed()
    assert record["close_reason"] == "GATEWAY_CRASHED" and record["bytes_uncertain"]
    gateway.assert_dense()


def test_an_older_process_that_dies_is_closed_on_record(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        older = upgrade(gateway, "--deadline", "1h")
        older.kill()
        assert ended(tunnel.sock)
        assert gateway.wait_closed()["close_reason"] == "GATEWAY_CRASHED"
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"goes on")
    older.wait()
    gateway.assert_dense()


def test_without_the_new_process_the_older_one_records_nothing_and_ends(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        older = upgrade(gateway, "--deadline", "1h")
        # The newer process serves a moment before the older one hears of it. Killed in that moment it has not taken over.
        wait_for(lambda: "another process has taken over" in gateway.log(), "the older process to hear of it")
        gateway.kill()
        assert older.wait(LONG) == 0
        assert ended(tunnel.sock)
    gateway.start()
    assert gateway.wait_closed()["close_reason"] == "GATEWAY_CRASHED"
    gateway.assert_dense()


def test_a_stop_ends_both(prepared):
    gateway = prepared(config={"timeouts": {"drain": "1s"}})
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        older = upgrade(gateway, "--deadline", "1h")
        assert gateway.stop() == 0
        assert older.wait(LONG) == 0
        assert ended(tunnel.sock)
    gateway.start()
    assert gateway.wait_closed()["close_reason"] == "SHUTDOWN"
    gateway.assert_dense()


def test_one_predecessor_at_a_time(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        first = upgrade(gateway, "--deadline", "1h")
        refused = gateway.ctl("upgrade", check=False)
        assert refused.returncode == 1
        assert f"process {first.pid} still has 1 tunnels" in refused.stderr
        echo(tunnel, b"still there")
        second = upgrade(gateway, "--end-previous")
        assert first.wait(LONG) == 0 and second.wait(LONG) == 0
        assert ended(tunnel.sock)
    assert gateway.wait_closed()["close_reason"] == "SHUTDOWN"
    gateway.assert_dense()


def refused_upgrade(gateway):
    """What is said; the gateway goes on as before."""
    pid = status(gateway)["process_id"]
    refused = gateway.ctl("upgrade", check=False)
    assert refused.returncode == 1
    assert "the upgrade did not happen, and the gateway goes on as before: " in refused.stderr
    answer = status(gateway)
    assert answer["process_id"] == pid and answer["state"] == "SERVING"
    assert gateway.ready() == 200
    assert gateway.process.poll() is None
    return refused.stderr


def test_a_configuration_that_is_wrong(gateway):
    token = gateway.sign_in("alice")
    good = gateway.config_file.read_text()
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        gateway.config_file.write_text(good.replace('"workers"', '"wrokers"'))
        refused_upgrade(gateway)
        assert "wrokers" in gateway.log()
        for key, value in (("listen", "127.0.0.1:1"), ("data_dir", str(gateway.directory / "elsewhere"))):
            gateway.config_file.write_text(json.dumps({**gateway.config, key: value}))
            assert f"'{key}' is not what the running gateway has; that takes a restart" in refused_upgrade(gateway)
        echo(tunnel, b"untouched")
    gateway.config_file.write_text(good)
    acts = [e["admin"] for e in gateway.events() if e.get("admin", {}).get("action") == "gateway.upgrade"]
    assert [a["outcome"] for a in acts] == ["DONE", "FAILED"] * 3
    assert upgrade(gateway).wait(LONG) == 0


def test_a_program_that_is_none(gateway):
    program = own_program(gateway)
    program.rename(program.with_suffix(".old"))
    assert f"{program} cannot be run: No such file or directory" in refused_upgrade(gateway)
    replace(program, "#!/bin/sh\nexit 3\n")
    assert "before it was ready: the other process has ended" in refused_upgrade(gateway)
    os.replace(program.with_suffix(".old"), program)
    assert upgrade(gateway).wait(LONG) == 0


def test_a_new_process_that_fails_half_way(gateway):
    """It is ready, it is given everything, and then it cannot write: the older one takes everything up again."""
    adopt_orphans()
    program = own_program(gateway)
    real = program.with_suffix(".real")
    shutil.copy(program, real)
    replace(program, f'#!/bin/sh\nulimit -f 0\nexec {real} "$@"\n')
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        echo(tunnel, b"x")
        assert "cannot be written" in refused_upgrade(gateway)
        echo(tunnel, b"untouched")
        assert (gateway.data_dir / "lock").read_text() == str(gateway.process.pid)
        with gateway.connect(gateway.app.address, token=token) as other:
            echo(other, b"as before")
            finish(other)
        finish(tunnel)
    wait_for(lambda: len([r for r in demo_records(gateway) if r["event"] == "CLOSED"]) == 2, "both to be closed")
    assert {r["close_reason"] for r in demo_records(gateway)} == {"CLIENT_CLOSED"}
    gateway.assert_dense()
    shutil.copy(real, program.with_suffix(".new"))
    os.replace(program.with_suffix(".new"), program)
    assert upgrade(gateway).wait(LONG) == 0


def test_a_connection_that_is_half_way_is_served(gateway):
    """It was accepted before, and asks afterwards."""
    token = gateway.sign_in("alice")
    raw = gateway.open_raw()
    plain = gateway.open_plain()
    wait_for(lambda: gateway.metric("usher_connections_open") >= 2, "both to be accepted")
    older = upgrade(gateway, "--deadline", "1h")
    for sock in (raw, gateway.tls_context().wrap_socket(plain, server_hostname="localhost")):
        with sock:
            sock.sendall(f"CONNECT {gateway.app.address} HTTP/1.1\r\nHost: {gateway.app.address}\r\nProxy-Authorization: Bearer {token}\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            sock.sendall(b"ping")
            assert sock.recv(4) == b"ping"
    assert older.wait(LONG) == 0


def test_an_auditor_may_not(gateway):
    gateway.account("eve", role="auditor")
    gateway.client("usherctl", "login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "eve", "--password-stdin", input=PASSWORD + "\n")  # fmt: skip
    refused = gateway.client("usherctl", "upgrade", check=False)
    assert refused.returncode == 1 and "permission" in refused.stderr
    assert int(status(gateway)["process_id"]) == gateway.process.pid


def test_from_elsewhere(gateway):
    adopt_orphans()
    gateway.account("root", role="administrator")
    gateway.client("usherctl", "login", "--gateway", f"localhost:{gateway.port}", "--ca", gateway.ca, "--username", "root", "--password-stdin", input=PASSWORD + "\n")  # fmt: skip
    done = gateway.client("usherctl", "upgrade")
    assert " serves, version " in done.stdout
    older = gateway.process
    gateway.process = Adopted(int(status(gateway)["process_id"]))
    assert older.wait(LONG) == 0


def test_the_option_is_not_for_people(gateway):
    with socket.socket() as stranger:
        os.set_inheritable(stranger.fileno(), True)
        tried = subprocess.run(
            [BIN / "usherd", "--config", gateway.config_file, "--take-over", str(stranger.fileno())],
            capture_output=True, text=True, close_fds=False, timeout=LONG,
        )  # fmt: skip
    assert tried.returncode == 1
    assert "does not lead to another usherd" in tried.stderr
    assert "--take-over" not in subprocess.run([BIN / "usherd", "--help"], capture_output=True, text=True).stdout
