# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/hugepages, nic, bench, test and lab do when they cannot do what was asked: in mount and network namespaces of their own,
with a /sys of our making, so that this machine's pages, links and modules stay as they are."""
import os
import subprocess
import unittest

from lib.lab import ROOT

TWO_NODES = """
mount -t tmpfs none /sys/devices/system/node
for node in 0 1; do
  folder=/sys/devices/system/node/node$node/hugepages/hugepages-2048kB
  mkdir -p $folder
  echo $((node + 7)) >$folder/nr_hugepages
  echo 0 >$folder/free_hugepages
done
file=/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages
mount --bind $file $file && mount -o remount,bind,ro $file
"""

# modprobe is a stub: nothing here may load a module of the host's.
ONE_NIC = """
mount -t tmpfs none /sys/bus/pci/devices
mount -t tmpfs none /sys/kernel
mkdir -p /sys/bus/pci/devices/0000:77:00.0/net/fake0
ip link add fake0 type veth peer name fake1 && ip link set fake1 up && ip link set fake0 up
stub=$(mktemp -d)
printf '#!/bin/sh\\nexit 0\\n' >$stub/modprobe && chmod +x $stub/modprobe
PATH=$stub:$PATH
"""


def script(*words):
    return subprocess.run([os.path.join(ROOT, "scripts", words[0]), *words[1:]], capture_output=True, text=True, timeout=20,
                          check=False)


def apart(commands):
    return subprocess.run(["unshare", "-m", "-n", "--propagation", "private", "bash", "-c", commands], capture_output=True, text=True,
                          timeout=30, cwd=ROOT, check=False)


class ScriptsTest(unittest.TestCase):
    def test_hugepages_that_are_not_to_be_had_leave_each_node_what_it_had(self):
        done = apart(TWO_NODES + "scripts/hugepages 100; echo status $?; cat /sys/devices/system/node/node*/hugepages/*/nr_hugepages")
        self.assertEqual(done.stdout.split(), ["status", "1", "7", "8"], done.stderr)
        self.assertIn("hugepages: node1 gave 8 of 50 pages", done.stderr)

    def test_a_nic_that_cannot_be_bound_keeps_its_link(self):
        done = apart(ONE_NIC + "scripts/nic bind 0000:77:00.0; echo status $?; ip -br link show fake0")
        self.assertIn("no IOMMU", done.stderr)
        self.assertIn("status 1", done.stdout)
        self.assertRegex(done.stdout, r"fake0.*[<,]UP[,>]")

    def test_of_several_nics_none_is_touched_if_one_is_not_there(self):
        done = apart(ONE_NIC + "scripts/nic bind 0000:77:00.0 0000:78:00.0; echo status $?; ip -br link show fake0")
        self.assertIn("0000:78:00.0: no such PCI device", done.stderr)
        self.assertIn("status 1", done.stdout)
        self.assertRegex(done.stdout, r"fake0.*[<,]UP[,>]")

    def test_a_word_that_bench_does_not_know_is_told_the_usage_before_anything_is_built(self):
        for words in (("--help",), ("frob",), ("--only",)):
            done = script("bench", *words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("scripts/bench [--only REGEX] [--no-lab]", done.stderr)
            self.assertNotIn("building", done.stderr)

    def test_a_stage_that_test_does_not_know_is_told_the_usage_before_anything_is_installed(self):
        for words in (("frob",), ("--help",), ("--fuzz-seconds", "5", "frob")):
            done = script("test", *words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("scripts/test [all|unit|", done.stderr)
            self.assertNotIn("install", done.stderr.replace("Installs", ""))

    def test_lab_says_which_word_is_missing_or_wrong(self):
        done = script("lab", "up", "--prefix")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertTrue(done.stderr.startswith("A lab on one machine"), done.stderr)
        done = script("lab", "run", "nowhere", "--prefix", "true")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("no namespace nowhere", done.stderr)


if __name__ == "__main__":
    unittest.main()
