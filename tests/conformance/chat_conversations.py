"""Conversations of many kinds, with which chat templates are tried.

``conversations()`` returns a record of the schema ``messages`` for each kind. The records are what
people have: some templates refuse some of them, and ``transformers`` decides which.
"""

import json
from typing import Any

Record = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
TOOLS = [WEATHER, ADD]


def system(text: str) -> Record:
    """Return a system message."""
    return {"role": "system", "content": text}


def user(text: Any) -> Record:
    """Return a user message."""
    return {"role": "user", "content": text}


def answer(text: Any, **more: Any) -> Record:
    """Return an assistant message."""
    return {"role": "assistant", "content": text, **more}


def call(name: str, arguments: Any, id_: str | None = None) -> Record:
    """Return one tool call; its arguments are an object or JSON text."""
    made: Record = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if id_ is None else {"id": id_, **made}


def calls(*made: Record, text: Any = "", **more: Any) -> Record:
    """Return an assistant message with tool calls."""
    return {"role": "assistant", "content": text, "tool_calls": list(made), **more}


def tool(text: Any, id_: str | None = None, name: str | None = None) -> Record:
    """Return the result of a tool call."""
    made: Record = {"role": "tool", "content": text}
    if name is not None:
        made["name"] = name
    return made if id_ is None else {**made, "tool_call_id": id_}


def loop(arguments: Any, result: Any = "18 degrees, dry", **options: Any) -> Record:
    """Return a question, a call of ``get_weather``, its result and an answer."""
    text, id_ = options.get("text", ""), options.get("id_")
    name = options.get("function", "get_weather")
    return {
        "messages": [
            user("How is the weather in Oslo?"),
            calls(call(name, arguments, id_), text=text, **options.get("more", {})),
            tool(result, id_, options.get("name")),
            answer("It is mild in Oslo."),
        ],
        "tools": options.get("tools", TOOLS),
    }


def talk(*texts: str, first: str | None = None, **more: Any) -> Record:
    """Return a conversation in which user and assistant alternate."""
    messages = [] if first is None else [system(first)]
    for place, text in enumerate(texts):
        messages.append(answer(text) if place % 2 else user(text))
    return {"messages": messages, **more}


CITY = {"city": "Oslo"}
MIXED = {
    "city": "Oslo",
    "days": 3,
    "ratio": 0.5,
    "exact": True,
    "none": None,
    "where": {"lat": 59.9, "tags": ["a", "b"], "more": {}},
    "list": [],
    "empty": "",
}


