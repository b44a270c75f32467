"""redis-cli at a terminal, as a person uses it."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
import unittest

import cluster

# What redis-cli's line editor and colours send beside the text.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """redis-cli at the other end of a pseudo-terminal."""

    def __init__(self, host, port):
        self.address = f"{host}:{port}"
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # A terminal without a width is asked for the place of its cursor, which nobody here knows.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
            os.execvp("redis-cli", ["redis-cli", "-h", host, "-p", str(port)])

    def wait_for(self, end):
        """Reads until what came ends so; gives what came."""
        deadline = time.monotonic() + cluster.PATIENCE_S
        while not CONTROL.sub("", self.seen).rstrip().endswith(end):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"waited for {end!r}, got {self.seen!r}")
            self.seen += os.read(self.fd, 4096).decode()
        came, self.seen = CONTROL.sub("", self.seen), ""
        return came

    def type(self, line, end=None):
        """Types a line at the prompt; gives what came until the next one."""
        os.write(self.fd, line.encode() + b"\r")
        # The editor shows the line behind the prompt once more for each character.
        came = self.wait_for(end or f"{self.address}>")
        return came.split(line + "\n")[-1]

    def close(self):
        os.write(self.fd, b"quit\r")
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            # So a terminal tells that nobody is left at its other end.
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class AtATerminal(unittest.TestCase):
    def test_a_person_types_commands(self):
        host, port = cluster.sentinel().discover_master(cluster.MASTER)
        terminal = Terminal(host, port)
        terminal.wait_for(f"{host}:{port}>")
        self.assertIn("OK", terminal.type('set typed "with spaces"'))
        self.assertIn('"with spaces"', terminal.type("get typed"))
        self.assertIn("(nil)", terminal.type("getdel typed-never"))
        self.assertIn("role:master", terminal.type("info replication"))
        self.assertIn("ERR unknown command 'lpush'", terminal.type("lpush typed a"))
        self.assertIn("OK", terminal.type("multi", end="(TX)>"))
        self.assertIn("QUEUED", terminal.type("strlen typed", end="(TX)>"))
        self.assertIn("1) (integer) 11", terminal.type("exec"))
        self.assertEqual(terminal.close(), 0)


if __name__ == "__main__":
    unittest.main()
