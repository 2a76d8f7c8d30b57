"""usherctl journal: what a journal's files hold, beside a gateway and without one; and the way out when a gateway refuses them."""

import json
import shutil
import subprocess

from harness.build import BIN
from harness.prepared import gateway, prepared  # noqa: F401
from harness.wait import wait_for


def journal(*arguments):
    """Without any socket or gateway in its environment."""
    return subprocess.run([BIN / "usherctl", "journal", *arguments], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, timeout=120)


def inspected(directory):
    done = journal("inspect", "-o", "json", directory)
    return done.returncode, json.loads(done.stdout)


def make_accesses(gateway, count):
    token = gateway.sign_in("alice")
    for _ in range(count):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            assert tunnel.status == 200


def segment_of(gateway):
    return sorted((gateway.data_dir / "journal").glob("*.usj"))[0]


def test_beside_a_running_gateway_and_on_a_copy(gateway):
    make_accesses(gateway, 3)
    gateway.wait_closed()
    directory = gateway.data_dir / "journal"
    code, beside = inspected(directory)
    assert code == 0 and not beside["corrupt"] and beside["findings"] == []
    counts = {event["event"]: int(event["records"]) for event in beside["events"]}
    assert counts["OPENED"] == 3 and counts["ADMIN"] >= 1 and counts["SYSTEM"] >= 1
    assert beside["gateway_id"] in gateway.log() and beside["first_sequence"] == "1"

    copy = gateway.data_dir / "copy"
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("lock"))
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    done = journal("inspect", copy)
    assert done.returncode == 0 and "in order" in done.stdout and "OPENED 3" in done.stdout
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before

    done = journal("inspect", "--events", copy)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert sum("access" in event and event["access"]["event"] == "OPENED" for event in events) == 3
    assert any("alice" in json.dumps(event) for event in events)


def test_wrong_usage(gateway):
    for arguments in (["inspect"], ["inspect", gateway.data_dir], ["inspect", "/nowhere"], ["repair", gateway.data_dir], ["inspect", "-o", "yaml", "x"]):
        done = journal(*arguments)
        assert done.returncode == 2 and done.stdout == "", (arguments, done)


def test_a_damaged_journal_is_located_refused_repaired_and_its_loss_is_on_the_record(gateway):
    make_accesses(gateway, 3)
    wait_for(gateway.shipped, "everything in the store")
    make_accesses(gateway, 1)
    gateway.kill()
    directory = gateway.data_dir / "journal"
    _, whole = inspected(directory)
    path = segment_of(gateway)
    bad = bytearray(path.read_bytes())
    at = int(whole["segments"][0]["end_offset"]) - 20  # the last record
    bad[at] ^= 1
    path.write_bytes(bad)

    code, seen = inspected(directory)
    finding = seen["findings"][0]
    assert code == 1 and seen["corrupt"] and finding["kind"] == "CORRUPT" and finding["file"] == path.name
    assert int(finding["offset"]) <= at < int(finding["end_offset"])
    assert finding["first_missing"] == whole["last_sequence"]
    gateway.start(wait_ready=False)
    assert gateway.wait() == 1 and "usherctl journal repair" in gateway.log()

    plan = journal("repair", directory)
    assert plan.returncode == 1 and f"record {whole['last_sequence']} lost" in plan.stdout and "--accept-loss" in plan.stderr
    assert path.read_bytes() == bytes(bad)
    done = journal("repair", "--accept-loss", directory)
    assert done.returncode == 0 and "repaired" in done.stdout, done
    assert (directory / (path.name + ".damaged-1")).read_bytes() == bytes(bad)
    gateway.start()
    busy = journal("repair", directory)
    assert busy.returncode == 1 and "in use" in busy.stderr
    wait_for(gateway.shipped, "everything in the store")
    told = gateway.ctl("audit", "tail", "--since", "1h").stdout
    assert "CORRUPTION" in told and path.name in told
    gateway.assert_dense()