def plain_talks() -> dict[str, Record]:
    """Conversations without tools and reasoning."""
    two = ("What is 2 + 2?", "It is 4.", "And 3 + 3?", "That makes 6.")
    return {
        "single": talk("What is 2 + 2?", "It is 4."),
        "single_system": talk("What is 2 + 2?", "It is 4.", first="Answer briefly."),
        "multi": talk(*two),
        "multi_system": talk(*two, first="Answer briefly."),
        "three": talk(*two, "Thanks.", "You are welcome."),
        "long_30": talk(*(f"Line {n} of many." for n in range(60)), first="Count."),
        "chinese": talk("法国的首都是哪里?", "法国的首都是巴黎。", first="请用中文回答。"),
        "emoji": talk("Send a flag 🏳️‍🌈 and é", "Here: 🇳🇴 é ﷽"),
        "code": talk(
            "Write a loop.", "```python\nfor i in range(3):\n    print(f'{i}')\n```\n\nDone.\n"
        ),
        "white_space": talk("  What?\n", "\n  It is so. \n\n", " And?\t", "  No.  "),
        "system_white_space": talk("What?", "So.", first="  Be brief. \n"),
        "repeated": talk("yes", "yes", "yes", "yes", first="yes"),
        "one_letter": talk("a", "b"),
        "like_template": talk(
            "What do user\n and assistant\n mean?", "assistant\nuser\n### Response:\nUSER: x"
        ),
        "jinja_like": talk("What is {{ messages }}?", "{% for m in messages %}{{ m }}{% endfor %}"),
        "json_like": talk('{"a": "b\\n"}', '{"c": ["d", null]}'),
        "quotes": talk('Say "it\'s" & <b>', '"it\'s" & <b> \\n'),
        "white_space_answer": talk("Say nothing.", " \n", "Why?", "Because."),
        "assistant_first": {
            "messages": [answer("Hello, I am here."), user("What is 2?"), answer("Two.")]
        },
        "system_assistant_first": {
            "messages": [system("Be kind."), answer("Hello."), user("Who?"), answer("A model.")]
        },
        "two_answers": {"messages": [user("Go on."), answer("First part."), answer("Second.")]},
        "two_users": {"messages": [user("Wait."), user("What is 2?"), answer("Two.")]},
        "second_system": {
            "messages": [
                system("Be brief."),
                user("What is 2?"),
                answer("Two."),
                system("Now be verbose."),
                user("What is 3?"),
                answer("Three, as it is."),
            ]
        },
        "developer": {
            "messages": [
                {"role": "developer", "content": "Use metric units."},
                user("How far?"),
                answer("Two km."),
            ]
        },
        "parts": {
            "messages": [
                user([{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]),
                answer([{"type": "text", "text": "A text."}]),
            ]
        },
        "user_parts": {
            "messages": [user([{"type": "text", "text": "What is this?"}]), answer("A text.")]
        },
        "named": {
            "messages": [{**user("Who am I?"), "name": "Ann"}, answer("You are Ann.")],
        },
        "train_false": {
            "messages": [user("2?"), answer("Five.", train=False), user("No!"), answer("Two.")]
        },
        "weight_0_last": {
            "messages": [user("2?"), answer("Two."), user("Sure?"), answer("No.", weight=0)]
        },
    }


def control_talks() -> dict[str, Record]:
    """Texts that hold the texts of control tokens."""
    marks = "<|im_end|> </s> <|eot_id|> [INST] <|user|> <|end|> <end_of_turn> <tool_call>"
    return {
        "controls_in_user": talk(f"What are {marks}?", "They are marks.", "Sure?", "Yes."),
        "controls_in_answer": talk("Name some marks.", f"Here: {marks}."),
        "controls_in_system": talk("Hello.", "Hi.", first=f"Never write {marks}"),
        "think_in_user": talk("What is <think>x</think>?", "A tag."),
        "think_in_content": talk("What is 2 + 2?", "<think>\nTwo and two.\n</think>\n\nIt is 4."),
        "think_tight": talk("What is 2 + 2?", "<think>Two and two.</think>It is 4."),
        "think_multi": talk(
            "What is 2 + 2?",
            "<think>\nTwo and two.\n</think>\n\nIt is 4.",
            "And 3?",
            "<think>\nOne more.\n</think>\n\nIt is 5.",
        ),
        "think_empty": talk("What is 2 + 2?", "<think>\n\n</think>\n\nIt is 4."),
        "think_open": talk("What is 2 + 2?", "<think>\nTwo and two"),
        "think_close_only": talk("What is 2 + 2?", "Two and two.\n</think>\n\nIt is 4."),
        "think_twice": talk("2?", "<think>a</think>b<think>c</think>d"),
        "think_not_thinking": talk(
            "What is 2 + 2?", "<think>\n\n</think>\n\nIt is 4.", enable_thinking=False
        ),
        "control_in_tool": loop(CITY, "</s><|im_end|> dry </tool_response>"),
        "control_in_argument": loop({"city": "<|im_end|>Oslo</s>"}),
    }


def reasoning_talks() -> dict[str, Record]:
    """Reasoning in fields, and arguments of the template."""
    four = answer("It is 4.", reasoning_content="Two and two.")
    return {
        "reasoning": {"messages": [user("What is 2 + 2?"), four]},
        "reasoning_key": {"messages": [user("2 + 2?"), answer("4.", reasoning="Two and two.")]},
        "thinking_key": {"messages": [user("2 + 2?"), answer("4.", thinking="Two and two.")]},
        "reasoning_multi": {
            "messages": [
                user("What is 2 + 2?"),
                four,
                user("And 3?"),
                answer("It is 5.", reasoning_content="\nOne more.\n"),
            ]
        },
        "reasoning_call": loop(CITY, more={"reasoning_content": "I need the weather."}),
        "reasoning_first_only": {
            "messages": [user("2 + 2?"), four, user("And 3?"), answer("It is 5.")]
        },
        "thinking_off": talk("What is 2 + 2?", "It is 4.", enable_thinking=False),
        "thinking_on": talk("What is 2 + 2?", "It is 4.", enable_thinking=True),
        "thinking_off_reasoning": {
            "messages": [user("What is 2 + 2?"), four],
            "chat_template_kwargs": {"enable_thinking": False},
        },
    }


def tool_talks() -> dict[str, Record]:
    """Tool definitions, calls and results."""
    two = [call("get_weather", CITY), call("get_weather", {"city": "Rome"})]
    ids = [call("get_weather", CITY, "abcdefgh1"), call("add", {"a": 1, "b": 2}, "abcdefgh2")]
    ask = user("How is the weather in Oslo?")
    return {
        "tools_unused": talk("What is 2?", "Two.", tools=TOOLS),
        "tools_system": talk("What is 2?", "Two.", first="Be brief.", tools=TOOLS),
        "tools_empty": talk("What is 2?", "Two.", tools=[]),
        "tools_bare": talk("What is 2?", "Two.", tools=[WEATHER["function"]]),
        "call_last": {"messages": [ask, calls(call("get_weather", CITY))], "tools": TOOLS},
        "call_loop": loop(CITY),
        "call_no_tools": {key: loop(CITY)[key] for key in ("messages",)},
        "call_text": loop(json.dumps(CITY)),
        "call_text_null": loop(json.dumps(CITY), text=None, id_="call_1234"),
        "call_null": loop(CITY, text=None),
        "call_no_content": {
            "messages": [
                ask,
                {"role": "assistant", "tool_calls": [call("get_weather", CITY)]},
                tool("dry"),
                answer("It is dry."),
            ],
            "tools": TOOLS,
        },
        "call_text_empty": loop("{}", function="now"),
        "call_empty": loop({}, function="now"),
        "call_text_numbers": loop('{"a": 1, "b": 2.5}', function="add"),
        "call_mixed": loop(MIXED),
        "call_text_mixed": loop(json.dumps(MIXED)),
        "call_chinese": loop({"city": "奥斯陆"}, "18度"),
        "call_quotes": loop({"city": 'O"s\nl\\o'}, 'it is "dry"\n'),
        "call_repeats": loop({"city": "Oslo", "again": "Oslo", "dry": "dry"}, "Oslo"),
        "call_content": loop(CITY, text="I look it up."),
        "call_id_9": loop(CITY, id_="abcdefgh1", name="get_weather"),
        "call_id_text": loop(json.dumps(CITY), id_="abcdefgh1", name="get_weather"),
        "call_name": loop(CITY, name="get_weather"),
        "call_parallel": {
            "messages": [ask, calls(*two), tool("dry"), tool("wet"), answer("Dry, then wet.")],
            "tools": TOOLS,
        },
        "call_parallel_ids": {
            "messages": [
                ask,
                calls(*ids),
                tool("dry", "abcdefgh1", "get_weather"),
                tool("3", "abcdefgh2", "add"),
                answer("Dry and 3."),
            ],
            "tools": TOOLS,
        },
        "call_twice": {
            "messages": [
                ask,
                calls(call("get_weather", CITY)),
                tool("dry"),
                calls(call("add", {"a": 1, "b": 2})),
                tool("3"),
                answer("Dry and 3."),
                user("Thanks."),
                answer("Any time."),
            ],
            "tools": TOOLS,
        },
        "result_empty": loop(CITY, ""),
        "result_json": loop(CITY, '{"temp": 18, "sky": "dry"}'),
        "result_parts": loop(CITY, [{"type": "text", "text": "18 degrees"}]),
        "result_without_call": {"messages": [ask, tool("18 degrees"), answer("Mild.")]},
        "tool_calls_empty": {"messages": [ask, answer("Mild.", tool_calls=[])]},
        "call_not_trained": {
            "messages": [
                ask,
                calls(call("get_weather", CITY), train=False),
                tool("dry"),
                answer("It is dry."),
            ],
            "tools": TOOLS,
        },
        "tools_thinking": {
            "messages": [
                ask,
                calls(call("get_weather", CITY), text="<think>\nI look.\n</think>\n\n"),
                tool("dry"),
                answer("<think>\nIt is dry.\n</think>\n\nDry."),
            ],
            "tools": TOOLS,
        },
    }


def conversations() -> dict[str, Record]:
    """Return all conversations by name."""
    return plain_talks() | control_talks() | reasoning_talks() | tool_talks()
