"""A device's key in a TPM, by its PKCS#11 module: the TPM is swtpm, which has no resource manager and so room for three keys at once."""

import json
import os
import socket
import subprocess

import pytest
from harness.build import SANITIZER, SCALE
from harness.gateway import PASSWORD, free_port
from harness.wait import wait_for
from harness.tokens import PIN, WRONG_PIN
from test_device_tokens import Person

MODULE = "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so"


class Tpm:
    def __init__(self, folder):
        (folder / "state").mkdir(parents=True)
        (folder / "store").mkdir()
        self.pin_file = folder / "pin"
        self.set_pin_file(PIN)
        self.uri = f"pkcs11:token=usher?module-path={MODULE}&pin-source=file:{self.pin_file}"
        port = self._two_ports()
        self.environment = {"TPM2_PKCS11_STORE": str(folder / "store"), "TPM2_PKCS11_TCTI": f"swtpm:host=127.0.0.1,port={port}", "TSS2_LOG": "all+none"}
        where = ["--server", f"type=tcp,port={port},bindaddr=127.0.0.1", "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"]
        self.process = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}", *where, "--flags", "not-need-init,startup-clear"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: self._answers(port + 1), "swtpm")
            self._tool("--init-token", "--slot-index", "0", "--so-pin", "12345678", "--label", "usher")
            self._tool("--login", "--login-type", "so", "--so-pin", "12345678", "--init-pin", "--new-pin", PIN, "--token-label", "usher")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _two_ports():
        """Its module reaches the TPM's other port at the next number."""
        first = free_port()
        while (second := free_port()) != first + 1:
            first = second
        return first

    def _answers(self, port):
        assert self.process.poll() is None, "swtpm ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _tool(self, *arguments):
        done = subprocess.run(["pkcs11-tool", "--module", MODULE, *arguments], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60 * SCALE)
        assert done.returncode == 0, done.stderr

    def set_pin_file(self, pin):
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def tpm(tmp_path):
    if SANITIZER:
        pytest.skip("the module forgets a public point, and nothing in the report's stack names it")
    made = Tpm(tmp_path / "tpm")
    yield made
    made.close()


def test_a_key_in_a_tpm_binds_a_session(gateway, echo, tpm):
    alice = Person(gateway, tpm)
    answer = alice.enroll("--key", tpm.uri)
    assert answer["key"].startswith("pkcs11:") and "PRIVATE KEY" not in (alice.home / "device.key").read_text()
    assert gateway.request("GET", "/.usher/v1/sessions/current", token=alice.usher("token").stdout.strip())[0] == 401
    assert alice.usher("connect", echo.address, input="through").stdout == "through"
    assert gateway.wait_closed()["enrolled_device_id"] == answer["device_id"]
    assert json.loads(alice.usher("status", "-o", "json").stdout)["state"] == "signed-in"
    tpm.set_pin_file(WRONG_PIN)
    assert "refuses the PIN" in alice.refused("connect", echo.address, input="")
    tpm.set_pin_file(PIN)
    assert alice.usher("connect", echo.address, input="again").stdout == "again"
    tpm.close()
    said = alice.refused("connect", echo.address, input="")
    assert "there is no token" in said or "no PKCS#11 module could be started" in said, said
