"""What is measured, what docs/metrics.md says of it, and what the dashboard asks for are the same."""

import json
import re
from pathlib import Path

import pytest
from harness.prepared import gateway, prepared  # noqa: F401
from harness.rsyslog import Authority
from harness.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\busher_[a-z0-9_]+")


@pytest.fixture
def stirred(prepared, tmp_path):
    """A gateway with a sink that has refused a tunnel and a connection: a metric by reason is there from its first reason on."""
    sink = {"name": "siem", "kind": "syslog", "address": "127.0.0.1:1", "ca": str(Authority(tmp_path / "ca").certificate)}
    gateway = prepared(config={"limits": {"connections_per_address": 4}, "sinks": [sink]})
    with gateway.connect("127.0.0.1:1", gateway.sign_in("alice")) as refused:
        assert refused.status == 403
    held = [gateway.open_plain() for _ in range(6)]
    wait_for(lambda: gateway.metric("usher_limits_reached_total") > 0, "a connection beyond the limit")
    for sock in held:
        sock.close()
    return gateway


def served(gateway):
    return {line.split(" ")[2] for line in gateway.metrics().splitlines() if line.startswith("# TYPE usher_")}


def test_each_metric_is_documented_and_the_other_way_round(stirred):
    documented = set(NAME.findall((ROOT / "docs" / "metrics.md").read_text()))
    assert served(stirred) == documented


def test_the_dashboard_asks_for_what_is_served(stirred):
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"] for name in NAME.findall(target["expr"])}
    assert {name.removesuffix("_bucket") for name in asked} == served(stirred)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_figures_move_with_what_happens(gateway):
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token) as tunnel:
        tunnel.send(b"x" * 100)
        assert tunnel.recv_exactly(100)
        assert gateway.metric("usher_tunnels_open") == 1
        tunnel.half_close()
        tunnel.recv_all()
    gateway.wait_closed(lambda r: r["app"] == "demo")
    assert gateway.metric("usher_tunnels_admitted_total") == 1
    assert gateway.metric("usher_tunnel_setup_seconds_count") == 1
    assert gateway.metric('usher_bytes_total{direction="up"}') == 100
    assert gateway.metric('usher_bytes_total{direction="down"}') == 100
    assert gateway.metric('usher_sign_ins_total{outcome="ok"}') == 1
    assert gateway.metric("usher_journal_durable_sequence") >= gateway.metric("usher_journal_shipped_sequence") > 0


def test_threads_say_what_they_are_for(stirred):
    tasks = Path(f"/proc/{stirred.process.pid}/task")
    names = set()
    for task in tasks.iterdir():
        try:
            names.add((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue  # one of gRPC's, that has ended
    documented = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.M))
    own = {name for name in names if name in documented}
    assert own >= {"worker-0", "journal", "shipper", "sink", "retention", "hashing", "control", "tail", "metrics", "maintenance", "revocations", "revoke-watch"}
