"""Records forwarded to a real rsyslog over TLS: each once and in order while all is well; none lost when the receiver is away,
the gateway is killed or replaced; and a record that cannot be sent holds up no other."""

import os
import select
import socket
import sqlite3
import ssl
import subprocess
import threading

import pytest

from harness import ocsf
from harness.build import BIN, SCALE
from harness.prepared import prepared  # noqa: F401
from harness.rsyslog import Authority, Rsyslog
from harness.sinks import LONG, durable, sink, use, wait_forwarded
from harness.upgrade import upgrade
from harness.wait import wait_for


@pytest.fixture
def rsyslog(tmp_path):
    server = Rsyslog(tmp_path / "rsyslog")
    yield server
    server.stop()


def test_each_record_arrives_once_and_in_order(prepared, rsyslog, database):  # noqa: F811
    rsyslog.start()
    gateway = prepared(database=database, config={"sinks": [rsyslog.sink()]})
    use(gateway, gateway.sign_in("alice"), 5)
    with gateway.connect("127.0.0.1:1", token=gateway.sign_in("alice")) as refused:
        assert refused.status == 403
    last = durable(gateway)
    wait_forwarded(gateway, last)
    wait_for(lambda: len(rsyslog.messages()) >= last, "the messages to be written", LONG)
    events = rsyslog.events()
    for event in events:
        ocsf.check(event)
    assert [e["metadata"]["sequence"] for e in events][:last] == list(range(1, last + 1))
    assert {e["class_uid"] for e in events} >= {3002, 4001, 6002, 6003}
    state = sink(gateway)
    assert not state["error"] and state["kind"] == "syslog" and int(state["parked_records"]) == 0
    assert "in order" in gateway.ctl("sink", "list").stdout
    assert gateway.metric('usher_sink_delivered_records_total{sink="siem"}') >= last
    assert gateway.metric("usher_sink_failures_total") == 0

    # The process that takes over goes on where the older one was.
    older = upgrade(gateway)
    assert older.wait(timeout=LONG) == 0
    use(gateway, gateway.sign_in("alice"))
    assert gateway.stop() == 0
    # What a stop puts on record is forwarded before it ends.
    wait_for(lambda: rsyslog.events()[-1]["activity_name"] == "Stop", "the last record", LONG)
    sequences = rsyslog.sequences()
    assert sorted(set(sequences)) == list(range(1, max(sequences) + 1))
    first = list(dict.fromkeys(sequences))  # what an upgrade interrupts is sent again, in order
    assert first == sorted(first)


def test_nothing_is_lost_while_the_receiver_is_away_and_the_gateway_is_killed(prepared, rsyslog):  # noqa: F811
    gateway = prepared(config={"sinks": [rsyslog.sink()]})
    token = gateway.sign_in("alice")
    use(gateway, token, 5)
    wait_for(lambda: "cannot connect" in sink(gateway)["error"], "the failure to be shown", LONG)
    wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "another try", LONG)
    wait_for(gateway.shipped, "everything in the store", LONG)
    state = sink(gateway)
    assert int(state["lag_records"]) > 5 and int(state["forwarded_sequence"]) == 0 and state["failing_since"]
    assert gateway.metric("usher_sink_lag_records") > 5
    assert gateway.metric("usher_sink_lag_seconds") > 0
    alarms = [line for line in gateway.log().splitlines() if "cannot be forwarded to a sink" in line]
    assert len(alarms) == 1 and "siem" in alarms[0]
    assert gateway.ready() == 200

    rsyslog.start()
    wait_forwarded(gateway, durable(gateway))
    wait_for(lambda: gateway.metric("usher_sink_lag_records") == 0, "the lag to be made up", LONG)
    assert not sink(gateway)["error"]
    assert "forwarded to a sink again" in gateway.log()
    for _ in range(3):
        use(gateway, token, 5)
        gateway.kill()
        gateway.start()
        token = gateway.sign_in("alice")
    last = durable(gateway)
    wait_forwarded(gateway, last)
    wait_for(lambda: set(rsyslog.sequences()) >= set(range(1, last + 1)), "every record", LONG)


