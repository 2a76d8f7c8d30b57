"""What a process and its children cost, as /proc tells it."""
import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat after the command's name (which may hold blanks and parentheses)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(pid):
    """The process and all of its living descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(_stat(entry)[1]), []).append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue.extend(parents.get(one, []))
    return found


def cpu_seconds(pid):
    """utime + stime of the process (all threads), its living children and those it has waited for."""
    total = 0
    for one in tree(pid):
        try:
            total += sum(int(field) for field in _stat(one)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS


def thread_seconds(pid, names):
    """utime + stime of the process's threads of these names."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if (task / "comm").read_text().strip() in names:
                total += sum(int(field) for field in _stat(f"{pid}/task/{task.name}")[11:13])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS


def resident_kib(pid):
    """Resident memory of the process and its children."""
    total = 0
    for one in tree(pid):
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total


def settled_cpu_seconds(pid, quiet=0.5, at_most=10.0):
    """CPU seconds once nothing more than a tick was used for `quiet` seconds: work put off is work too."""
    deadline = time.monotonic() + at_most
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(quiet)
        now = cpu_seconds(pid)
        if now - before <= 1.5 / TICKS:
            return now
        before = now
    return before
