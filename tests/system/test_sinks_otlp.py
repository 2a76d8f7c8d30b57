"""Records forwarded over OTLP/gRPC to a receiver that knows nothing of the gateway: each at least once and in order, none lost
when the receiver is away or the gateway is killed, and one that the receiver does not take holds up no other."""

import socket
import time

import grpc
import pytest

from harness import ocsf
from harness.build import SANITIZER
from harness.otlp import Collector, values
from harness.prepared import prepared  # noqa: F401
from harness.rsyslog import Authority
from harness.sinks import LONG, durable, sink, use, wait_forwarded
from harness.upgrade import upgrade
from harness.wait import wait_for

pytestmark = pytest.mark.skipif(SANITIZER == "tsan", reason="gRPC and OpenSSL below it are not built with ThreadSanitizer")

STATUS = grpc.StatusCode


@pytest.fixture
def collector(tmp_path):
    receiver = Collector(tmp_path / "collector")
    yield receiver
    receiver.stop()


def check_record(record, ledger):
    """Asserts that a log record is the event of the ledger with its sequence."""
    attributes = values(record.attributes)
    event = ledger[attributes["usher.sequence"]]
    assert attributes["log.record.uid"] == f"{event['gateway_id']}:{event['sequence']}"
    kind = next(k for k in ("access", "session", "admin", "system") if k in event)
    assert record.event_name.startswith(f"usher.{kind}.") and record.event_name == record.event_name.lower()
    assert record.severity_number in (9, 10, 13) and record.severity_text in ("informational", "notice", "warning")
    assert 0 < record.time_unix_nano <= record.observed_time_unix_nano + 10**9
    if kind == "access":
        access = event["access"]
        assert record.event_name == f"usher.access.{access['event'].lower()}"
        assert attributes["user.name"] == access["username"] and attributes["usher.verdict"] == access["verdict"]
        assert attributes["destination.port"] == access["destination_port"]
        assert attributes.get("usher.app", "") == access.get("app", "")
        if access["event"] == "CLOSED":
            assert attributes["usher.bytes_up"] == int(access["bytes_up"])
            assert attributes["usher.close_reason"] == access["close_reason"]


def test_exactly_the_records_of_the_ledger_arrive_in_order(prepared, collector, database):  # noqa: F811
    collector.start()
    gateway = prepared(database=database, config={"sinks": [collector.sink()]})
    use(gateway, gateway.sign_in("alice"), 5)
    with gateway.connect("127.0.0.1:1", token=gateway.sign_in("alice")) as refused:
        assert refused.status == 403
    last = durable(gateway)
    wait_forwarded(gateway, last)
    assert collector.sequences()[:last] == list(range(1, last + 1))
    ledger = {int(event["sequence"]): event for event in gateway.events()}
    for record in collector.records():
        if values(record.attributes)["usher.sequence"] <= last:
            check_record(record, ledger)
    events = collector.events()
    for event in events:
        ocsf.check(event)
    assert [e["metadata"]["sequence"] for e in events] == collector.sequences()
    assert {e["class_uid"] for e in events} >= {3002, 4001, 6002, 6003}
    for resource in collector.resources():
        assert resource["service.name"] == "usherd" and resource["host.name"] == socket.gethostname()
        assert resource["service.instance.id"] == ledger[1]["gateway_id"]
    state = sink(gateway)
    assert not state["error"] and state["kind"] == "otlp" and int(state["parked_records"]) == 0
    assert gateway.metric('usher_sink_delivered_records_total{sink="siem"}') >= last
    assert gateway.metric("usher_sink_failures_total") == 0

    older = upgrade(gateway)
    assert older.wait(timeout=LONG) == 0
    use(gateway, gateway.sign_in("alice"))
    assert gateway.stop() == 0
    wait_for(lambda: collector.events()[-1]["activity_name"] == "Stop", "the last record", LONG)
    sequences = collector.sequences()
    assert sorted(set(sequences)) == list(range(1, max(sequences) + 1))
    first = list(dict.fromkeys(sequences))  # what an upgrade interrupts is sent again, in order
    assert first == sorted(first)


