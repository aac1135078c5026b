#!/usr/bin/env python3
"""A worker of the protocol in docs/worker_protocol.md that misbehaves.

    bad_worker.py BEHAVIOUR TIMES FOLDER

Its first TIMES processes do, the next ones are good; each adds a byte to FOLDER/starts. A
completion of a good one is [2 + (key + row) % 40, 7, 1], log-probabilities -0.5, -0.25 and
-0.125. Every function below is a behaviour; where it returns, the worker goes on as a good one.
"""
import json
import os
import signal
import sys
import time

VOCABULARY, FOREVER = 48, 1000
behaviour, times, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
HELLO = {"op": "hello", "proto": 1, "version": "VERSION", "pid": os.getpid(), "kind": "generate",
         "model": "m", "vocab_size": VOCABULARY, "max_positions": 256, "eos_ids": [1]}


def raw(data):
    while data:
        data = data[os.write(1, data):]


def say(message):
    raw(json.dumps(message).encode() + b"\n")


def stay():
    time.sleep(FOREVER)


def completion(request, prompt, row):
    return {"prompt": prompt, "row": row, "text": "ignored",
            "ids": [2 + (request["keys"][prompt] + row) % 40, 7, 1],
            "logprobs": [-0.5, -0.25, -0.125], "finish_reason": "stop"}


def progress(request, tokens, prompt_tokens):
    say({"id": request["id"], "progress": {"tokens": tokens, "prompt_tokens": prompt_tokens}})


def tell(request, **change):
    """The first completion, changed."""
    say({"id": request["id"], "completion": completion(request, 0, 0) | change})


def reply(request, **change):
    say({"id": request["id"], "ok": True, "usage": {}} | change)


def tell_all(request, but=None):
    for prompt in range(len(request["prompts"])):
        for row in range(request["n"]):
            if (prompt, row) != but:
                say({"id": request["id"], "completion": completion(request, prompt, row)})


# In place of the greeting.
def exits(): sys.exit(3)
def silent(): stay()
def greets_late(): time.sleep(2.5); say(HELLO)
def other_protocol(): say(HELLO | {"proto": 2})
def other_kind(): say(HELLO | {"kind": "train"})
def other_version(): say(HELLO | {"version": "0.0.0"})
def other_vocabulary(): say(HELLO | {"vocab_size": 49})
def other_end(): say(HELLO | {"eos_ids": [2]})
def hello_of_nothing(): say({"op": "hello"})
def refuses(): say({"id": None, "ok": False, "error": {"type": "failed", "message": "no memory"}})
def garbage(): raw(b"%$#!\n")
def half_a_line(): raw(b'{"op":"hel'); stay()
def no_end_of_line(): raw(b"x" * (1 << 30))
def nul_bytes(): raw(b"\0\0\0\n")
def no_utf8(): raw(b'{"op":"hello","version":"\xff\xfe"}\n')
def a_number(): raw(b"42\n")
def a_list(): raw(b"[]\n")
def deep(): raw(b"[" * 100000 + b"]" * 100000 + b"\n")
def not_a_hello(): say({"op": "bye"})
def killed(): os.kill(os.getpid(), signal.SIGKILL)
def dribbles():
    while True: raw(b" "); time.sleep(0.02)


# After it.
def two_hellos(): say(HELLO)
def closes_stdout(): os.close(1); stay()
def ignores_stdin(): stay()
def stops_itself(): os.kill(os.getpid(), signal.SIGSTOP)
def floods_stderr(): os.write(2, b"noise\n" * 500000)


# In place of the answer to "fingerprint" and "load_adapters".
def other_model(request): reply(request, model_sha256="other")
def cannot_load(request):
    say({"id": request["id"], "ok": False, "error": {"type": "failed", "message": "no file"}})


