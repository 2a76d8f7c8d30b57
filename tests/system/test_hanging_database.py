"""A PostgreSQL that takes connections and answers nothing: its process is stopped, or its disk hangs."""

import signal
import time

from harness.prepared import prepared  # noqa: F401

# What systemd gives a gateway to stop (deploy/usherd.service), in seconds.
STOPPED_WITHIN = 90


def test_a_gateway_stops_in_time_and_its_tunnels_are_on_record(private_cluster, prepared):
    gateway = prepared(database=private_cluster.url)
    with gateway.connect(gateway.app.address, token=gateway.sign_in("alice")) as tunnel:
        tunnel.send(b"x")
        assert tunnel.recv_exactly(1) == b"x"
        private_cluster.freeze()
        try:
            began = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(2 * STOPPED_WITHIN)
            assert time.monotonic() - began < STOPPED_WITHIN
        finally:
            private_cluster.thaw()
    gateway.start()
    record = gateway.wait_closed(lambda r: r["app"] == "demo")
    assert record["close_reason"] == "SHUTDOWN"
