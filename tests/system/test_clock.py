"""The wall clock is set while the gateway runs: it is on record, durations are those of the monotonic clock, and nothing ends by it."""

import datetime
import subprocess
from pathlib import Path

import pytest

from harness.build import SANITIZER, SCALE
from harness.prepared import PreparedGateway
from harness.wait import wait_for

HOUR, YEARS = 3600, 10 * 365 * 24 * 3600
SOURCE = Path(__file__).resolve().parents[1] / "faults" / "step_clock.c"


@pytest.fixture
def stepped(tmp_path):
    """A gateway, and set_clock(seconds): how far its wall clock is off from now on."""
    if SANITIZER:
        pytest.skip("a sanitizer wants to be loaded before what moves the clock")
    library, offset = tmp_path / "step_clock.so", tmp_path / "offset"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
    gateway = PreparedGateway(tmp_path / "gateway", env={"LD_PRELOAD": str(library), "USHER_CLOCK_OFFSET": str(offset)})

    def set_clock(seconds):
        draft = tmp_path / "draft"
        draft.write_text(str(seconds))
        draft.rename(offset)

    set_clock(0)
    yield gateway.prepare(), set_clock
    gateway.check()
    gateway.app.close()
    gateway.close()


def steps(gateway):
    """Details of the CLOCK_STEP records, in their order, from the whole stream."""
    (status,) = gateway.ctl_json("audit", "status")
    events = gateway.ctl_json("audit", "tail", "--after", f"{status['gateway_id']}:0")
    return [e["system"]["detail"] for e in events if e.get("system", {}).get("event") == "CLOCK_STEP"]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("seconds, what", [(HOUR, "forward by 3600."), (-HOUR, "back by 3600."), (YEARS, f"forward by {YEARS}."), (-YEARS, f"back by {YEARS}.")])
def test_a_step_is_on_record_and_nothing_ends_by_it(stepped, seconds, what):
    gateway, set_clock = stepped
    token = gateway.sign_in("alice")
    with gateway.connect(gateway.app.address, token=token) as live:
        live.send(b"before")
        assert live.recv_exactly(6) == b"before"
        set_clock(seconds)
        wait_for(lambda: steps(gateway), "the step to be on record")
        assert len(steps(gateway)) == 1
        # About it: the clocks are not read at one moment.
        assert steps(gateway)[0].startswith("the wall clock was set " + what.rsplit(" ", 1)[0]), steps(gateway)
        said = float(steps(gateway)[0].split(" by ")[1].split(" ")[0])
        assert abs(said - abs(seconds)) < 0.5
        live.send(b"after")
        assert live.recv_exactly(5) == b"after"
        live.half_close()
        assert live.recv_all() == b""
    row = gateway.wait_closed(lambda r: r.get("app") == "demo")
    assert row["close_reason"] == "CLIENT_CLOSED" and row["bytes_up"] == "11" and row["bytes_down"] == "11"
    assert 0 < int(row["duration_us"]) < 60_000_000 * SCALE
    assert (moment(row["closed_at"]) - moment(row["opened_at"])).total_seconds() == int(row["duration_us"]) / 1e6
    # The session goes on, and so does signing in.
    with gateway.connect(gateway.app.address, token=token) as tunnel:
        assert tunnel.status == 200
    with gateway.connect(gateway.app.address, token=gateway.sign_in("alice")) as tunnel:
        assert tunnel.status == 200
    assert len(steps(gateway)) == 1
