"""TRL's own preparation of prompt/completion data, as ``SFTTrainer`` runs it before training.

    HF_HOME=FRESH_FOLDER python peer_trl.py DATA TOKENIZER PROCESSES FRESH_FOLDER

The method is the trainer's own and its settings are its defaults; only the trainer is not made,
since that would take a model: the method is given an object with the three attributes it reads.
The caches that it fills must be empty before, or nothing would be prepared.

Says when the work began: libraries and tokenizer are loaded by then.
"""

import json
import sys
import time
from types import SimpleNamespace


def main() -> None:
    """Prepare, and leave the result in the cache, where the trainer would read it."""
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
