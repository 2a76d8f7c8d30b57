"""What is done to each proxy in a run, and the figures that come of it."""
import json
import os
import subprocess
import time

import process
from proxies import BenchError

GIB = 1 << 30

# Usher's threads that do nothing but keep the record: they make it durable, and bring it into the store.
RECORD_THREADS = {"journal", "shipper"}

# rows of the result: key, title, unit
FIGURES = [
    ("download_cpu", "CPU per GiB, download", "s"),
    ("upload_cpu", "CPU per GiB, upload", "s"),
    ("short_cpu", "CPU per short tunnel", "us"),
    ("download_audit", "  of it the record's threads, download", "%"),
    ("short_audit", "  the same, short tunnel", "%"),
    ("setup_p50", "tunnel set-up, p50", "ms"),
    ("setup_p99", "tunnel set-up, p99", "ms"),
    ("idle_memory", "memory per idle tunnel", "KiB"),
    ("http2_short_cpu", "CPU per short HTTP/2 stream", "us"),
    ("http2_short_audit", "  of it the record's threads", "%"),
    ("http2_rate", "HTTP/2 tunnels a second", "1/s"),
    ("http2_setup_p50", "HTTP/2 set-up, p50", "ms"),
    ("http2_setup_p99", "HTTP/2 set-up, p99", "ms"),
    ("http2_idle_memory", "memory per idle HTTP/2 stream", "KiB"),
    ("transfers_p99", "64 KiB echoes in 200 tunnels, p99", "ms"),
    ("held_p99", "the same beside 15,000 idle, p99", "ms"),
]


class Sizes:
    """How much of everything; `quick` only shows that all of it works."""

    def __init__(self, quick):
        self.streams = 4
        self.stream_bytes = GIB // 16 if quick else GIB // 2
        self.short = 300 if quick else 2000
        self.setup, self.setup_rate = (100, 100) if quick else (600, 100)
        self.idle = 200 if quick else 2000
        self.concurrency = 8
        self.http2_short = 2000 if quick else 20000
        self.http2_setup, self.http2_setup_rate = (500, 500) if quick else (8000, 2000)
        self.http2_concurrency = 256
        self.held = 1000 if quick else 15000
        self.transfers, self.transfers_rate, self.transferring = (250, 250, 50) if quick else (3000, 250, 200)


class Load:
    """The load generator, kept off the core that the proxy has."""

    def __init__(self, binary, cores):
        self.binary, self.cores = binary, cores

    def start(self, arguments, authorization=None, **pipes):
        environment = {key: value for key, value in os.environ.items() if key != "BENCH_AUTHORIZATION"}
        if authorization:
            environment["BENCH_AUTHORIZATION"] = authorization
        pin = (lambda: os.sched_setaffinity(0, self.cores)) if self.cores else None
        return subprocess.Popen([str(self.binary), *arguments], env=environment, text=True, preexec_fn=pin,
                                stdout=subprocess.PIPE, **pipes)

    def run(self, proxy, command, kind, **options):
        arguments = [command, *proxy.route(kind)]
        for key, value in options.items():
            arguments += [f"--{key}", str(value)]
        child = self.start(arguments, proxy.authorization, stderr=subprocess.PIPE)
        out, err = child.communicate()
        if child.returncode != 0:
            raise BenchError(f"{command} through {proxy.name}: {err.strip()}\n{proxy.last_words()}")
        return json.loads(out)


def measured(proxy, work):
    """The result of `work` with the CPU seconds that the proxy spent on it, until it was quiet again; of them, those of
    the threads that keep Usher's record."""
    pid = proxy.process.pid
    before = process.settled_cpu_seconds(pid)
    kept_before = process.thread_seconds(pid, RECORD_THREADS)
    result = work()
    result["cpu_seconds"] = process.settled_cpu_seconds(pid) - before
    result["record_seconds"] = process.thread_seconds(pid, RECORD_THREADS) - kept_before
    return result


def record_share(result):
    """What the threads that keep the record take of the CPU, in percent."""
    return 100 * result["record_seconds"] / result["cpu_seconds"]


