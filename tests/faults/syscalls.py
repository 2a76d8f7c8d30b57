"""Each file system call of a start with recovery, of appends, rolls, shipping and pruning, made to fail, one a run, by strace
(ADVERSARIES K3, K8). A clean run says which calls there are; each run starts from a copy of the same folder, in which a crash has left
accesses open."""

import collections
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from harness.build import SANITIZER, SCALE

from .bench import Bench
from .kill import wait_answered

SLOW = 0.3

# What the kernel may answer. A write of 0 bytes stands for a file system that does not keep its word.
FAULTS = {
    "openat": ["error=EIO", "error=ENOSPC", "error=EINTR", "error=EMFILE"],
    "pwrite64": ["error=EIO", "error=ENOSPC", "error=EINTR", "retval=0", "delay_enter=2000000", "short"],
    "pread64": ["error=EIO", "error=EINTR"],
    "fdatasync": ["error=EIO", "error=ENOSPC", "error=EINTR", "delay_enter=2000000", "delay_enter=5000000"],
    "fsync": ["error=EIO", "delay_enter=2000000"],
    "rename": ["error=EIO", "error=ENOSPC"],
    "unlink": ["error=EIO", "error=ENOSPC"],
    "fallocate": ["error=EIO", "error=ENOSPC", "error=EINTR", "error=EOPNOTSUPP"],
    "ftruncate": ["error=EIO", "error=ENOSPC", "error=EINTR"],
    "mkdir": ["error=EIO", "error=ENOSPC"],
    "flock": ["error=EINTR", "error=ENOLCK"],
    "newfstatat": ["error=EIO"],
    "getdents64": ["error=EIO"],
    "sync_file_range": ["error=EIO"],
    "chmod": ["error=EIO"],
    "fchmod": ["error=EIO"],
    "write": ["error=EIO", "error=ENOSPC"],
    "read": ["error=EIO"],
}


def why_not():
    """Why this machine cannot, or None."""
    try:
        result = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no strace"
    return None if result.returncode == 0 else f"strace may not trace here: {result.stderr.strip()}"


class Template:
    """A gateway's folder as a crash left it: some segments of journal, not all shipped, some accesses open."""

    def __init__(self, directory, seed):
        self.directory, self.seed = Path(directory), seed
        bench = Bench(self.directory / "template", seed)
        bench.prepare()
        load = bench.load(http1=4, http2=1, pumps=1, holds=4)
        wait_answered(load, 260)
        bench.gateway.kill()
        self.killed_at = time.monotonic()
        load.stop()
        bench.app.wait_over()
        self.bench, self.load, self.served = bench, load, bench.app.entries()
        bench.app.close()
        journal = bench.gateway.data_dir / "journal"
        self.last = int(max(journal.glob("0*.usj")).stem)
        self.runs = 0

    def copy(self, name):
        """A bench over a copy; nothing runs yet."""
        # A short name, for a Unix socket is to be in it.
        self.runs += 1
        folder = self.directory / f"r{self.runs}"
        shutil.copytree(self.bench.gateway.data_dir, folder / "data", symlinks=True, ignore=lambda *_: ["control.sock"])
        config = {**self.bench.gateway.config, "data_dir": str(folder / "data")}
        made = Bench(folder, f"{self.seed} {name}", config=config, port=self.bench.app.port)
        made.token, made.gateway_id, made.addresses = self.bench.token, self.bench.gateway_id, self.bench.addresses
        made.loads, made.earlier = [self.load], self.served
        return made

    def paths(self, bench, below=""):
        """All that the gateway may touch in its folder: strace takes no patterns, so the segments that may come are counted out."""
        data = bench.gateway.data_dir
        found = [data, *data.rglob("*")]
        journal = data / "journal"
        found += [journal / n for n in ("reserved.usj", "reserved.tmp", "gateway_id", "gateway_id.tmp", "lock")]
        found += [data / n for n in ("usher.db-wal", "usher.db-shm", "usher.db-journal", "control.sock")]
        found += [journal / f"{self.last + n:020d}.usj" for n in range(1500)]
        return [path for path in dict.fromkeys(map(str, found)) if path.startswith(str(data / below))]


def tracer(template, bench, calls, inject=None, below=""):
    command = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(bench.gateway.directory / "trace"), "-e", "trace=" + calls]
    if inject:
        command += ["-e", "inject=" + inject]
    for path in template.paths(bench, below):
        command += ["-P", path]
    return command


def started(gateway):
    """True when it serves; False when it ended by itself."""
    deadline = time.monotonic() + 60 * SCALE
    gateway.notify.settimeout(0.05)
    while time.monotonic() < deadline:
        try:
            if "READY=1" in gateway.notify.recv(4096).decode().splitlines():
                return True
        except TimeoutError:
            if gateway.process.poll() is not None:
                return False
    raise AssertionError("it neither serves nor ends:\n" + gateway.log())


def work(bench):
    """Some accesses, on record or refused; then the seed says how it ends."""
    load = bench.load(http1=3, http2=1, pumps=1, holds=2)
    deadline = time.monotonic() + 1.5 * SCALE
    while load.answered < 120 and time.monotonic() < deadline and bench.gateway.process.poll() is None:
        time.sleep(0.01)
    return load


