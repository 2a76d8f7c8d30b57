"""A PKCS#11 token of SoftHSM, in a folder of the test's own."""

import re
import subprocess
from pathlib import Path

from .build import SCALE

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
# No digits alone: a port or a time that is shown would look like it.
PIN, WRONG_PIN = "pin-4711-right", "pin-0000-wrong"


class Token:
    """`uri` names it, with the module and the file with its PIN."""

    def __init__(self, folder, label="usher"):
        folder.mkdir()
        self.label, self.store, self.away = label, folder / "tokens", folder / "away"
        self.store.mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {self.store}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n")
        self.environment = {"SOFTHSM2_CONF": str(config)}
        self.add(label)
        self.pin_file = folder / "pin"
        self.set_pin_file(PIN)
        self.uri = f"pkcs11:token={label}?module-path={MODULE}&pin-source=file:{self.pin_file}"

    def add(self, label):
        """One more token, which may have the same name."""
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678")

    def set_pin_file(self, pin, mode=0o600):
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(mode)

    def _run(self, *command):
        done = subprocess.run([*map(str, command)], env=self.environment, capture_output=True, text=True, timeout=60 * SCALE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self):
        """Each object's file; a pair of keys is two."""
        return sorted(p for p in self.store.glob("*/*.object") if p.name != "token.object")

    def private_keys(self):
        """What SoftHSM's own dump says of each private key: a truth value for each attribute that is one."""
        keys = []
        for path in self.objects():
            # It exits with 1 at the end of each file.
            text = subprocess.run(["softhsm2-dump-file", path], capture_output=True, text=True, timeout=60 * SCALE).stdout
            flags = dict(re.findall(r"(CKA_\w+)\n(?:[0-9a-f]{2} ){8}boolean attribute\n[0-9a-f]{2} +(TRUE|FALSE)", text))
            if "CKO_PRIVATE_KEY" in text:
                keys.append({name: value == "TRUE" for name, value in flags.items()})
        return keys

    def unplug(self):
        self.store.rename(self.away)
        self.store.mkdir()

    def plug(self):
        self.store.rmdir()
        self.away.rename(self.store)
