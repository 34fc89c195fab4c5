"""The preparation of prompt/completion data by TRL, as ``SFTTrainer`` does it before training.

    HF_HOME=FRESH_FOLDER python peer_trl.py DATA TOKENIZER PROCESSES FRESH_FOLDER

It calls the trainer's own method with the default settings. The trainer itself would need a model,
so the method gets an object with the three attributes that it reads. The caches that it fills must
be empty at the start, or it would prepare nothing.

It reports when the work began: after the libraries and the tokenizer are loaded.
"""

import json
import sys
import time
from types import SimpleNamespace


def main() -> None:
    """Prepare the data, leave it in the cache as the trainer would, and print a report."""
    data, tokenizer_name, processes, folder = sys.argv[1:]
    import pyarrow.compute as pc
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found, unused-ignore]

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_name)
    args = SFTConfig(
        output_dir=folder, dataset_num_proc=int(processes), bf16=False, use_cpu=True,
        report_to="none",
    )  # fmt: skip
    trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss=True)
    ready = time.monotonic()
    rows = load_dataset("json", data_files=data, split="train")
    records = len(rows)
    rows = SFTTrainer._prepare_dataset(trainer, rows, tokenizer, args, args.packing, None, "train")
    done = time.monotonic()
    tokens = pc.sum(pc.list_value_length(rows.data.column("input_ids"))).as_py()
    report = {"records": records, "tokens": tokens, "ready": ready, "done": done}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