def test_nothing_is_lost_while_the_receiver_is_away_and_the_gateway_is_killed(prepared, collector):  # noqa: F811
    gateway = prepared(config={"sinks": [collector.sink()]})
    token = gateway.sign_in("alice")
    use(gateway, token, 5)
    wait_for(lambda: "Connection refused" in sink(gateway)["error"], "the failure to be shown", LONG)
    wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "another try", LONG)
    wait_for(gateway.shipped, "everything in the store", LONG)
    before = gateway.metric("usher_sink_lag_records")
    assert before > 5 and gateway.metric("usher_sink_lag_seconds") > 0
    use(gateway, token, 5)
    wait_for(lambda: gateway.metric("usher_sink_lag_records") >= before + 10, "the lag to grow", LONG)
    assert gateway.ready() == 200
    # gRPC's own lines are none of the log.
    assert all(line[:4].isdigit() or line.startswith("{") for line in gateway.log().splitlines()), gateway.log()

    collector.start()
    wait_forwarded(gateway, durable(gateway))
    wait_for(lambda: gateway.metric("usher_sink_lag_records") == 0, "the lag to be made up", LONG)
    assert not sink(gateway)["error"]
    collector.stop()
    use(gateway, token, 5)
    wait_for(lambda: sink(gateway)["error"], "the receiver to be missed", LONG)
    collector.start()
    wait_forwarded(gateway, durable(gateway))
    for _ in range(3):
        use(gateway, token, 5)
        gateway.kill()
        gateway.start()
        token = gateway.sign_in("alice")
    last = durable(gateway)
    wait_forwarded(gateway, last)
    assert set(collector.sequences()) >= set(range(1, last + 1))
    gateway.assert_dense()


@pytest.mark.parametrize("how, reason", [("rejected", "rejects 1 records: not to our"), ("refused", "refuses: a record is not")])
def test_a_record_that_the_receiver_does_not_take_is_parked_and_retried(prepared, collector, how, reason):  # noqa: F811
    """Both by a partial success and by INVALID_ARGUMENT, and in the middle of a batch."""
    getattr(collector, how).add(5)
    gateway = prepared(config={"sinks": [collector.sink()]})
    use(gateway, gateway.sign_in("alice"), 5)
    wait_for(gateway.shipped, "everything in the store", LONG)
    collector.start()
    last = durable(gateway)
    wait_forwarded(gateway, last)
    assert set(range(1, last + 1)) - set(collector.sequences()) == {5}
    (parked,) = gateway.ctl_json("sink", "parked", "list")
    assert parked["sink"] == "siem" and parked["record"].endswith(":5") and reason in parked["error"]
    wait_for(lambda: gateway.metric("usher_sink_parked_records") == 1, "the metric", LONG)
    assert not sink(gateway)["error"]
    # What the receiver says of a record may quote it, and the log is no place for that.
    assert "usherctl sink parked retry" in gateway.log() and "liking" not in gateway.log()

    gateway.ctl("sink", "parked", "retry", "siem", parked["record"])
    wait_for(lambda: not gateway.ctl_json("sink", "parked", "list")[0].get("retry"), "the try", LONG)
    assert 5 not in collector.sequences()
    getattr(collector, how).clear()
    gateway.ctl("sink", "parked", "retry", "siem", parked["record"])
    wait_for(lambda: 5 in collector.sequences(), "the record", LONG)
    wait_for(lambda: not gateway.ctl_json("sink", "parked", "list"), "nothing parked", LONG)


