"""The fields of public data sets, with texts of our own, and what a record of each becomes.

The names of fields and roles are those that the sets' cards show. ``read`` is the shape, ``turns``
what a built-in template gets, one ``role:text`` for each turn (``+`` stands before an input), and
``ignored`` the fields that are counted as ignored. A set that is refused has its reason in
``read``, and what to do in ``turns``.
"""

from typing import Any, NamedTuple

Q, A, S = "Why?", "Because.", "Be brief."


class PublicSet(NamedTuple):
    """A public set."""

    name: str
    record: dict[str, Any]
    read: str
    turns: str
    ignored: str = ""
    needs_chat: bool = False  # whether the record needs a chat template


def said(role: str, text: str, *, name: str = "role", key: str = "content") -> dict[str, Any]:
    """Return a message."""
    return {name: role, key: text}


def chat(
    *roles: str, name: str = "role", key: str = "content", **more: Any
) -> list[dict[str, Any]]:
    """Return a list of messages with these roles."""
    texts = {"system": S, "user": Q, "human": Q}
    return [said(r, texts.get(r.lower(), A), name=name, key=key) | more for r in roles]


SHAREGPT = chat("human", "gpt", name="from", key="value")
USER_ASSISTANT = chat("user", "assistant")
BOTH = f"user:{Q} assistant:{A}"
WITH_SYSTEM = f"system:{S} {BOTH}"
TAKE_CHOSEN = "Pass --field messages=chosen to train on the good answers only"