def idle_memory(proxy, load, sizes, command="idle"):
    """Opens the tunnels, reads the resident memory while they are held, and lets them end."""
    pid = proxy.process.pid
    process.settled_cpu_seconds(pid)
    before = process.resident_kib(pid)
    arguments = [command, *proxy.route("echo"), "--count", str(sizes.idle), "--concurrency", str(sizes.concurrency)]
    child = load.start(arguments, proxy.authorization, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    line = child.stdout.readline()
    if not line:
        child.stdin.close()
        raise BenchError(f"idle through {proxy.name}: {child.stderr.read().strip()}\n{proxy.last_words()}")
    result = json.loads(line)
    process.settled_cpu_seconds(pid)
    time.sleep(1)
    result.update(before_kib=before, held_kib=process.resident_kib(pid))
    _, err = child.communicate()
    if child.returncode != 0:
        raise BenchError(f"a held tunnel through {proxy.name} was lost: {err.strip()}")
    return result


def measure_http2(proxy, load, sizes):
    """The same as streams of one connection, through another fresh proxy: memory that was used before is used again."""
    load.run(proxy, "http2-short", "echo", count=500, concurrency=64)
    raw = {"http2_idle": idle_memory(proxy, load, sizes, "http2-idle")}
    raw["http2_short"] = measured(proxy, lambda: load.run(proxy, "http2-short", "echo", count=sizes.http2_short,
                                                          concurrency=sizes.http2_concurrency))
    raw["http2_setup"] = load.run(proxy, "http2-setup", "echo", count=sizes.http2_setup, rate=sizes.http2_setup_rate,
                                  concurrency=1)
    idle, short = raw["http2_idle"], raw["http2_short"]
    figures = {
        "http2_short_cpu": short["cpu_seconds"] * 1e6 / short["tunnels"],
        "http2_short_audit": record_share(short),
        "http2_rate": short["tunnels"] / short["seconds"],
        "http2_setup_p50": raw["http2_setup"]["p50_ms"],
        "http2_setup_p99": raw["http2_setup"]["p99_ms"],
        "http2_idle_memory": (idle["held_kib"] - idle["before_kib"]) / idle["tunnels"],
    }
    return {"figures": figures, "raw": raw}


def measure_held(proxy, load, sizes):
    """Transfers in tunnels of their own, first alone, then beside idle tunnels (HTTP/2 streams: a descriptor each)."""
    def transfers():
        return load.run(proxy, "transfers", "echo", count=sizes.transfers, rate=sizes.transfers_rate,
                        concurrency=sizes.transferring)

    transfers()  # pools and caches are warm after it
    alone = transfers()
    arguments = ["http2-idle", *proxy.route("echo"), "--count", str(sizes.held), "--concurrency", "64"]
    held = load.start(arguments, proxy.authorization, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    line = held.stdout.readline()
    if not line:
        held.stdin.close()
        raise BenchError(f"idle through {proxy.name}: {held.stderr.read().strip()}\n{proxy.last_words()}")
    process.settled_cpu_seconds(proxy.process.pid)
    beside = transfers()
    _, err = held.communicate()
    if held.returncode != 0:
        raise BenchError(f"a held tunnel through {proxy.name} was lost: {err.strip()}")
    return {"figures": {"transfers_p99": alone["p99_ms"], "held_p99": beside["p99_ms"]},
            "raw": {"transfers": alone, "held": json.loads(line), "transfers_held": beside}}


def measure(proxy, load, sizes):
    """One run of one fresh proxy: the raw results and the figures of FIGURES."""
    raw = {"verify": load.run(proxy, "verify", "echo")}
    load.run(proxy, "short", "echo", count=50, concurrency=sizes.concurrency)  # pools and caches are warm after it
    raw["idle"] = idle_memory(proxy, load, sizes)
    bulk = {"count": sizes.stream_bytes, "concurrency": sizes.streams}
    raw["download"] = measured(proxy, lambda: load.run(proxy, "download", "source", **bulk))
    raw["upload"] = measured(proxy, lambda: load.run(proxy, "upload", "sink", **bulk))
    raw["short"] = measured(proxy, lambda: load.run(proxy, "short", "echo", count=sizes.short,
                                                    concurrency=sizes.concurrency))
    raw["setup"] = measured(proxy, lambda: load.run(proxy, "setup", "echo", count=sizes.setup, rate=sizes.setup_rate,
                                                    concurrency=sizes.concurrency))
    figures = {
        "download_cpu": raw["download"]["cpu_seconds"] * GIB / raw["download"]["bytes"],
        "upload_cpu": raw["upload"]["cpu_seconds"] * GIB / raw["upload"]["bytes"],
        "short_cpu": raw["short"]["cpu_seconds"] * 1e6 / raw["short"]["tunnels"],
        "setup_p50": raw["setup"]["p50_ms"],
        "setup_p99": raw["setup"]["p99_ms"],
        "idle_memory": (raw["idle"]["held_kib"] - raw["idle"]["before_kib"]) / raw["idle"]["tunnels"],
    }
    if proxy.name == "usher":
        figures.update(download_audit=record_share(raw["download"]), short_audit=record_share(raw["short"]))
    return {"proxy": proxy.name, "figures": figures, "raw": raw}
