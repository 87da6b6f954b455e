# SPDX-License-Identifier: BSD-3-Clause
"""What README says of an installation: the files land where they are looked for, and the units are well-formed."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from lib.lab import BUILD, ROOT, run

PROGRAMS = ("poolgate-agent", "poolgate-cli", "poolgate-dataplane", "poolgate-registrar")
UNITS = ("poolgate-dataplane.service", "poolgate-registrar.service")


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = folder.name
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.root, timeout=120)

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def unit(self, name):
        with open(self.path(f"/usr/local/lib/systemd/system/{name}"), encoding="utf-8") as f:
            return f.read()

    def test_programs_units_and_documents_land_under_the_prefix_and_nothing_else(self):
        found = {os.path.relpath(os.path.join(folder, file), self.root) for folder, _, files in os.walk(self.root) for file in files}
        expected = {f"usr/local/bin/{p}" for p in PROGRAMS} | {f"usr/local/lib/systemd/system/{u}" for u in UNITS}
        expected |= {f"usr/local/share/doc/poolgate/{d}" for d in ("README.md", "LICENSE", "poolgate.example.toml",
                                                                      "poolgate.reference.toml")}
        self.assertEqual(found, expected)

    def test_each_program_says_of_which_release_it_is(self):
        with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as f:
            version = re.search(r"version: '([0-9.]+)'", f.read())[1]
        for program in PROGRAMS:
            self.assertEqual(run(self.path(f"/usr/local/bin/{program}"), "--version").strip(), f"{program} {version}")

    def test_each_unit_starts_a_program_that_was_installed(self):
        for name in UNITS:
            commands = re.findall(r"^Exec(?:StartPre|Start)=(\S+)", self.unit(name), re.MULTILINE)
            self.assertEqual(len(commands), 2)
            for command in commands:
                self.assertTrue(os.access(self.path(command), os.X_OK), command)
            for document in re.findall(r"^Documentation=file:(\S+)", self.unit(name), re.MULTILINE):
                self.assertTrue(os.path.exists(self.path(document)), document)

    def test_systemd_finds_no_fault_with_the_units(self):
        # In a copy of the installed tree, with this system's own units beside them for what they refer to.
        with tempfile.TemporaryDirectory() as root:
            shutil.copytree(os.path.join(self.root, "usr"), os.path.join(root, "usr"))
            shutil.copytree("/usr/lib/systemd/system", os.path.join(root, "usr/lib/systemd/system"), symlinks=True)
            os.mkdir(os.path.join(root, "bin"))
            shutil.copy("/bin/kill", os.path.join(root, "bin"))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={root}", *UNITS], capture_output=True, text=True,
                                  timeout=60)
        self.assertEqual([line for line in done.stderr.splitlines() if "poolgate" in line], [])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_example_configuration_passes_both_checks(self):
        example = self.path("/usr/local/share/doc/poolgate/poolgate.example.toml")
        for program in ("poolgate-dataplane", "poolgate-registrar"):
            run(self.path(f"/usr/local/bin/{program}"), "--check", "-c", example)

    def test_a_fault_in_the_configuration_is_named_with_its_line(self):
        with open(os.path.join(ROOT, "scripts", "poolgate.example.toml"), encoding="utf-8") as f:
            lines = f.read().splitlines()
        number = next(i for i, line in enumerate(lines) if line.startswith("protocol ="))
        lines[number] = 'protocol = "smtp"'
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
            f.write("\n".join(lines) + "\n")
            f.flush()
            for program in ("poolgate-dataplane", "poolgate-registrar"):
                done = subprocess.run([self.path(f"/usr/local/bin/{program}"), "--check", "-c", f.name], capture_output=True,
                                      text=True, timeout=30)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"{f.name}:{number + 1}", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
