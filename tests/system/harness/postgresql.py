"""A private PostgreSQL cluster that a test may stop, start and look into."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .gateway import free_port


class Cluster:
    def __init__(self):
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self.bin = binaries[-1]
        # Not below pytest's folders, which the user postgres may not enter.
        self.home = Path(tempfile.mkdtemp(prefix="usher-pg-"))
        self.port = free_port()
        self.password = secrets.token_hex(16)
        (self.home / "password").write_text(self.password)
        if os.getuid() == 0:
            shutil.chown(self.home, "postgres")
            shutil.chown(self.home / "password", "postgres")
        self._run(
            "initdb", "-D", self.home / "data", "-U", "postgres", "--auth=scram-sha-256", "-E", "UTF8",
            "--no-locale", "-N", f"--pwfile={self.home / 'password'}",
        )

    @property
    def url(self):
        return self.database_url("postgres")

    def database_url(self, database):
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def _run(self, program, *arguments):
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        result = subprocess.run(
            [*as_user, self.bin / program, *arguments], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True,
        ) if program != "pg_ctl" else subprocess.run(
            # The server inherits the output of pg_ctl, so a pipe would never end.
            [*as_user, self.bin / program, *arguments], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, text=True,
        )
        assert result.returncode == 0, result.stdout or (self.home / "log").read_text()

    def start(self):
        self._run(
            "pg_ctl", "-D", self.home / "data", "-l", self.home / "log", "-w", "-t", "60",
            "-o", f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.home} "
            "-c max_connections=200", "start",
        )
        return self

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", self.home / "data", "-m", mode, "-w", "stop")

    def processes(self):
        """The ids of the server's processes, the first one first."""
        first = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        children = [int(p) for p in Path(f"/proc/{first}/task/{first}/children").read_text().split()]
        return [first, *children]

    def freeze(self):
        """From now on it answers nothing, and closes nothing either."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self):
        for process in reversed(self.processes()):
            os.kill(process, signal.SIGCONT)

    def close(self):
        try:
            self.stop()
        except AssertionError:
            pass  # a test has stopped it already
        shutil.rmtree(self.home, ignore_errors=True)


def psql(url, statement):
    """Runs one statement and returns its unaligned output."""
    result = subprocess.run(
        ["psql", url, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
