"""Floods, and what they cost everybody else: bounded for every build. The long form with figures is tests/bench/floods."""

import pytest
from harness.build import SANITIZER, SCALE, size
from harness.floods import FLOODS, Attackers, Bystander, SlowClients, percentile, resident_kib
from harness.h2_client import H2Client
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for

DEADLINE = 3
SLOW_CONNECTIONS = size(320)
# What one slow client may cost, its TLS state included, and what the allocator may hold on to beside it (docs/operations.md).
SLOW_KIB_EACH, FLOOD_KIB = 96, 48 * 1024


@pytest.fixture
def gateway(prepared):
    return prepared(config={"timeouts": {"handshake": f"{DEADLINE}s", "header": f"{DEADLINE}s"}})


@pytest.fixture
def bystander(gateway):
    with H2Client(gateway, source="127.0.0.2") as client:
        made = Bystander(gateway, client, gateway.sign_in("alice"))
        made.set_up()
        yield made


def check_others(quiet, busy):
    """Nobody waits for the flood. The cores are shared with the attacker and with other tests here, so this bound is for what goes
    wrong altogether; the ratio is measured by tests/bench/floods."""
    assert len(busy) > 10 / SCALE
    assert percentile(busy, 0.5) <= 1.2 * percentile(quiet, 0.5) + 0.25 * SCALE


@pytest.mark.parametrize("mode", ["headers", "body", "read", "range"])
def test_slow_clients_are_closed_by_deadlines_and_cost_others_nothing(gateway, bystander, mode):
    quiet = bystander.measure(50)
    descriptors, memory = gateway.descriptors(), resident_kib(gateway)
    most = []
    with SlowClients(mode, gateway, SLOW_CONNECTIONS, 30):
        # While the attacker still holds its ends the gateway closes them all: only the bystander's connection is left.
        busy = bystander.measure(
            until=lambda: most.append(resident_kib(gateway))
            or (gateway.metric("usher_connections_total") >= SLOW_CONNECTIONS and gateway.metric("usher_connections_open") <= 1)
        )
    check_others(quiet, busy)
    if not SANITIZER:
        assert max(most) - memory <= SLOW_KIB_EACH * SLOW_CONNECTIONS + FLOOD_KIB / 4
    wait_for(lambda: gateway.descriptors() <= descriptors + 1, "no descriptor to be left over")


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_frames_costs_its_own_connection_only(gateway, bystander, kind):
    quiet = bystander.measure(50)
    descriptors, memory = gateway.descriptors(), resident_kib(gateway)
    most = [memory]
    with Attackers(kind, gateway, frames=size(20_000), connections=4, rounds=2) as attackers:
        busy = bystander.measure(until=lambda: most.append(resident_kib(gateway)) or attackers.process.poll() is not None)
        sent = attackers.wait(60 * SCALE)
    assert len(sent) == 8
    check_others(quiet, busy)
    if not SANITIZER:
        assert max(most) - memory <= FLOOD_KIB
    wait_for(lambda: gateway.metric("usher_connections_open") == 1, "the attackers to be gone")
    wait_for(lambda: gateway.descriptors() <= descriptors + 1, "no descriptor to be left over")
    wait_for(lambda: any(r["verdict"] == "DENIED" for r in gateway.records()), "the flood on record")
