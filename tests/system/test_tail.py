"""The stream: every durable event once and in order, however slow the reader is."""

import collections
import json
import signal
import subprocess

from harness.build import BIN, size
from harness.wait import wait_for


def sequence(event):
    return int(event["sequence"])


def tail(gateway, *options, **more):
    return subprocess.Popen(
        [BIN / "usherctl", "--socket", gateway.data_dir / "control.sock", "audit", "tail", "-o", "json", *options],
        stdout=subprocess.PIPE, text=True, **more,
    )


def make_accesses(gateway, echo, token, count):
    for _ in range(count):
        with gateway.connect(echo.address, token) as tunnel:
            assert tunnel.status == 200
            tunnel.half_close()
            tunnel.recv_all()


def test_since_after_and_filter(gateway, echo):
    make_accesses(gateway, echo, gateway.sign_in("alice"), 5)
    gateway.wait_closed()
    everything = gateway.ctl_json("audit", "tail", "--since", "1h")
    assert [sequence(e) for e in everything] == list(range(1, len(everything) + 1))
    middle = everything[len(everything) // 2]
    rest = gateway.ctl_json("audit", "tail", "--after", middle["cursor"])
    expected = [sequence(e) for e in everything if sequence(e) > sequence(middle)]
    # Behind them the end of the first tail, and the start of this one.
    assert [sequence(e) for e in rest][: len(expected)] == expected
    assert rest[-1]["admin"]["action"] == "audit.tail" and len(rest) <= len(expected) + 2
    only = gateway.ctl_json("audit", "tail", "--since", "1h", "--filter", 'app = "demo" AND event = CLOSED')
    assert only and all(e["access"]["event"] == "CLOSED" for e in only)
    bad = gateway.ctl("audit", "tail", "--filter", "ap = 1", check=False)
    assert bad.returncode != 0 and "ap" in bad.stderr
    bad = gateway.ctl("audit", "tail", "--after", "nonsense", check=False)
    assert bad.returncode != 0 and "cursor" in bad.stderr


def test_a_reader_that_stops_reading_loses_nothing_and_costs_little(gateway_factory, echo):
    gateway = gateway_factory(config={"journal": {"segment_size": "64KiB"}}).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    token = gateway.sign_in("alice")
    reader = tail(gateway, "--follow", "--since", "1h")
    try:
        first = sequence(json.loads(reader.stdout.readline()))
        assert first == 1
        # Nobody reads now, while segments fill, are shipped and go.
        make_accesses(gateway, echo, token, size(3000) // 2)
        gateway.wait_closed()
        last = int(status(gateway)["durable_sequence"])
        seen = [first]
        while seen[-1] < last:
            seen.append(sequence(json.loads(reader.stdout.readline())))
        assert seen == list(range(1, len(seen) + 1))
        make_accesses(gateway, echo, token, 1)
        assert sequence(json.loads(reader.stdout.readline())) == seen[-1] + 1, "it goes on live"
    finally:
        reader.kill()
        reader.wait()


def status(gateway):
    return gateway.ctl_json("audit", "status")[0]


def test_many_readers_see_the_same(gateway, echo):
    token = gateway.sign_in("alice")
    readers = [tail(gateway, "--follow", "--since", "1h") for _ in range(8)]
    try:
        make_accesses(gateway, echo, token, 50)
        last = wait_for(lambda: int(status(gateway)["durable_sequence"]), "events")
        for reader in readers:
            seen = []
            while not seen or seen[-1] < last:
                seen.append(sequence(json.loads(reader.stdout.readline())))
            assert seen == list(range(1, len(seen) + 1))
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()


def test_the_stores_rows_are_the_streams_last_events(gateway_factory, database, echo):
    gateway = gateway_factory(database).start()
    gateway.account("alice")
    gateway.allow("demo", echo.address)
    make_accesses(gateway, echo, gateway.sign_in("alice"), 20)
    gateway.connect(echo.address).close()
    # What is durable is in the stream at once, and in the store when it has been shipped.
    wait_for(lambda: events(gateway) == {"CLOSED": 20, "DENIED": 1}, "twenty closed records and a denied one")
    latest = {}
    for event in gateway.ctl_json("audit", "tail", "--since", "1h"):
        if "access" in event:
            latest[event["access"]["access_id"]] = (event["access"]["event"], sequence(event))
    rows = {r["access_id"]: (r["event"], int(r["sequence"])) for r in gateway.records()}
    assert rows == latest


def events(gateway):
    return collections.Counter(r["event"] for r in gateway.records())


def test_a_reader_that_stalls_is_cut_off_and_goes_on_by_itself(gateway_factory):
    gateway = gateway_factory(config={"timeouts": {"tail": "1s"}}).start()
    reader = tail(gateway, "--follow", "--since", "1h", stderr=subprocess.PIPE)
    try:
        seen = [sequence(json.loads(reader.stdout.readline()))]
        wait_for(lambda: gateway.metric("usher_audit_tail_subscribers") == 1, "the subscriber")
        reader.send_signal(signal.SIGSTOP)
        # More than what sockets and flow control hold: each record says 8 KB.
        hosts = [[f"{'h' * 60}.{'x' * 50}-{n}-{m}.example:443" for m in range(60)] for n in range(80)]
        gateway.apply("---\n".join(f"kind: app\nname: app-{n}\ndestinations: {json.dumps(each)}\n" for n, each in enumerate(hosts)))
        wait_for(lambda: gateway.metric("usher_audit_tails_cut_total") == 1, "the stalled reader to be cut off")
        wait_for(lambda: gateway.metric("usher_audit_tail_subscribers") == 0, "nothing to be left of it")
        reader.send_signal(signal.SIGCONT)
        last = int(status(gateway)["durable_sequence"])
        while seen[-1] < last:
            seen.append(sequence(json.loads(reader.stdout.readline())))
        assert seen == list(range(1, len(seen) + 1))
        assert gateway.metric("usher_audit_tail_subscribers") == 1
    finally:
        reader.kill()
        _, told = reader.communicate()
    assert "trying again" in told
