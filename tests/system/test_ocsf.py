"""Records as OCSF: what the schema requires is there, and it says what our own form of the record says."""

import json

from harness import ocsf
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for


def used(prepared):
    gateway = prepared()
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        tunnel.send(b"x" * 100)
        assert tunnel.recv_exactly(100)
        tunnel.half_close()
        assert tunnel.recv_all() == b""
    with gateway.connect("127.0.0.1:1", token=token) as refused:
        assert refused.status == 403
    status, _ = gateway.request("POST", "/.usher/v1/sessions", {"username": 'm\u2028"\\\n', "password": "not it at all"})
    assert status == 401
    gateway.wait_closed(lambda r: r["app"] == "demo")
    wait_for(gateway.shipped, "everything in the store")
    return gateway


def test_accesses_are_exported_as_network_activity(prepared):  # noqa: F811
    gateway = used(prepared)
    lines = gateway.ctl("audit", "export", "--format", "ocsf").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        ocsf.check(event)
        assert event["class_uid"] == 4001
    ours = [json.loads(line) for line in gateway.ctl("audit", "export").stdout.splitlines()]
    assert [e["metadata"]["correlation_uid"] for e in events] == [r["access_id"] for r in ours]
    closed = next(e for e in events if e["activity_id"] == 2)
    record = next(r for r in ours if r["access_id"] == closed["metadata"]["correlation_uid"])
    assert record["username"] == closed["actor"]["user"]["name"] == "alice"
    assert closed["traffic"] == {"bytes_out": 100, "bytes_in": 100, "bytes": 200}
    assert closed["metadata"]["sequence"] == int(record["sequence"])
    assert closed["unmapped"]["duration_us"] == int(record["duration_us"])
    assert closed["status_code"] == record["close_reason"]
    assert closed["dst_endpoint"]["port"] == record["destination_port"]
    denied = next(e for e in events if e["activity_id"] == 5)
    assert (denied["status_id"], denied["action_id"], denied["disposition_id"]) == (2, 2, 2)
    filtered = gateway.ctl("audit", "export", "--format", "ocsf", "--filter", "verdict = DENIED").stdout.splitlines()
    assert len(filtered) == sum(r["verdict"] == "DENIED" for r in ours)
    assert gateway.ctl("audit", "export", "--format", "xml", check=False).returncode == 2


def test_the_stream_has_each_kind_of_event(prepared):  # noqa: F811
    gateway = used(prepared)
    lines = gateway.ctl("audit", "tail", "--since", "1h", "-o", "ocsf").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        ocsf.check(event)
        assert 10**12 < event["metadata"]["logged_time"] < 10**13
    assert [e["metadata"]["sequence"] for e in events] == list(range(1, len(events) + 1))
    assert {e["class_uid"] for e in events} >= {3002, 4001, 6002, 6003}
    failed = next(e for e in events if e["class_uid"] == 3002 and e["status_id"] == 2)
    assert failed["activity_id"] == 1 and failed["status_code"]
    assert failed["user"]["name"] == 'm\\u{2028}"\\x5c\\x0a'  # as it is on record
    assert all("\u2028" not in line for line in lines)
    created = next(e for e in events if e.get("api", {}).get("operation") == "account.create")
    assert created["type_uid"] == 600301 and created["resources"][0]["name"].startswith("accounts/")
