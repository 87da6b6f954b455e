# SPDX-License-Identifier: BSD-3-Clause
"""One process of another release beside the other: refused in words on both sides, never misread, and no harm done."""
import os
import socket
import struct
import unittest

from appliance import Appliance, wait_until

TIMEOUT_SECONDS = 300
MAGIC, VERSION = 0x50474348, 3  # controlplane/transport/channel_messages.h
HELLO = 1
FROM_ONE_RELEASE = "install both programs from one release"


def packet(version, kind, body):
    """ChannelHeader (magic, version, type, length) and what follows."""
    return struct.pack("<IHHI", MAGIC, version, kind, 12 + len(body)) + body


class Upgrade(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Appliance("pgchu-"))

    def test_a_newer_registrar_is_refused_by_the_data_plane_and_the_connected_one_serves_on(self):
        lab = self.lab
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as newer:
            newer.settimeout(10)
            newer.connect(f"{lab.dir}/run/channel.sock")
            # Whatever a Hello of the next version looks like; as one of this version it would take the channel over.
            newer.send(packet(VERSION + 1, HELLO, struct.pack("<QI", 1 << 60, 1)))
            refusal = newer.recv(4096)
            self.assertEqual(newer.recv(4096), b"", "and the connection ends")
        self.assertEqual(struct.unpack_from("<IHH", refusal), (MAGIC, VERSION, 12), "Refused, in our version")
        said = f"the peer speaks version {VERSION + 1}, this program version {VERSION}: {FROM_ONE_RELEASE}"
        self.assertIn(said, refusal.decode("latin-1"))
        wait_until(lambda: f"registrar: refused: channel: {said}" in lab.log("dataplane"), 10, "the data plane's word on it")
        self.assertEqual(lab.registrar()["registrar"]["channel"], "connected")
        self.assertEqual(lab.pes_up(), 9)

    def test_a_newer_data_plane_is_named_by_the_registrar_which_waits_with_all_its_pes(self):
        lab = self.lab
        incarnation = lab.registrar()["registrar"]["incarnation"]
        lab.kill("dataplane")
        path = f"{lab.dir}/run/channel.sock"
        if os.path.exists(path):
            os.unlink(path)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(path)
                listener.listen(4)
                listener.settimeout(20)
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(10)
                    hello = peer.recv(4096)
                    self.assertEqual(struct.unpack_from("<IHH", hello), (MAGIC, VERSION, HELLO))
                    peer.send(packet(VERSION + 1, 1, b"\x01" * 40))
                    self.assertEqual(peer.recv(4096), b"", "it does not stay")
            said = f"the peer speaks version {VERSION + 1}, this program version {VERSION}: {FROM_ONE_RELEASE}"
            wait_until(lambda: said in lab.log("registrar"), 10, "the registrar's word on it")
        finally:
            if os.path.exists(path):
                os.unlink(path)
            lab.start()
        lab.wait_for_registrar()
        lab.wait_for_pes(9)
        told = lab.registrar()
        self.assertEqual(told["registrar"]["incarnation"], incarnation, "it did not end")
        self.assertEqual(told["registrar"]["elements"], 9)


if __name__ == "__main__":
    unittest.main()
