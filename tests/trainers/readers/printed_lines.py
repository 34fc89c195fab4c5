"""Run the Python lines that are printed for transformers' ``Trainer`` or TRL's, for a few steps.

In     trainings, each with tokenizer: its folder; lines; model: ``llama`` or ``gpt2``; attention:
       which implementation; rows: in a batch; output: a folder for the trainer.
Out    for each, batches: their columns; documents: the same, as documents of ids and labels;
       losses: pairs of the trainer's loss and the one computed here. The last batches are those of
       the evaluation, if the lines have one.
"""

import functools
import json
import sys
from typing import Any

import datasets
import torch
import transformers
from readers.training import STEPS, Watch, tiny_model

OPTIONS = {
    "max_steps": STEPS,
    "learning_rate": 1e-2,
    "report_to": [],
    "save_strategy": "no",
    "use_cpu": True,
    "bf16": False,
}


def train(
    tokenizer: str, lines: str, model: str, attention: str, rows: int, output: str
) -> dict[str, Any]:
    """Train, and return what was seen."""
    datasets.disable_progress_bars()
    torch.manual_seed(0)
    watch = Watch()
    options = {**OPTIONS, "per_device_train_batch_size": rows, "per_device_eval_batch_size": rows}
    vocabulary = len(transformers.AutoTokenizer.from_pretrained(tokenizer))
    names: dict[str, Any] = {
        "datasets": datasets,
        "AutoTokenizer": transformers.AutoTokenizer,
        "DataCollatorForSeq2Seq": transformers.DataCollatorForSeq2Seq,
        "DataCollatorWithFlattening": transformers.DataCollatorWithFlattening,
        "default_data_collator": transformers.default_data_collator,
        "model": tiny_model(model, vocabulary, attention),
        "OUTPUT": output,
        "Trainer": watch.over(transformers.Trainer),
        "TrainingArguments": functools.partial(transformers.TrainingArguments, **options),
    }
    if "SFTTrainer" in lines:
        import trl

        names["SFTTrainer"] = watch.over(trl.SFTTrainer)
        names["SFTConfig"] = functools.partial(trl.SFTConfig, **options)
    exec(lines, names)
    trainer = names["trainer"]
    trainer.train()
    if trainer.eval_dataset is not None:
        trainer.evaluate()
    return watch.seen


if __name__ == "__main__":
    print(json.dumps([train(**training) for training in json.loads(sys.argv[1])]))