def enumerate_calls(template):
    """How often each call comes in the thread that makes most of it: a Counter."""
    bench = template.copy("clean")
    try:
        known = ",".join("?" + call for call in FAULTS)
        bench.gateway.under = tracer(template, bench, known)
        bench.gateway.start(wait_ready=False)
        assert started(bench.gateway), bench.gateway.log()
        load = work(bench)
        load.stop()
        assert bench.gateway.stop() == 0
        counts = collections.Counter()
        for line in (bench.gateway.directory / "trace").read_text(errors="replace").splitlines():
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                counts[match.groups()] += 1
        calls = collections.Counter()
        for (_, call), count in counts.items():
            calls[call] = max(calls[call], count)
        return calls
    finally:
        bench.close()
        shutil.rmtree(bench.gateway.directory, ignore_errors=True)


def plan(calls, seed):
    """Every (call, fault, which one), the kinds in turns, so that a first part of it has some of each."""
    rng = random.Random(f"syscalls {seed}")
    queues = []
    for call, count in sorted(calls.items()):
        for fault in FAULTS[call]:
            if fault == "short" and SANITIZER:
                continue  # the sanitizers want to be loaded first
            numbers = list(range(1, count + 1))
            rng.shuffle(numbers)
            queues.append([(call, fault, n) for n in numbers])
    rng.shuffle(queues)
    turns = []
    while any(queues):
        turns += [queue.pop() for queue in queues if queue]
    return turns


def shim(directory):
    """The library for short writes."""
    library = Path(directory) / "short_write.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).parent / "short_write.c"], check=True)
    return library


def one(template, call, fault, when):
    """One fault. What became of the gateway: "served", "refused to start", "stopped"."""
    name = f"{call}-{fault.replace('=', '-')}-{when}"
    rng = random.Random(f"{template.seed} {name}")
    bench = template.copy(name)
    gateway = bench.gateway
    try:
        if fault == "short":
            # Every second one of the journal's own: the database writes more, and has seen such writes before.
            below = gateway.data_dir / "journal" if when % 2 == 0 else gateway.data_dir
            gateway.env = {**gateway.env, "LD_PRELOAD": str(shim(template.directory)), "USHER_SHORT_BELOW": str(below),
                           "USHER_SHORT_WHEN": str(when // 2 if when % 2 == 0 else when)}  # fmt: skip
        else:
            gateway.under = tracer(template, bench, call, f"{call}:{fault}:when={when}")
        gateway.start(wait_ready=False)
        served = started(gateway)
        killed_at, outcome = None, "refused to start"
        if served:
            load = work(bench)
            outcome = "stopped" if gateway.process.poll() is not None else "served"
            if outcome == "served" and rng.random() < 0.5:
                gateway.kill()
            killed_at = time.monotonic()
            load.stop()
            if gateway.process.poll() is None:
                gateway.terminate()
        code = gateway.wait(120)
        log = gateway.log()
        # It may fail; it may not crash, nor stop without a word.
        if code not in (0, -signal.SIGKILL) or outcome != "served":
            assert code == 1, f"{name}: it ended with {code}:\n{log}"
            assert any(line.startswith("usherd: ") or " ERROR " in line for line in log.splitlines()[-3:]), f"{name}: no word:\n{log}"
        gateway.under = []
        gateway.env.pop("LD_PRELOAD", None)
        gateway.start()
        bench.drain()
        bench.compare(killed_at or template.killed_at)
        gateway.kill()
        gateway.check()
        shutil.rmtree(gateway.directory, ignore_errors=True)
        return outcome, bench
    finally:
        bench.close()


def slow_sync(template, count=2):
    """Each sync of the journal takes a moment, and so does each answer: who is answered sooner has no record that a power cut would leave."""
    bench = template.copy("slow sync")
    bench.gateway.under = tracer(template, bench, "fdatasync", f"fdatasync:delay_enter={int(SLOW * 1e6)}:when=1+", below="journal")
    bench.loads = []
    try:
        bench.gateway.start(wait_ready=False)
        assert started(bench.gateway), bench.gateway.log()
        load = bench.load(http1=1, http2=0, pumps=0)
        wait_answered(load, count)
        bench.gateway.kill()
        load.stop()
        took = [access.took for access in load.accesses if access.status == 200]
        assert len(took) >= count, f"{len(took)} answers; the log:\n{bench.gateway.log()}"
        assert min(took) >= SLOW, f"{template.seed}: answered after {min(took):.3f} s, before the record was synced"
    finally:
        bench.close()


def campaign(template, most, only=None, say=lambda text: None):
    """The first `most` faults of the seed's order, or of those that are like `only` ("pwrite64:short", "fsync"). Yields (name, what
    became of the gateway or the error, its bench or None)."""
    seed = template.seed
    calls = enumerate_calls(template)
    turns = [turn for turn in plan(calls, seed) if only in (None, turn[0], f"{turn[0]}:{turn[1]}")]
    say(f"seed {seed}: calls " + ", ".join(f"{call} {count}" for call, count in sorted(calls.items())) + f"; {len(turns)} faults in all")
    for call, fault, when in turns[:most]:
        name = f"{call} {fault} when={when}"
        try:
            outcome, bench = one(template, call, fault, when)
            yield name, outcome, bench
        except Exception as error:  # noqa: BLE001: whatever went wrong is a finding
            yield name, error, None
