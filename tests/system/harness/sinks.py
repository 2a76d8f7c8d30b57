"""What the tests of sinks ask a gateway and do with it."""

from .build import SCALE
from .wait import wait_for

LONG = 60 * SCALE


def use(gateway, token, times=1):
    for _ in range(times):
        with gateway.connect(gateway.app.address, token=token) as tunnel:
            tunnel.send(b"abc")
            assert tunnel.recv_exactly(3) == b"abc"


def durable(gateway):
    (status,) = gateway.ctl_json("audit", "status")
    return int(status["durable_sequence"])


def sink(gateway, name="siem"):
    return next(s for s in gateway.ctl_json("sink", "list") if s["name"] == name)


def wait_forwarded(gateway, sequence):
    wait_for(lambda: int(sink(gateway)["forwarded_sequence"]) >= sequence, f"record {sequence} to be forwarded", LONG)
