"""Records forwarded to Kafka, as far as librdkafka's own mock of a broker is one: each at least once and in order in one
partition, none lost when the broker is away or the gateway is killed, and one that the broker does not take holds up no other."""

import socket
import subprocess
import time

import pytest

from harness import ocsf
from harness.build import BIN, SANITIZER
from harness.kafka import INVALID_RECORD, MSG_SIZE_TOO_LARGE, NOT_ENOUGH_REPLICAS, TOPIC_AUTHORIZATION_FAILED, Kafka
from harness.prepared import prepared  # noqa: F401
from harness.rsyslog import Authority
from harness.sinks import LONG, durable, sink, use, wait_forwarded
from harness.upgrade import upgrade
from harness.wait import wait_for

pytestmark = pytest.mark.skipif(SANITIZER == "tsan", reason="librdkafka is not built with ThreadSanitizer, which does not bear its threads")


@pytest.fixture
def kafka(tmp_path):
    broker = Kafka(tmp_path / "kafka")
    yield broker
    broker.close()


def test_the_records_of_the_ledger_stand_in_one_partition_in_order(prepared, kafka, database):  # noqa: F811
    kafka.start()
    gateway = prepared(database=database, config={"sinks": [kafka.sink()]})
    use(gateway, gateway.sign_in("alice"), 5)
    with gateway.connect("127.0.0.1:1", token=gateway.sign_in("alice")) as refused:
        assert refused.status == 403
    last = durable(gateway)
    wait_forwarded(gateway, last)
    kafka.wait_sequences(last)
    ledger = {int(event["sequence"]): event for event in gateway.events()}
    messages = kafka.messages()
    for _, key, event in messages:
        ocsf.check(event)
        assert key == ledger[1]["gateway_id"]
        assert event["metadata"]["uid"] == f"{key}:{event['metadata']['sequence']}"
    assert len({partition for partition, _, _ in messages}) == 1
    assert kafka.sequences()[:last] == list(range(1, last + 1))
    state = sink(gateway)
    assert not state["error"] and state["kind"] == "kafka" and int(state["parked_records"]) == 0
    assert gateway.metric('usher_sink_delivered_records_total{sink="siem"}') >= last
    assert gateway.metric("usher_sink_failures_total") == 0

    older = upgrade(gateway)
    assert older.wait(timeout=LONG) == 0
    use(gateway, gateway.sign_in("alice"))
    assert gateway.stop() == 0
    wait_for(lambda: kafka.messages()[-1][2]["activity_name"] == "Stop", "the last record", LONG)
    sequences = kafka.sequences()
    assert sorted(set(sequences)) == list(range(1, max(sequences) + 1))
    first = list(dict.fromkeys(sequences))
    assert first == sorted(first)


def test_nothing_is_lost_while_the_broker_is_away_and_the_gateway_is_killed(prepared, kafka):  # noqa: F811
    gateway = prepared(config={"sinks": [kafka.sink()]})
    token = gateway.sign_in("alice")
    use(gateway, token, 5)
    wait_for(lambda: "Connection refused" in sink(gateway)["error"], "the failure to be shown", LONG)
    wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "another try", LONG)
    wait_for(gateway.shipped, "everything in the store", LONG)
    assert gateway.metric("usher_sink_lag_records") > 5 and gateway.metric("usher_sink_lag_seconds") > 0
    assert gateway.ready() == 200
    # librdkafka's own lines are none of the log.
    assert all(line[:4].isdigit() or line.startswith("{") for line in gateway.log().splitlines()), gateway.log()

    kafka.start()
    wait_forwarded(gateway, durable(gateway))
    wait_for(lambda: gateway.metric("usher_sink_lag_records") == 0, "the lag to be made up", LONG)
    kafka.stop()
    use(gateway, token, 5)
    wait_for(lambda: sink(gateway)["error"], "the broker to be missed", LONG)
    kafka.start()
    wait_forwarded(gateway, durable(gateway))
    assert not sink(gateway)["error"]
    for _ in range(3):
        use(gateway, token, 5)
        gateway.kill()
        gateway.start()
        token = gateway.sign_in("alice")
    last = durable(gateway)
    wait_forwarded(gateway, last)
    kafka.wait_sequences(last)
    gateway.assert_dense()


