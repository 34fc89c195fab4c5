"""HF tokenizers alone: all texts of a prompt/completion file in one batch, on several threads.

    RAYON_NUM_THREADS=2 python peer_hf.py DATA TOKENIZER_JSON

It reports when the encoding began and ended; reading and parsing are done before.
"""

import json
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer


def main() -> None:
    """Encode, and print a report."""
    data, tokenizer_json = sys.argv[1:]
    records = [json.loads(line) for line in Path(data).read_bytes().splitlines()]
    texts = [record[name] for record in records for name in ("prompt", "completion")]
    tokenizer = Tokenizer.from_file(tokenizer_json)
    ready = time.monotonic()
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    done = time.monotonic()
    tokens = sum(map(len, encodings))
    report = {"records": len(records), "tokens": tokens, "ready": ready, "done": done}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
