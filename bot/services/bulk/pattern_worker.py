"""The process that runs one member's regular expression: JSON on stdin → JSON on stdout.

    python -m bot.services.bulk.pattern_worker SECONDS

{"find", "by", "texts"} is answered by {"texts": [...]} or {"error": why}. Its memory and CPU time are bounded from the
first byte; whoever started it kills it when it is late.
"""

from __future__ import annotations

import json
import re
import sys
import warnings

from bot.workers.limits import limit_resources

MEMORY_BYTES = 256 * 1024 * 1024
MOST_CHARACTERS = 20_000
"""Of one text after the replacement; captions end at 1,000."""


def main(arguments: list[str]) -> None:
    """Answer one question."""
    limit_resources(MEMORY_BYTES, int(arguments[0]))
    question = json.loads(sys.stdin.buffer.read())
    try:
        warnings.simplefilter("ignore")  # `re` warns of syntax that may change
        pattern = re.compile(question["find"])
        texts = [pattern.sub(question["by"], text)[:MOST_CHARACTERS] for text in question["texts"]]
    except (re.error, IndexError, OverflowError) as error:
        answer: dict[str, object] = {"error": str(error)[:200]}
    except (MemoryError, RecursionError):
        answer = {"error": "it is too large"}
    else:
        answer = {"texts": texts}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