@pytest.mark.parametrize("code, reason", [(MSG_SIZE_TOO_LARGE, "Message size too large"), (INVALID_RECORD, "validate")])
def test_what_the_broker_does_not_take_is_parked_and_retried(prepared, kafka, code, reason):  # noqa: F811
    """The mock knows no bad message: it refuses whatever comes, until some are parked."""
    kafka.fail(12, code)
    gateway = prepared(config={"sinks": [kafka.sink()]})
    use(gateway, gateway.sign_in("alice"), 5)
    wait_for(gateway.shipped, "everything in the store", LONG)
    kafka.start()
    last = durable(gateway)
    wait_forwarded(gateway, last)
    parked = gateway.ctl_json("sink", "parked", "list")
    sequences = {int(record["record"].split(":")[1]) for record in parked}
    assert sequences and all(reason in record["error"] for record in parked), parked
    wait_for(lambda: set(kafka.sequences()) >= set(range(1, last + 1)) - sequences, "all others", LONG)
    assert not sequences & set(kafka.sequences())
    assert gateway.metric("usher_sink_parked_records") == len(parked) and not sink(gateway)["error"]
    gateway.ctl("sink", "parked", "retry", "siem")
    wait_for(lambda: set(kafka.sequences()) >= sequences, "the records", LONG)
    wait_for(lambda: not gateway.ctl_json("sink", "parked", "list"), "nothing parked", LONG)


def test_errors_that_do_not_blame_a_record_park_none(prepared, kafka):  # noqa: F811
    kafka.fail(1, TOPIC_AUTHORIZATION_FAILED)
    kafka.fail(3, NOT_ENOUGH_REPLICAS)
    kafka.start()
    gateway = prepared(config={"sinks": [kafka.sink()]})
    use(gateway, gateway.sign_in("alice"))
    last = durable(gateway)
    wait_forwarded(gateway, last)
    kafka.wait_sequences(last)
    assert gateway.metric("usher_sink_failures_total") >= 1  # of the first one; the others passed by themselves
    assert not gateway.ctl_json("sink", "parked", "list")


@pytest.mark.parametrize("wrong", ["name", "ca", "certificate"])
def test_nothing_goes_to_a_broker_that_is_not_the_right_one(prepared, tmp_path, wrong):  # noqa: F811
    broker = Kafka(tmp_path / "kafka", name="other.example" if wrong == "name" else "127.0.0.1")
    try:
        broker.start()
        configured = broker.sink()
        if wrong == "ca":
            configured["ca"] = str(Authority(tmp_path / "another").certificate)
        if wrong == "certificate":
            del configured["certificate"], configured["private_key"]
        gateway = prepared(config={"sinks": [configured]})
        wait_for(lambda: gateway.metric("usher_sink_failures_total") >= 2, "failures", LONG)
        state = sink(gateway)
        assert state["error"] and (wrong == "certificate" or "certificate verify failed" in state["error"]), state
        assert int(state["forwarded_sequence"]) == 0 and broker.messages() == []
    finally:
        broker.close()


def test_a_broker_that_says_nothing_costs_its_lag_alone(prepared, tmp_path):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configured = {"name": "siem", "kind": "kafka", "brokers": [f"127.0.0.1:{listener.getsockname()[1]}"], "topic": "t",
                      "ca": str(Authority(tmp_path / "ca").certificate)}
        gateway = prepared(config={"sinks": [configured]})
        wait_for(lambda: sink(gateway)["error"], "the deadline", LONG)
        use(gateway, gateway.sign_in("alice"))
        assert gateway.ready() == 200
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 15 + LONG / 10


def test_a_password_that_others_may_read_is_an_error_of_the_configuration(gateway_factory, tmp_path):
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    gateway = gateway_factory(config={"sinks": [{
        "name": "siem", "kind": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t", "username": "usher",
        "password_file": str(password), "ca": str(Authority(tmp_path / "ca").certificate)}]})
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1
    assert f"the sink 'siem': 'password_file': {password}: may be read by others" in gateway.log()
    checked = subprocess.run([BIN / "usherd", "--check", "--config", gateway.config_file], capture_output=True, text=True)
    assert checked.returncode == 1 and "chmod 600" in checked.stderr and "secret" not in checked.stderr
