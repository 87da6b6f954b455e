# SPDX-License-Identifier: BSD-3-Clause
"""Runs in the guest: bash scripts come in as lines of JSON on a serial port, their status and output go back; frames come
in, and leave by the devices named."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import tty


def run(script, timeout):
    # A file, not a pipe: what the script leaves running in the background must not keep us waiting.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(["/bin/bash", "-c", script], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = 124
        output.seek(0)
        return status, output.read().decode("utf-8", "replace")


def send(frames):
    for device, frame in frames:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((device, 0))
            out.send(bytes.fromhex(frame))
    return 0, ""


def main():
    port = open(sys.argv[1], "r+b", buffering=0)
    tty.setraw(port)
    out = os.fdopen(os.dup(port.fileno()), "wb", buffering=65536)

    def say(**line):
        out.write(json.dumps(line).encode() + b"\n")
        out.flush()

    say(ready=True)
    for line in os.fdopen(os.dup(port.fileno()), "rb"):
        request = json.loads(line)
        status, output = send(request["frames"]) if "frames" in request else run(request["script"], request["timeout"])
        say(id=request["id"], status=status, output=output)


if __name__ == "__main__":
    main()
