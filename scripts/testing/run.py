# SPDX-License-Identifier: BSD-3-Clause
"""Runs one program of a test, bounded in time, and ends everything that it started."""
import os
import signal
import subprocess
import time

# Before a command: it takes what nobody else wants of the machine. Autogroups weigh sessions, not processes.
GENTLY = ["sh", "-c", 'echo 19 >/proc/self/autogroup; exec nice -n 19 "$@"', "sh"]


class Outcome:
    def __init__(self, status, output, seconds, timed_out):
        self.status, self.output, self.seconds, self.timed_out = status, output, seconds, timed_out

    @property
    def how(self):
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        return f"killed by {signal.Signals(-self.status).name}" if self.status < 0 else f"exit status {self.status}"


def run(command, timeout, cwd=None, env=None):
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    timed_out = False
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    return Outcome(process.returncode, output.decode("utf-8", "replace"), time.monotonic() - begun, timed_out)