# In place of the answer to "generate".
def wrong_id(request): tell_all(request | {"id": request["id"] + 1})
def text_id(request): tell_all(request | {"id": str(request["id"])})
def no_id(request): say({"completion": completion(request, 0, 0)})
def answers_before(request): reply(request)
def row_twice(request): tell(request); tell(request)
def too_few(request): tell_all(request, but=(0, 1)); reply(request)
def too_many(request): tell(request, row=request["n"])
def other_prompt(request): tell(request, prompt=len(request["prompts"]))
def negative_row(request): tell(request, row=-1)
def unknown_token(request): tell(request, ids=[VOCABULARY, 7, 1])
def large_token(request): tell(request, ids=[2**40, 7, 1])
def negative_token(request): tell(request, ids=[-1, 7, 1])
def fraction(request): tell(request, ids=[5.5, 7, 1])
def text_token(request): tell(request, ids=["5", 7, 1])
def no_tokens(request): tell(request, ids=[], logprobs=[])
def ids_no_list(request): tell(request, ids=5)
def not_a_number(request): tell(request, logprobs=[float("nan"), -1, -1])
def minus_infinity(request): tell(request, logprobs=[float("-inf"), -1, -1])
def beyond_floats(request): raw(json.dumps({"id": request["id"], "completion": completion(request, 0, 0)}).replace("-0.5", "-1e999").encode() + b"\n")
def beyond_float32(request): tell(request, logprobs=[-1e300, -1, -1])
def null_logprob(request): tell(request, logprobs=[None, -1, -1])
def positive(request): tell(request, logprobs=[0.5, -1, -1])
def few_logprobs(request): tell(request, logprobs=[-1, -1])
def many_logprobs(request): tell(request, logprobs=[-1, -1, -1, -1])
def goes_on(request): tell(request, ids=[5, 1, 7])
def no_end(request): tell(request, ids=[5, 6, 7])
def too_long(request): tell(request, ids=[5] * 9, logprobs=[-1] * 9, finish_reason="length")
def wrong_finish(request): tell(request, finish_reason="length")
def unknown_finish(request): tell(request, finish_reason="eos")
def completion_no_object(request): say({"id": request["id"], "completion": []})
def no_usage(request): tell_all(request); say({"id": request["id"], "ok": True})
def ok_text(request): tell_all(request); reply(request, ok="yes")
def bad_error(request): say({"id": request["id"], "ok": False, "error": "oh"})
def fails(request): say({"id": request["id"], "ok": False, "error": {"type": "failed", "message": "out\nof memory"}})
def finds_fault(request): say({"id": request["id"], "ok": False, "error": {"type": "invalid_request", "message": "n: too many"}})
def dies_in_a_line(request): tell(request); raw(b'{"id":'); os._exit(1)
def dies_between(request): tell(request); os._exit(0)
def never_answers(request): tell(request); stay()
def late(request): time.sleep(1.5)
def same_progress(request):
    while True: progress(request, 3, 2)
def falling_progress(request): progress(request, 2, 2); progress(request, 3, 1)
def endless_progress(request):
    for count in range(1, FOREVER): progress(request, count, 0)
def endless_prompts(request):
    for count in range(1, FOREVER): progress(request, 0, count)
def runs_prompts(request):
    for count in range(1, 4): time.sleep(0.8); progress(request, 0, count)
    tell_all(request)
    reply(request)
def progress_no_object(request): say({"id": request["id"], "progress": 7})
def leaves_a_child(request):
    if os.fork() == 0: stay()
    os._exit(0)
def answers_twice(request): tell_all(request); reply(request); reply(request)


# At the end of its stdin.
def stays(): signal.signal(signal.SIGTERM, signal.SIG_IGN); stay()


GREETINGS = {
    exits, silent, greets_late, other_protocol, other_kind, other_version, other_vocabulary, other_end,
    hello_of_nothing, refuses, garbage, half_a_line, no_end_of_line, nul_bytes, no_utf8, a_number,
    a_list, deep, not_a_hello, killed, dribbles}
AFTER = {two_hellos, closes_stdout, ignores_stdin, stops_itself, floods_stderr}
ON_REQUEST = {other_model: "fingerprint", cannot_load: "load_adapters"}  # else: "generate"
IN_THE_END = {stays}


def main():
    starts = os.path.join(folder, "starts")
    with open(starts, "ab") as file:
        file.write(b".")
    HELLO["version"] = os.environ["PUPIL_VERSION"]
    is_bad = os.path.getsize(starts) <= times and behaviour != "good"
    act = globals()[behaviour] if is_bad else None
    if act in GREETINGS:
        act()
    else:
        say(HELLO)
    if act in AFTER:
        act()
    for line in sys.stdin:
        request = json.loads(line)
        op = request["op"]
        takes_no_request = act in GREETINGS | AFTER | IN_THE_END
        if is_bad and not takes_no_request and op == ON_REQUEST.get(act, "generate"):
            act(request)
        elif op == "fingerprint":
            reply(request, model_sha256="m")
        else:
            if op == "generate":
                tell_all(request)
            reply(request)
    if act in IN_THE_END:
        act()


main()
