"""usherctl upgrade: the process that takes over becomes the gateway's process."""

import ctypes
import os
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


class Adopted:
    """As subprocess.Popen, of a process that became this one's child when its parent ended."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("usherd", timeout)
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def adopt_orphans():
    """The process that takes over is nobody's child: it becomes ours, so that its end is seen."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def upgrade(gateway, *options):
    """Returns the older process; the newer one is the gateway's from now on."""
    adopt_orphans()
    older = gateway.process
    gateway.ctl("upgrade", *options)
    (status,) = gateway.ctl_json("status")
    assert int(status["process_id"]) != older.pid
    gateway.process = Adopted(int(status["process_id"]))
    return older
