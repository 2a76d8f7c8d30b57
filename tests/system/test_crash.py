"""kill -9 with accesses open: the next start closes them as GATEWAY_CRASHED with figures that are not invented, ships everything, and
goes on with the same dense sequence. And what is left of a journal whose last write was cut short."""

import os
import threading

import pytest

from harness.apps import SinkApp, SourceApp
from harness.build import BIN, SCALE
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for

LONG = 60 * SCALE
MIB = 1 << 20


def number(record, name):
    return int(record.get(name, 0))


def wait_shipped(gateway):
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)


def restart(gateway):
    gateway.kill()
    gateway.start()
    wait_shipped(gateway)


class Pump:
    """Sends and receives through a tunnel as fast as it goes, and counts, until the gateway is gone."""

    def __init__(self, tunnel, size=16 * 1024):
        self.tunnel, self.block = tunnel, b"p" * size
        self.sent = self.received = 0
        self.threads = [threading.Thread(target=self.run, daemon=True)]
        self.threads[0].start()

    def run(self):
        try:
            while True:
                self.tunnel.send(self.block)
                self.sent += len(self.block)
        except OSError:
            pass

    def join(self):
        self.threads[0].join(LONG)
        assert not self.threads[0].is_alive()


def test_open_accesses_are_closed_with_what_is_known(gateway):
    token = gateway.sign_in("alice")
    with SinkApp() as sink, SourceApp(1 << 40) as source:
        gateway.allow("sink", sink.address)
        gateway.allow("source", source.address)
        quiet = [gateway.connect(gateway.app.address, token=token) for _ in range(20)]
        up = gateway.connect(sink.address, token=token)
        down = gateway.connect(source.address, token=token)
        assert {t.status for t in (*quiet, up, down)} == {200}
        done = gateway.connect(gateway.app.address, token=token)
        done.send(b"finished")
        assert done.sock.recv(8) == b"finished"
        done.half_close()
        assert done.recv_all() == b""
        finished = gateway.wait_record(lambda r: r.get("app") == "demo" and r["event"] == "CLOSED")

        pump = Pump(up)
        received = 0
        # Past two PROGRESS records of 16 MiB each, so that there is something to go by.
        while received < 40 * MIB or pump.sent < 40 * MIB:
            received += len(down.sock.recv(1 << 16))
        gateway.kill()
        pump.join()
        try:
            while chunk := down.sock.recv(1 << 16):
                received += len(chunk)
        except OSError:
            pass
        wait_for(lambda: sink.connections[0].ended and source.connections[0].ended, "the apps' ends")
        arrived = sink.connections[0].received
    gateway.start()
    wait_shipped(gateway)

    rows = gateway.records()
    crashed = [r for r in rows if r.get("close_reason") == "GATEWAY_CRASHED"]
    assert len(crashed) == 22
    for record in crashed:
        assert record["event"] == "CLOSED" and record["verdict"] == "ALLOWED" and record["bytes_uncertain"] is True
        assert record["username"] == "alice" and record["closed_at"] >= record["opened_at"] and number(record, "duration_us") >= 0
    by_app = {r["app"]: r for r in crashed if r["app"] != "demo"}
    # Never more than arrived, and at most 16 MiB (or 5 s) behind, and what a worker moves before it looks.
    assert arrived - 17 * MIB <= number(by_app["sink"], "bytes_up") <= arrived
    assert received - 17 * MIB <= number(by_app["source"], "bytes_down")
    assert number(by_app["source"], "bytes_down") <= received + 4 * MIB  # what was in the client's own buffers died with the connection
    # What was over before is as it was.
    assert finished in rows
    gateway.assert_dense()
    assert any(e.get("system", {}).get("event") == "RECOVERED" for e in gateway.events())


