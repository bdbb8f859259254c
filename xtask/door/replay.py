"""Replays the recorded sequences with redis-py, each on a server of its own.

usage: replay.py SEQUENCES SCRIPTS PORT..
"""

import json
import sys
from pathlib import Path

import redis


def said(connection, words):
    """The answer, or the text of the error, as it was recorded."""
    connection.send_command(*words)
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return f"error: {error}"


def main(path, scripts, *ports):
    sequences = json.loads(Path(path).read_text())["sequences"]
    texts = {
        "<unlock>": (Path(scripts) / "unlock_if_owned_by_pull.lua").read_text(),
        "<swap>": (Path(scripts) / "compare_and_swap_status.lua").read_text(),
    }
    count = 0
    for sequence, port in zip(sequences, ports, strict=True):
        # A pool of two, as go-redis takes whichever connection is free.
        client = redis.Redis(port=int(port), protocol=3, decode_responses=True)
        pool = [client.connection_pool.get_connection() for _ in range(2)]
        for number, step in enumerate(sequence["steps"]):
            words = [texts.get(word, word) for word in step["send"]]
            answer, expected = said(pool[number % 2], words), step["answer"]
            if isinstance(expected, str) and expected.startswith("error: "):
                is_same = str(answer).startswith("error: ") and expected[7:] in answer
            else:
                is_same = answer == expected
            if not is_same:
                sys.exit(f"{sequence['name']}: {words[:3]}: {answer!r} instead of {expected!r}")
            count += 1
    print(f"redis-py {redis.__version__}: {len(sequences)} sequences, {count} commands")


main(*sys.argv[1:])
