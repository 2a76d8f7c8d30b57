"""A disk of 16 MiB that fills up at random moments of a mixed load and gets room again (ADVERSARIES K5): what has no room for its record
is refused, what is open ends on record, and all goes on without a restart."""

import os
import random
import subprocess
import time
from pathlib import Path

from harness.build import SCALE
from harness.tunnel import Tunnel
from harness.tls_client import TlsClient
from harness.wait import wait_for

from .bench import Bench
from .kill import wait_answered
from .ledger import APP_FIRST, STALLED, Access

ROUNDS_A_GATEWAY = 5
BACK_WITHIN = 5


class SmallDisk:
    def __init__(self, folder, size="16m"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.filler = self.folder / "filler"
        self.size = size

    def __enter__(self):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0700", "tmpfs", self.folder], capture_output=True, text=True)
        if mounted.returncode != 0:
            raise PermissionError("cannot mount here: " + mounted.stderr.strip())
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=True)

    def fill(self, keep=0):
        """Takes all the room but `keep` bytes."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        room = os.statvfs(self.folder)
                        if room.f_bavail * room.f_frsize < keep + size or file.write(b"f" * size) < size:
                            break
                except OSError:
                    pass  # full, as wanted

    def free(self):
        self.filler.unlink(missing_ok=True)


def why_not(folder):
    """Why this machine cannot, or None."""
    try:
        with SmallDisk(Path(folder) / "probe"):
            return None
    except PermissionError as error:
        return str(error)


def admitted(bench):
    """One short access that is in the ledger; whether it got its 200."""
    access = Access(bench.addresses.take(), APP_FIRST, 10, 10)
    access.protocol = "http/1.1"
    bench.extra.append(access)
    try:
        tunnel = Tunnel(TlsClient(bench.gateway.tls_context(), bench.gateway.open_plain(), "localhost"), f"{access.address}:{bench.app.port}", token=bench.token)
    except (OSError, ConnectionError):
        return False
    with tunnel:
        access.status = tunnel.status
        if tunnel.status != 200:
            return False
        tunnel.send(access.header + b"0123456789")
        try:
            while data := tunnel.recv():
                access.received.add(len(data))
            tunnel.half_close()
            access.over("eof")
        except OSError:
            access.over("cut")
        return True


def campaign(directory, seed, rounds, longest=13, say=lambda text: None):
    rng = random.Random(f"disk {seed}")
    with SmallDisk(Path(directory) / "disk") as disk:
        bench = Bench(directory, seed, segment=rng.choice(["64KiB", "256KiB"]), workers=rng.choice([1, 2]),
                      config={"data_dir": str(disk.folder / "data")})  # fmt: skip
        bench.extra = []
        bench.slowest = 0.0
        try:
            bench.prepare()
            for number in range(rounds):
                bench.extra = []
                load = bench.load(http1=3, http2=1, pumps=1, holds=2)
                wait_answered(load, rng.randrange(0, 60))
                time.sleep(rng.uniform(0, 0.5))  # the moment, which the seed says
                disk.fill(keep=rng.choice([0, 0, 0, 4096, 100_000]))
                full_since = time.monotonic()
                stays = min(longest, rng.choice([0.3, 1.5, 13])) * SCALE
                while time.monotonic() - full_since < stays and not refuses(load):
                    time.sleep(0.05)
                if stays >= 10 and refuses(load):
                    # Whatever is open has to be closed within ten seconds, and a few for looking.
                    wait_for(lambda: not any_open(load), "what is open to be closed while the disk is full", timeout=20)
                disk.free()
                free_since = time.monotonic()
                wait_for(lambda: admitted(bench), "an access after there is room again", timeout=BACK_WITHIN)
                took = time.monotonic() - free_since
                bench.slowest = max(bench.slowest, took)
                load.stop()
                load.accesses += bench.extra
                bench.drain()
                result = bench.compare()
                refused = sum(1 for a in load.accesses if a.status == 503)
                say(f"seed {seed}, full {number + 1}: {result.answered} answered, {refused} refused, back in {took:.2f} s")
            bench.finish()
            return bench
        finally:
            disk.free()
            bench.close()


def refuses(load):
    """Whether somebody has been refused."""
    with load.lock:
        return any(a.status == 503 for a in load.accesses[-50:])


def any_open(load):
    """Those whose client has not seen an end; the client of one that stalls does not look for it."""
    with load.lock:
        return [a for a in load.accesses if a.status == 200 and a.end is None and a.ending != STALLED]