PUBLIC_SETS = (
    # --- instruction, input, output -----------------------------------------------------------
    PublicSet(
        "alpaca",
        {"instruction": Q, "input": "x", "output": A, "text": "t"},
        "instruction",
        f"user:{Q}+x assistant:{A}",
        "text",
    ),
    PublicSet("alpaca-cleaned", {"instruction": Q, "input": "", "output": A}, "instruction", BOTH),
    PublicSet(
        "alpaca-gpt4-zh",
        {"instruction": Q, "input": "x", "output": A},
        "instruction",
        f"user:{Q}+x assistant:{A}",
    ),
    PublicSet("code_alpaca_20k", {"instruction": Q, "input": "", "output": A}, "instruction", BOTH),
    PublicSet(
        "python_code_instructions_18k_alpaca",
        {"instruction": Q, "input": "", "output": A, "prompt": "p"},
        "instruction",
        BOTH,
        "prompt",
    ),
    PublicSet(
        "databricks-dolly-15k",
        {"instruction": Q, "context": "c", "response": A, "category": "qa"},
        "instruction",
        f"user:{Q}+c assistant:{A}",
        "category",
    ),
    PublicSet("evol-instruct-70k", {"instruction": Q, "output": A}, "instruction", BOTH),
    PublicSet("magicoder-evol-instruct", {"instruction": Q, "response": A}, "instruction", BOTH),
    PublicSet(
        "dolphin",
        {"instruction": S, "input": Q, "output": A},
        "instruction",
        f"user:{S}+{Q} assistant:{A}",
    ),
    PublicSet("belle-2m", {"instruction": Q, "input": "", "output": A}, "instruction", BOTH),
    PublicSet(
        "coig-cqia",
        {
            "instruction": Q,
            "input": "",
            "output": A,
            "task_type": {"a": ["b"]},
            "domain": ["d"],
            "metadata": "m",
            "answer_from": "h",
            "human_verified": True,
            "copyright": "c",
        },
        "instruction",
        BOTH,
        "answer_from copyright domain human_verified metadata task_type",
    ),
    PublicSet(
        "medical-meadow",
        {"input": Q, "output": A, "instruction": S},
        "instruction",
        f"user:{S}+{Q} assistant:{A}",
    ),
    PublicSet(
        "math-instruct",
        {"source": "s", "instruction": Q, "output": A},
        "instruction",
        BOTH,
        "source",
    ),
    PublicSet(
        "no-history-firefly", {"instruction": Q, "output": A, "history": []}, "instruction", BOTH
    ),
    PublicSet(
        "llama-factory alpaca with history",
        {"system": S, "instruction": Q, "input": "", "output": A, "history": [["a", "b"]]},
        "instruction",
        f"system:{S} user:a assistant:b {BOTH}",
    ),
    PublicSet("self-instruct", {"prompt": Q, "completion": A}, "prompt-completion", BOTH),
    PublicSet(
        "openai-legacy-fine-tuning", {"prompt": Q, "completion": A}, "prompt-completion", BOTH
    ),
    PublicSet("instinwild", {"instruction": Q, "input": "", "output": A}, "instruction", BOTH),
    PublicSet(
        "lamini",
        {"instruction": Q, "response": A, "instruction_source": "s"},
        "instruction",
        BOTH,
        "instruction_source",
    ),
    PublicSet(
        "finance-alpaca",
        {"text": "", "instruction": Q, "input": "", "output": A},
        "instruction",
        BOTH,
        "text",
    ),
    PublicSet(
        "unnatural-instructions-core",
        {"instruction": Q, "input": "x", "output": A},
        "instruction",
        f"user:{Q}+x assistant:{A}",
    ),
    # --- pairs --------------------------------------------------------------------------------
    PublicSet("gsm8k", {"question": Q, "answer": A}, "question/answer", BOTH),
    PublicSet(
        "openorca",
        {"id": "1", "system_prompt": S, "question": Q, "response": A},
        "question/response",
        WITH_SYSTEM,
        "id",
    ),
    PublicSet("orca-math-word-problems", {"question": Q, "answer": A}, "question/answer", BOTH),
    PublicSet(
        "metamathqa",
        {"type": "t", "query": Q, "original_question": "o", "response": A},
        "query/response",
        BOTH,
        "original_question type",
    ),
    PublicSet(
        "numinamath-1.5",
        {"problem": Q, "solution": A, "answer": "4", "source": "s"},
        "problem/solution",
        BOTH,
        "answer source",
    ),
    PublicSet(
        "math",
        {"problem": Q, "level": "1", "type": "t", "solution": A},
        "problem/solution",
        BOTH,
        "level type",
    ),
    PublicSet(
        "magicoder-oss-instruct",
        {"lang": "py", "index": 1, "problem": Q, "solution": A},
        "problem/solution",
        BOTH,
        "index lang",
    ),
    PublicSet(
        "gpt4all-j", {"prompt": Q, "response": A, "source": "s"}, "prompt/response", BOTH, "source"
    ),
    PublicSet(
        "helpsteer2",
        {"prompt": Q, "response": A, "helpfulness": 4, "verbosity": 1},
        "prompt/response",
        BOTH,
        "helpfulness verbosity",
    ),
    PublicSet("firefly-1.1m", {"kind": "k", "input": Q, "target": A}, "input/target", BOTH, "kind"),
    PublicSet("flan-v2", {"inputs": Q, "targets": A, "task": "t"}, "inputs/targets", BOTH, "task"),
    PublicSet(
        "aya-dataset",
        {"inputs": Q, "targets": A, "language": "de"},
        "inputs/targets",
        BOTH,
        "language",
    ),
    PublicSet("xp3", {"inputs": Q, "targets": A}, "inputs/targets", BOTH),
    PublicSet(
        "sql-create-context",
        {"answer": A, "question": Q, "context": "c"},
        "question/answer",
        f"user:{Q}+c assistant:{A}",
    ),
    PublicSet(
        "openbookqa-like",
        {"question": Q, "context": "c", "answer": A},
        "question/answer",
        f"user:{Q}+c assistant:{A}",
    ),
    PublicSet(
        "medical-o1-reasoning",
        {"Question": Q, "Complex_CoT": "r", "Response": A},
        "Question/Response",
        BOTH,
        "Complex_CoT",
    ),
    PublicSet(
        "medquad", {"qtype": "q", "Question": Q, "Answer": A}, "Question/Answer", BOTH, "qtype"
    ),
    PublicSet("xsum", {"document": Q, "summary": A, "id": "1"}, "document/summary", BOTH, "id"),
    PublicSet("samsum", {"id": "1", "dialogue": Q, "summary": A}, "dialogue/summary", BOTH, "id"),
    PublicSet("xlsum", {"id": "1", "text": Q, "summary": A}, "text/summary", BOTH, "id"),
    PublicSet(
        "openmathreasoning",
        {"problem": Q, "generated_solution": "g", "solution": A},
        "problem/solution",
        BOTH,
        "generated_solution",
    ),
    PublicSet(
        "tiny-codes",
        {"prompt": Q, "response": A, "main_topic": "m"},
        "prompt/response",
        BOTH,
        "main_topic",
    ),
    PublicSet("wizardlm-orca", {"id": 1, "instruction": Q, "output": A}, "instruction", BOTH, "id"),
    PublicSet("synthetic-text-to-sql-like", {"query": Q, "response": A}, "query/response", BOTH),
    PublicSet("translation pairs", {"source": Q, "target": A}, "source/target", BOTH),
    PublicSet(
        "natural-reasoning-like",
        {"question": Q, "reference_answer": "a", "response": A},
        "question/response",
        BOTH,
        "reference_answer",
    ),
    PublicSet("input-output logs", {"input": Q, "output": A}, "input/output", BOTH),
    PublicSet("human-assistant pairs", {"human": Q, "assistant": A}, "human/assistant", BOTH),
    PublicSet(
        "camel-math",
        {"role_1": "r", "topic": "t", "message_1": Q, "message_2": A},
        "unknown_schema",
        "Map them with --field, e.g. --field prompt=question --field completion=answer",
    ),
    # --- lists of messages --------------------------------------------------------------------
    PublicSet(
        "openai-chat-fine-tuning",
        {"messages": chat("system", "user", "assistant")},
        "messages",
        WITH_SYSTEM,
    ),
    PublicSet(
        "ultrachat-200k",
        {"prompt": Q, "prompt_id": "1", "messages": USER_ASSISTANT},
        "messages",
        BOTH,
        "prompt prompt_id",
    ),
    PublicSet(
        "no-robots",
        {"prompt": Q, "prompt_id": "1", "messages": USER_ASSISTANT, "category": "c"},
        "messages",
        BOTH,
        "category prompt prompt_id",
    ),
    PublicSet(
        "tulu-3-sft-mixture",
        {"id": "1", "messages": USER_ASSISTANT, "source": "s"},
        "messages",
        BOTH,
        "id source",
    ),
    PublicSet("smoltalk", {"messages": USER_ASSISTANT, "source": "s"}, "messages", BOTH, "source"),
    PublicSet(
        "smoltalk2",
        {
            "messages": USER_ASSISTANT,
            "source": "s",
            "chat_template_kwargs": {"enable_thinking": False},
        },
        "messages",
        BOTH,
        "source",
        needs_chat=True,
    ),
    PublicSet(
        "numinamath-cot",
        {"source": "s", "problem": Q, "solution": A, "messages": USER_ASSISTANT},
        "messages",
        BOTH,
        "problem solution source",
    ),
    PublicSet(
        "openr1-math-220k",
        {"problem": Q, "solution": A, "answer": "4", "uuid": "u", "messages": USER_ASSISTANT},
        "messages",
        BOTH,
        "answer problem solution uuid",
    ),
    PublicSet(
        "mixture-of-thoughts",
        {"messages": USER_ASSISTANT, "num_tokens": 7, "source": "s"},
        "messages",
        BOTH,
        "num_tokens source",
    ),
    PublicSet("code-feedback", {"id": 1, "messages": USER_ASSISTANT}, "messages", BOTH, "id"),
    PublicSet(
        "open-perfectblend", {"conversations": SHAREGPT, "source": "s"}, "sharegpt", BOTH, "source"
    ),
    PublicSet("sharegpt-vicuna", {"id": "1", "conversations": SHAREGPT}, "sharegpt", BOTH, "id"),
    PublicSet(
        "openhermes-2.5",
        {
            "custom_instruction": None,
            "language": None,
            "conversations": SHAREGPT,
            "source": "s",
            "hash": "h",
        },
        "sharegpt",
        BOTH,
        "custom_instruction hash language source",
    ),
    PublicSet(
        "slimorca",
        {"conversations": chat("system", "human", "gpt", name="from", key="value", weight=None)},
        "sharegpt",
        WITH_SYSTEM,
    ),
    PublicSet(
        "slimorca with weights",
        {
            "conversations": [
                said("human", Q, name="from", key="value") | {"weight": 0.0},
                said("gpt", A, name="from", key="value") | {"weight": 1.0},
            ]
        },
        "sharegpt",
        BOTH,
    ),
    PublicSet(
        "openthoughts-114k", {"system": S, "conversations": SHAREGPT}, "sharegpt", WITH_SYSTEM
    ),
    PublicSet(
        "bespoke-stratos-17k",
        {"system": S, "conversations": chat("user", "assistant", name="from", key="value")},
        "sharegpt",
        WITH_SYSTEM,
    ),
    PublicSet(
        "openthoughts2-1m",
        {"conversations": SHAREGPT, "question": Q, "source": "s", "id": 1},
        "sharegpt",
        BOTH,
        "id question source",
    ),
    PublicSet(
        "finetome-100k",
        {"conversations": SHAREGPT, "source": "s", "score": 5.2},
        "sharegpt",
        BOTH,
        "score source",
    ),
    PublicSet("wizardlm-v2", {"idx": "1", "conversations": SHAREGPT}, "sharegpt", BOTH, "idx"),
    PublicSet(
        "infinity-instruct",
        {"id": 1, "conversations": SHAREGPT, "label": None, "langdetect": "en", "source": "s"},
        "sharegpt",
        BOTH,
        "id label langdetect source",
    ),
    PublicSet(
        "belle-multiturn",
        {"conversations": chat("human", "assistant", name="from", key="value")},
        "sharegpt",
        BOTH,
    ),
    PublicSet(
        "wildchat-1m",
        {
            "conversation_hash": "h",
            "model": "m",
            "conversation": chat("user", "assistant", language="en"),
        },
        "conversation with role/content",
        BOTH,
        "conversation[].language conversation_hash model",
    ),
    PublicSet(
        "lmsys-chat-1m",
        {
            "conversation_id": "1",
            "model": "m",
            "turn": 1,
            "conversation": USER_ASSISTANT,
            "redacted": False,
        },
        "conversation with role/content",
        BOTH,
        "conversation_id model redacted turn",
    ),
    PublicSet(
        "capybara",
        {"source": "s", "conversation": [{"input": Q, "output": A}]},
        "conversation with input/output",
        BOTH,
        "source",
    ),
    PublicSet(
        "pure-dove",
        {"conversation": [{"input": Q, "output": A}]},
        "conversation with input/output",
        BOTH,
    ),
    PublicSet("ultrachat", {"id": "1", "data": [Q, A]}, "data of texts", BOTH, "id"),
    PublicSet(
        "lima", {"conversations": [Q, A], "source": "s"}, "conversations of texts", BOTH, "source"
    ),
    PublicSet(
        "oasst-trees as messages",
        {"messages": chat("prompter", "assistant", key="text")},
        "messages with role/text",
        f"user:{A} assistant:{A}",
    ),
    PublicSet(
        "oasst-like threads",
        {"conversation": [{"role": "prompter", "text": Q}, {"role": "assistant", "text": A}]},
        "conversation with role/text",
        BOTH,
    ),
    PublicSet(
        "soda-like",
        {
            "dialogue": [
                {"speaker": "user", "utterance": Q},
                {"speaker": "assistant", "utterance": A},
            ]
        },
        "dialogue with speaker/utterance",
        BOTH,
    ),
    PublicSet(
        "dialogs",
        {"dialog": [{"speaker": "human", "text": Q}, {"speaker": "bot", "text": A}]},
        "dialog with speaker/text",
        BOTH,
    ),
    PublicSet(
        "axolotl chat", {"conversations": USER_ASSISTANT}, "conversations with role/content", BOTH
    ),
    PublicSet("gemini export", {"messages": chat("user", "model")}, "messages", BOTH),
    PublicSet(
        "ms-swift messages", {"system": S, "messages": USER_ASSISTANT}, "messages", WITH_SYSTEM
    ),
    PublicSet(
        "langchain export",
        {"messages": [said("human", Q, name="type"), said("ai", A, name="type")]},
        "messages with type/content",
        BOTH,
    ),
    PublicSet(
        "trl conversational",
        {"prompt": [said("user", Q)], "completion": [said("assistant", A)]},
        "prompt-completion",
        BOTH,
    ),
    PublicSet(
        "mistral fine-tuning",
        {"messages": [said("user", Q), said("assistant", A) | {"weight": 0}]},
        "messages",
        BOTH,
    ),
    # --- reasoning and tools ------------------------------------------------------------------
    PublicSet(
        "reasoning in a field",
        {"messages": [said("user", Q), said("assistant", A) | {"reasoning_content": "r"}]},
        "messages",
        BOTH,
        needs_chat=True,
    ),
    PublicSet(
        "glaive-function-calling in sharegpt",
        {
            "conversations": [
                said("human", Q, name="from", key="value"),
                said("function_call", '{"name": "f", "arguments": {}}', name="from", key="value"),
                said("observation", "4", name="from", key="value"),
                said("gpt", A, name="from", key="value"),
            ],
            "tools": '[{"name": "f"}]',
        },
        "sharegpt",
        f"user:{Q} assistant: tool:4 assistant:{A}",
        needs_chat=True,
    ),
    PublicSet(
        "openai tools",
        {
            "messages": [
                said("user", Q),
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": "4"},
                said("assistant", A),
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "parallel_tool_calls": False,
        },
        "messages",
        f"user:{Q} assistant: tool:4 assistant:{A}",
        "parallel_tool_calls",
        needs_chat=True,
    ),
    PublicSet(
        "openai functions",
        {
            "messages": [
                said("user", Q),
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "f", "arguments": "{}"},
                },
                {"role": "function", "name": "f", "content": "4"},
                said("assistant", A),
            ],
            "functions": [{"name": "f"}],
        },
        "messages",
        f"user:{Q} assistant: tool:4 assistant:{A}",
        needs_chat=True,
    ),
    PublicSet(
        "xlam-function-calling-60k",
        {"id": 0, "query": Q, "answers": "[]", "tools": "[]"},
        "unknown_schema",
        "Map them with --field, e.g. --field prompt=question --field completion=answer",
    ),
    # --- whole texts --------------------------------------------------------------------------
    PublicSet("openassistant-guanaco", {"text": A}, "text", f"assistant:{A}"),
    PublicSet("tinystories", {"text": A}, "text", f"assistant:{A}"),
    PublicSet("fineweb", {"text": A, "id": "1", "url": "u"}, "text", f"assistant:{A}", "id url"),
    # --- preference data ----------------------------------------------------------------------
    PublicSet(
        "ultrafeedback-binarized",
        {"prompt": Q, "chosen": USER_ASSISTANT, "rejected": USER_ASSISTANT},
        "preference_data",
        TAKE_CHOSEN,
    ),
    PublicSet(
        "ultrafeedback-binarized, with messages",
        {"prompt": Q, "chosen": [], "rejected": [], "messages": USER_ASSISTANT},
        "messages",
        BOTH,
        "chosen prompt rejected",
    ),
    PublicSet(
        "orca-dpo-pairs",
        {"system": S, "question": Q, "chosen": A, "rejected": "No."},
        "preference_data",
        "Pass --field prompt=question --field completion=chosen to train on the good answers only",
    ),
    PublicSet(
        "hh-rlhf",
        {"chosen": A, "rejected": "No."},
        "preference_data",
        "Split the chosen text into a prompt and a completion, to train on the good answers only",
    ),
    PublicSet(
        "kto-mix-14k",
        {"prompt": USER_ASSISTANT[:1], "completion": USER_ASSISTANT[1:], "label": True},
        "preference_data",
        "Pass --field train=label to train on the good ones only",
    ),
    # --- images -------------------------------------------------------------------------------
    PublicSet(
        "llava-instruct",
        {"id": "1", "image": "x.jpg", "conversations": SHAREGPT},
        "unsupported_content",
        "Remove records with images, video or sound",
    ),
)
