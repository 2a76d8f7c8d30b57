"""A disk without room for the journal: nothing new is admitted, no app sees a byte of it, what is open ends with its record, and when
there is room again it goes on without a restart."""

import os
import resource
import subprocess
import time

import pytest

from harness.build import SCALE
from harness.prepared import PreparedGateway, prepared  # noqa: F401
from harness.wait import wait_for
from harness.wire import exchange

LONG = 60 * SCALE
SEGMENT = 64 * 1024


def number(record, name):
    return int(record.get(name, 0))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("cannot mount here: " + mounted.stderr.strip())
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def on_small_disk(tmp_path, small_disk):
    gateway = PreparedGateway(
        tmp_path / "gateway", config={"data_dir": str(small_disk / "data"), "journal": {"segment_size": "64KiB"}, "workers": 1}
    ).prepare()
    yield gateway
    fill(small_disk, 0)
    gateway.check()
    gateway.app.close()
    gateway.close()
    gateway.check()


def fill(disk, keep=None):
    """Takes all the room there is; 0 gives it back."""
    path = disk / "filler"
    if keep == 0:
        path.unlink(missing_ok=True)
        return
    with open(path, "ab", buffering=0) as filler:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    if filler.write(b"f" * size) < size:
                        break
            except OSError:
                pass


def short_access(gateway, token):
    """The status; with 200, three bytes went each way."""
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        if tunnel.status == 200:
            tunnel.send(b"abc")
            assert tunnel.recv_exactly(3) == b"abc"
            tunnel.half_close()
            assert tunnel.recv_all() == b""
        return tunnel.status


def until_refused(gateway, token):
    """Short accesses until one is refused; how many were not."""
    admitted = 0
    while (status := short_access(gateway, token)) == 200:
        admitted += 1
        assert admitted < 5000
    assert status == 503
    return admitted


def assert_kept(gateway, answered, uncertain=False):
    """Each access that got its 200 is there, once, and closed; with its bytes, or, where the journal may have ended for good
    before its last event, with the word that they are not known."""
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)
    rows = [r for r in gateway.records() if r.get("app") == "demo"]
    assert len({r["access_id"] for r in rows}) == len(rows)
    assert all(r["event"] == "CLOSED" for r in rows)
    relayed = [r for r in rows if number(r, "bytes_up") > 0 or (uncertain and r.get("bytes_uncertain"))]
    assert len(relayed) == answered
    gateway.assert_dense()


def test_nothing_is_admitted_without_room_for_its_record_and_it_goes_on_when_there_is(on_small_disk, small_disk):
    gateway = on_small_disk
    token = gateway.sign_in("alice")
    assert short_access(gateway, token) == 200
    live = gateway.connect(gateway.app.address, token=token)
    live.send(b"live")
    assert live.recv_exactly(4) == b"live"

    fill(small_disk)
    admitted = until_refused(gateway, token)
    wait_for(lambda: gateway.metric("usher_journal_healthy") == 0, "the journal to say so")
    assert gateway.ready() == 503
    seen, received = len(gateway.app.connections), gateway.app.received
    with gateway.connect(gateway.app.address, token=token) as refused:
        assert refused.status == 503 and refused.headers["proxy-status"].startswith("usher; error=")
    # Bytes that come with the CONNECT do not get past the record either.
    target = gateway.app.address.encode()
    connect = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n" % (target, target, token.encode())
    for _ in range(20):
        with gateway.open_raw() as sock:
            got = exchange(sock, connect + b"early bytes", timeout=LONG)
            assert [a.status for a in got.answers] == [503]
    assert gateway.app.received == received and len(gateway.app.connections) == seen
    # Signing in has to be on record too.
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": "correct horse battery"})[0] == 503

    # What is open is closed when the journal has been unable to take records for ten seconds.
    live.sock.settimeout(LONG)
    started = time.monotonic()
    try:
        assert live.recv() == b""
    except OSError:
        pass
    assert time.monotonic() - started < 20 * SCALE

    fill(small_disk, 0)
    started = time.monotonic()
    wait_for(lambda: gateway.metric("usher_journal_healthy") == 1, "the journal to be well again")
    wait_for(lambda: short_access(gateway, token) == 200, "an access")
    assert time.monotonic() - started < 6 * SCALE
    assert gateway.ready() == 200
    assert_kept(gateway, admitted + 3)
    (cut,) = gateway.records('close_reason = "JOURNAL_FAILED" AND bytes_up > 0')
    assert number(cut, "bytes_up") == number(cut, "bytes_down") == 4 and cut["event"] == "CLOSED"


def test_a_stop_on_a_full_disk_keeps_what_was_promised(on_small_disk, small_disk):
    gateway = on_small_disk
    token = gateway.sign_in("alice")
    fill(small_disk)
    admitted = until_refused(gateway, token)
    assert gateway.stop() == 0
    fill(small_disk, 0)
    gateway.start()
    assert_kept(gateway, admitted)


def test_a_kill_on_a_full_disk_keeps_what_was_promised(on_small_disk, small_disk):
    gateway = on_small_disk
    token = gateway.sign_in("alice")
    fill(small_disk)
    admitted = until_refused(gateway, token)
    gateway.kill()
    # There is no start without room for the reserve, and that start harms nothing.
    segments = {p.name for p in (gateway.data_dir / "journal").glob("0*.usj")}
    gateway.start(wait_ready=False)
    if gateway.wait(timeout=30) != 0:
        assert gateway.log().splitlines()[-1].startswith("usherd: ")
    assert segments <= {p.name for p in (gateway.data_dir / "journal").glob("0*.usj")}
    fill(small_disk, 0)
    gateway.start()
    assert_kept(gateway, admitted)


def test_it_does_not_start_on_a_disk_that_is_too_small(tmp_path, small_disk):
    gateway = PreparedGateway(tmp_path / "gateway", config={"data_dir": str(small_disk / "data"), "journal": {"segment_size": "16MiB"}})
    gateway.app.close()
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1
    line = gateway.log().splitlines()[-1]
    assert line.startswith("usherd: journal: ") and str(16 << 20) in line
    # Nothing is left that fills the disk.
    left = sum(p.stat().st_size for p in (small_disk / "data").rglob("*") if p.is_file())
    assert left < 1 << 20
    gateway.config["journal"] = {"segment_size": "64KiB"}
    gateway.start()
    assert gateway.stop() == 0


def test_a_limit_of_the_file_size_is_like_a_full_disk(prepared):
    """RLIMIT_FSIZE below what a new segment needs, while it runs."""
    gateway = prepared(config={"journal": {"segment_size": "64KiB"}, "workers": 1})
    token = gateway.sign_in("alice")
    assert short_access(gateway, token) == 200
    unlimited = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (1024, unlimited[1]))
    admitted, status = 0, 200
    while (status := short_access(gateway, token)) == 200:
        admitted += 1
        assert admitted < 5000
    assert status == 503
    assert gateway.process.poll() is None
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, unlimited)
    # A write that failed twice ends the journal for good; one for which there was no room goes on. Either way nothing is lost.
    gateway.stop()
    gateway.start()
    assert short_access(gateway, token) == 200
    assert_kept(gateway, admitted + 2, uncertain=True)