def test_a_record_that_cannot_be_sent_is_parked_and_retried(prepared, rsyslog):  # noqa: F811
    gateway = prepared(config={"sinks": [rsyslog.sink()]})
    use(gateway, gateway.sign_in("alice"), 2)
    wait_for(gateway.shipped, "everything in the store", LONG)

    def database(sql, *values):
        with sqlite3.connect(gateway.data_dir / "usher.db", timeout=60 * SCALE) as connection:
            return connection.execute(sql, values).fetchall()

    ((payload,),) = database("SELECT payload FROM audit_events WHERE sequence = 3")
    database("UPDATE audit_events SET payload = x'ffff' WHERE sequence = 3")
    rsyslog.start()
    last = durable(gateway)
    wait_forwarded(gateway, last)
    (parked,) = gateway.ctl_json("sink", "parked", "list")
    assert parked["sink"] == "siem" and parked["record"].endswith(":3") and parked["error"]
    wait_for(lambda: gateway.metric("usher_sink_parked_records") == 1, "the metric", LONG)
    assert int(sink(gateway)["parked_records"]) == 1
    assert "usherctl sink parked retry" in gateway.log()
    wait_for(lambda: set(rsyslog.sequences()) >= set(range(1, last + 1)) - {3}, "all others", LONG)
    assert 3 not in rsyslog.sequences()

    gateway.ctl("sink", "parked", "retry", "siem", parked["record"])
    wait_for(lambda: not gateway.ctl_json("sink", "parked", "list")[0].get("retry"), "the try", LONG)
    assert len(gateway.ctl_json("sink", "parked", "list", "siem")) == 1
    database("UPDATE audit_events SET payload = ? WHERE sequence = 3", payload)
    assert "1 tried again" in gateway.ctl("sink", "parked", "retry", "siem").stdout
    wait_for(lambda: 3 in rsyslog.sequences(), "the record that was mended", LONG)
    wait_for(lambda: not gateway.ctl_json("sink", "parked", "list"), "nothing parked", LONG)
    assert gateway.ctl("sink", "parked", "retry", "siem", parked["record"], check=False).returncode == 1
    acts = [e["admin"]["action"] for e in gateway.events() if "admin" in e]
    assert acts.count("sink.retry") >= 3


@pytest.mark.parametrize(
    "wrong, expected",
    [({"server_name": "other.example"}, "hostname mismatch"), ({"ca": None}, "not valid"), ({"certificate": None}, "")],
)
def test_nothing_goes_to_a_receiver_that_is_not_the_right_one(prepared, rsyslog, tmp_path, wrong, expected):  # noqa: F811
    """Nor is anything taken for delivered that a receiver did not want of this gateway."""
    rsyslog.start()
    configured = rsyslog.sink(**{key: value for key, value in wrong.items() if value})
    if "ca" in wrong:
        configured["ca"] = str(Authority(tmp_path / "another").certificate)
    if "certificate" in wrong:
        del configured["certificate"], configured["private_key"]
    gateway = prepared(config={"sinks": [configured]})
    wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "failures", LONG)
    state = sink(gateway)
    assert expected in state["error"] and state["error"], state
    assert int(state["forwarded_sequence"]) == 0
    assert rsyslog.messages() == []


class Receiver:
    """Takes one connection after the other; `read` says whether it reads one to its end before it closes it without a word."""

    def __init__(self, authority):
        certificate, key = authority.issue("logs.example", "serverAuth")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.read = False
        self.connections, self.received = 0, b""
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            with plain:
                plain.settimeout(30 * SCALE)
                try:
                    tls = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
                    read, got = self.read, b""
                    if read:
                        while more := tls.recv(65536):
                            got += more
                    else:
                        select.select([tls], [], [], 30 * SCALE)  # there is something, and it stays unread
                    self.received += got
                    self.connections += 1
                    os.close(tls.detach())
                except (OSError, ssl.SSLError):
                    pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_what_a_receiver_did_not_read_is_sent_again(prepared, tmp_path):  # noqa: F811
    authority = Authority(tmp_path / "ca")
    receiver = Receiver(authority)
    try:
        configured = {"name": "siem", "kind": "syslog", "address": f"127.0.0.1:{receiver.port}", "server_name": "logs.example",
                      "ca": str(authority.certificate)}
        gateway = prepared(config={"sinks": [configured]})
        wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "failures", LONG)
        assert receiver.connections >= 1
        state = sink(gateway)
        assert state["error"] and int(state["forwarded_sequence"]) == 0, state
        receiver.read = True
        last = durable(gateway)
        wait_forwarded(gateway, last)
        frames = receiver.received
        for sequence in range(1, last + 1):
            length, _, frames = frames.partition(b" ")
            message, frames = frames[: int(length)], frames[int(length) :]
            assert f'sequenceId="{sequence}"'.encode() in message
    finally:
        receiver.close()


def test_a_filter_chooses_what_is_forwarded(prepared, rsyslog):  # noqa: F811
    rsyslog.start()
    gateway = prepared(config={"sinks": [rsyslog.sink(filter='type = access AND app = "demo"')]})
    use(gateway, gateway.sign_in("alice"), 2)
    wait_forwarded(gateway, durable(gateway))
    wait_for(lambda: len(rsyslog.messages()) >= 4, "the accesses", LONG)
    assert {e["class_uid"] for e in rsyslog.events()} == {4001}


@pytest.mark.parametrize("kind", ["syslog", "otlp"])
def test_files_that_are_not_there_are_an_error_of_the_configuration(rsyslog, gateway_factory, kind):
    gateway = gateway_factory(config={"sinks": [rsyslog.sink(kind=kind, ca="/nonexistent/ca.pem")]})
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1
    assert "the sink 'siem': 'ca': /nonexistent/ca.pem" in gateway.log()
    checked = subprocess.run([BIN / "usherd", "--check", "--config", gateway.config_file], capture_output=True, text=True)
    assert checked.returncode == 1 and "the sink 'siem': 'ca': /nonexistent/ca.pem" in checked.stderr