@pytest.mark.parametrize(
    "wrong, expected",
    [({"server_name": "other.example"}, "other.example"), ({"ca": None}, "certificate verify failed"), ({"certificate": None}, "")],
)
def test_nothing_goes_to_a_receiver_that_is_not_the_right_one(prepared, collector, tmp_path, wrong, expected):  # noqa: F811
    """Nor is anything taken for delivered that a receiver did not want of this gateway."""
    collector.start()
    configured = collector.sink(**{key: value for key, value in wrong.items() if value})
    if "ca" in wrong:
        configured["ca"] = str(Authority(tmp_path / "another").certificate)
    if "certificate" in wrong:
        del configured["certificate"], configured["private_key"]
    gateway = prepared(config={"sinks": [configured]})
    wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "failures", LONG)
    state = sink(gateway)
    assert state["error"] and expected in state["error"], state
    assert int(state["forwarded_sequence"]) == 0 and int(state["parked_records"]) == 0
    assert collector.requests == 0


def test_errors_that_do_not_blame_a_record_park_none(prepared, collector):  # noqa: F811
    collector.start()
    collector.answer = (STATUS.UNAUTHENTICATED, "who are you", None)
    gateway = prepared(config={"sinks": [collector.sink()]})
    for answer in (
        (STATUS.UNAUTHENTICATED, "who are you", None),
        (STATUS.INTERNAL, "a bug of ours", None),
        (STATUS.RESOURCE_EXHAUSTED, "too much", None),
        (STATUS.UNIMPLEMENTED, "no logs here", None),
    ):
        collector.answer = answer
        wait_for(lambda: f": {answer[0].name}: {answer[1]}" in sink(gateway)["error"], answer[0].name, LONG)
    state = sink(gateway)
    assert int(state["parked_records"]) == 0 and int(state["forwarded_sequence"]) == 0
    collector.answer = None
    wait_forwarded(gateway, durable(gateway))
    assert not gateway.ctl_json("sink", "parked", "list")


def test_a_receiver_that_asks_for_a_pause_gets_it(prepared, collector):  # noqa: F811
    collector.start()
    collector.answer = (STATUS.UNAVAILABLE, "come back later", 6)
    gateway = prepared(config={"sinks": [collector.sink()]})
    wait_for(lambda: "come back later" in sink(gateway)["error"], "the answer", LONG)
    with collector.lock:
        requests, asked_at = collector.requests, time.monotonic()
    wait_for(lambda: collector.requests > requests, "the next try", LONG)
    # Without the pause the second try comes after 0.5 s at most, and the third after 1 s.
    assert time.monotonic() - asked_at > 3
    collector.answer = None
    wait_forwarded(gateway, durable(gateway))


def test_a_receiver_that_never_answers_costs_its_lag_alone(prepared, collector):  # noqa: F811
    collector.start()
    collector.answering.clear()
    gateway = prepared(config={"sinks": [collector.sink()]})
    token = gateway.sign_in("alice")
    wait_for(lambda: collector.requests >= 1, "a request", LONG)
    use(gateway, token, 3)
    wait_for(lambda: "no answer" in sink(gateway)["error"], "the deadline", LONG)
    use(gateway, token, 3)
    assert gateway.ready() == 200
    collector.answering.set()
    wait_forwarded(gateway, durable(gateway))
    assert set(collector.sequences()) >= set(range(1, durable(gateway) + 1))
    # Nor does a stop wait for one.
    collector.answering.clear()
    use(gateway, token)
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 15 + LONG / 10


def test_a_port_that_says_nothing_costs_no_more(prepared, tmp_path):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configured = {"name": "siem", "kind": "otlp", "address": f"127.0.0.1:{listener.getsockname()[1]}",
                      "ca": str(Authority(tmp_path / "ca").certificate)}
        gateway = prepared(config={"sinks": [configured]})
        wait_for(lambda: sink(gateway)["error"], "the deadline", LONG)
        use(gateway, gateway.sign_in("alice"))
        assert gateway.stop() == 0


def test_a_filter_chooses_what_is_forwarded(prepared, collector):  # noqa: F811
    collector.start()
    gateway = prepared(config={"sinks": [collector.sink(filter='type = access AND app = "demo"')]})
    use(gateway, gateway.sign_in("alice"), 2)
    wait_forwarded(gateway, durable(gateway))
    names = [record.event_name for record in collector.records()]
    assert names.count("usher.access.opened") == 2 and set(names) <= {"usher.access.opened", "usher.access.closed"}
