"""Chat data through a Jinja template, beside prompt/completion data through ``chatml``.

    python tests/bench/chat.py [--mb 40] [--rounds 5] [--tokenizer FOLDER]

The same texts are written in both schemas, with a running number in each so that records differ.
Whole processes are timed in turn, start-up included, with as many workers as there are cores; the
table shows the median rate of each and of their ratios. A ratio of 1/3 is the target.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_data" / "prompt_completion.jsonl"
TEMPLATE = Path(__file__).with_name("qwen_like.jinja")


def write_data(folder: Path, megabytes: int) -> tuple[Path, Path]:
    """The same records as prompt/completion and as messages, about this large each."""
    samples = [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines()]
    pairs, chats = folder / "pairs.jsonl", folder / "chats.jsonl"
    size = number = 0
    with pairs.open("wb") as pair_file, chats.open("wb") as chat_file:
        while size < megabytes * 1_000_000:
            sample = samples[number % len(samples)]
            number += 1
            prompt, completion = f"{number}. {sample['prompt']}", sample["completion"]
            line = orjson.dumps({"prompt": prompt, "completion": completion}) + b"\n"
            messages = [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": completion},
            ]
            size += pair_file.write(line)
            chat_file.write(orjson.dumps({"messages": messages}) + b"\n")
    return pairs, chats


def seconds(data: Path, template: str, tokenizer: str, output: Path) -> float:
    """How long one run takes."""
    command = [sys.executable, "-m", "sftprep", "prepare", str(data), "--output", str(output)]
    command += ["--tokenizer", tokenizer, "--template", template, "--overwrite", "--quiet"]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mb", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokenizer", default=str(ROOT / "sample_data" / "tokenizer"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs, chats = write_data(folder, options.mb)
        rates: dict[str, list[float]] = {"prompt/completion, chatml": [], "chat, Jinja": []}
        for _ in range(options.rounds):
            for (title, runs), data, template in zip(
                rates.items(), (pairs, chats), ("chatml", str(TEMPLATE)), strict=True
            ):
                took = seconds(data, template, options.tokenizer, folder / "out")
                runs.append(data.stat().st_size / 1e6 / took)
                print(f"  {title}: {runs[-1]:.1f} MB/s", file=sys.stderr)
        first, second = rates.values()
        print(f"{'':28} {'MB/s':>8}")
        for title, runs in rates.items():
            print(f"{title:28} {statistics.median(runs):8.1f}")
        ratios = [b / a for a, b in zip(first, second, strict=True)]
        print(f"{'ratio (target 0.33)':28} {statistics.median(ratios):8.2f}")


if __name__ == "__main__":
    main()