def test_every_access_that_was_answered_is_on_record_after_each_of_many_crashes(gateway):
    token = gateway.sign_in("alice")
    answered = 0
    for _ in range(5):
        over = threading.Event()
        counts = []

        def client():
            mine = 0
            try:
                while not over.is_set():
                    with gateway.connect(gateway.app.address, token=token) as tunnel:
                        if tunnel.status != 200:
                            break
                        mine += 1
                        tunnel.send(b"x")
                        tunnel.sock.recv(1)
            except OSError:
                pass
            counts.append(mine)

        threads = [threading.Thread(target=client) for _ in range(8)]
        seen = len(gateway.app.connections)
        for thread in threads:
            thread.start()
        wait_for(lambda: len(gateway.app.connections) > seen + 50, "a load")
        gateway.kill()
        over.set()
        for thread in threads:
            thread.join(LONG)
        answered += sum(counts)
        gateway.start()
    wait_shipped(gateway)
    rows = [r for r in gateway.records() if r.get("app") == "demo"]
    assert all(r["event"] == "CLOSED" for r in rows)
    assert len({r["access_id"] for r in rows}) == len(rows) >= answered
    # Whatever reached the app is on record. (A connection without a byte may have none: the app is dialled while the record is written.)
    assert len(rows) >= len([c for c in gateway.app.connections if c.received > 0])
    gateway.assert_dense()


def test_a_session_outlives_the_crash(gateway):
    token = gateway.sign_in("alice")
    restart(gateway)
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200


def test_a_crash_during_the_recovery_is_no_different(gateway):
    token = gateway.sign_in("alice")
    tunnels = [gateway.connect(gateway.app.address, token=token) for _ in range(50)]
    assert {t.status for t in tunnels} == {200}
    gateway.kill()
    for _ in range(5):
        gateway.start(wait_ready=False)
        gateway.kill()
    gateway.start()
    wait_shipped(gateway)
    rows = gateway.records('close_reason = "GATEWAY_CRASHED"')
    assert len(rows) == 50 and len({r["access_id"] for r in rows}) == 50
    gateway.assert_dense()


# --- the journal's end -------------------------------------------------------------------------------------------------------


def newest_segment(gateway):
    return max((gateway.data_dir / "journal").glob("0*.usj"))


def end_of_records(content):
    return len(content.rstrip(b"\0"))


def lose(path, count):
    """The last `count` bytes that were written never reached the disk: zeros, as in a segment that is preallocated."""
    content = bytearray(path.read_bytes())
    end = end_of_records(content)
    content[end - count : end] = bytes(count)
    path.write_bytes(content)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_a_last_write_that_was_cut_short_is_not_counted(gateway, count):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
    gateway.wait_record(lambda r: r["event"] == "CLOSED")
    wait_shipped(gateway)
    before = gateway.events()
    gateway.kill()
    # One more event, which the kill then cuts short.
    gateway.start()
    gateway.kill()
    lose(newest_segment(gateway), count)
    gateway.start()
    wait_shipped(gateway)
    assert gateway.events()[: len(before)] == before
    gateway.assert_dense()
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200


def refused_start(gateway):
    gateway.start(wait_ready=False)
    return gateway.wait(), gateway.log().splitlines()[-1]


@pytest.mark.parametrize("place", ["in the middle", "in the last record"])
def test_a_byte_that_changed_is_damage_and_nothing_is_thrown_away(gateway, place):
    token = gateway.sign_in("alice")
    for _ in range(3):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            assert tunnel.status == 200
    gateway.kill()
    path = newest_segment(gateway)
    good = path.read_bytes()
    bad = bytearray(good)
    at = end_of_records(good) // 2 if place == "in the middle" else end_of_records(good) - 12
    bad[at] ^= 0x10
    path.write_bytes(bad)
    code, line = refused_start(gateway)
    assert code == 1 and line.startswith("usherd: journal: ") and path.name in line
    assert path.read_bytes() == bytes(bad)
    path.write_bytes(good)
    gateway.start()
    wait_shipped(gateway)
    gateway.assert_dense()


def test_a_journal_without_its_segments_is_refused(gateway):
    gateway.kill()
    path = newest_segment(gateway)
    moved = gateway.data_dir / "elsewhere"
    os.rename(path, moved)
    code, line = refused_start(gateway)
    assert code == 1 and line.startswith("usherd: journal: ")
    os.rename(moved, path)
    gateway.start()
    gateway.assert_dense()
