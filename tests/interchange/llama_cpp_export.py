#!/usr/bin/env python3
"""llama.cpp loads the GGUF files that we write, and says the same.

    llama_cpp_export.py PUPIL STUDENT.gguf

Converts the student to a model directory and back to GGUF, packed as it is and unpacked
to float32, trains an adapter for two quick steps and fuses it with --export-gguf. For each
file llama.cpp's own server (out of the package xllamacpp) completes 5 prompts greedily, 32
tokens of their ids, and `pupil generate` does so with the directory. They must be equal up
to the first position where llama.cpp's two best tokens are closer than NEAR_TIE nats:
llama.cpp rounds the inputs of packed weights to 8 bits, so there a tie is wider. Its ids
of the prompts' text must be ours too, special tokens among them. The same, from ids, of
the tiny random models in tests/golden that have rotary scaling, or biases. Prints a table.
Exits with 77, which ctest shows as skipped, where xllamacpp or the student is missing.
"""
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from student_prompts import PROMPTS, TOKENS, compare, train

NEAR_TIE = {"packed": 0.5, "float32": 0.05, "fused": 0.05}
TINY = ["llama", "llama_linear", "qwen2"]
TINY_PROMPTS = [[5, 9, 14, 7, 22], [11, 30, 8, 40, 6, 19, 25]]
TINY_TIE = 1e-3
TESTS = Path(__file__).parent.parent

try:
    import xllamacpp
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install xllamacpp")
    sys.exit(77)


class LlamaCpp:
    """A server of one file."""

    def __init__(self, gguf):
        params = xllamacpp.CommonParams()
        params.model.path, params.hostnames, params.port = gguf, ["127.0.0.1"], 0
        params.n_ctx, params.n_parallel, params.verbosity = 1024, 1, 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        self.server = xllamacpp.Server(params)
        self.address = urlparse(self.server.listening_address).netloc

    def ask(self, path, body):
        peer = http.client.HTTPConnection(self.address, timeout=300)
        peer.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = peer.getresponse()
        text = reply.read()
        if reply.status != 200:
            sys.exit(f"{path}: status {reply.status}: {text[:300]}")
        return json.loads(text)

    def tokens(self, text):
        return self.ask("/tokenize", {"content": text, "parse_special": True})["tokens"]

    def greedy(self, ids):
        """[(token, margin of the two best in nats)]"""
        answer = self.ask("/completion", {
            "prompt": ids, "n_predict": TOKENS, "temperature": 0, "n_probs": 2,
            "cache_prompt": False, "return_tokens": True})
        return [(step["id"], step["top_logprobs"][0]["logprob"] - step["top_logprobs"][1]["logprob"])
                for step in answer["completion_probabilities"]]


def run(pupil, *arguments):
    subprocess.run([pupil, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def chat(prompt):
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def our_ids(pupil, model_dir, text):
    out = subprocess.run([pupil, "tokenize", "--model", model_dir], input=json.dumps({"text": text}),
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)["ids"]


def ours(pupil, model_dir, prompts):
    """The ids of `pupil generate` for the ids of every prompt."""
    lines = "".join(json.dumps({"input_ids": ids}) + "\n" for ids in prompts)
    out = subprocess.run(
        [pupil, "generate", "--model", model_dir, "--json", "--prompts", "/dev/stdin",
         "--max-tokens", str(TOKENS)], input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line)["ids"] for line in out.splitlines()]


def check(pupil, name, model_dir, gguf):
    """Whether every prompt's text agrees; prints a line for each."""
    server = LlamaCpp(gguf)
    print(name, flush=True)
    prompts = [server.tokens(chat(prompt)) for prompt in PROMPTS]
    failed = False
    for prompt, ids, mine in zip(PROMPTS, prompts, ours(pupil, model_dir, prompts), strict=True):
        same, margin, good = compare(mine, server.greedy(ids), NEAR_TIE[name])
        good = good and ids == our_ids(pupil, model_dir, chat(prompt))
        end = "equal to the end" if margin is None else f"then a margin of {margin:.3f} nats"
        print(f"  {'ok' if good else 'DIFFERS':8}{same:3} tokens equal, {end}: {prompt}", flush=True)
        failed |= not good
    return not failed


def check_tiny(pupil, family, folder):
    """The same of a tiny model, with the tests' tokenizer."""
    model_dir, gguf = folder / family, folder / (family + ".gguf")
    shutil.copytree(TESTS / "support/tiny_tokenizer", model_dir)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(TESTS / "golden" / family / name, model_dir)
    run(pupil, "convert", "--from", model_dir, "--to", gguf)
    server, failed = LlamaCpp(str(gguf)), False
    for ids, mine in zip(TINY_PROMPTS, ours(pupil, model_dir, TINY_PROMPTS), strict=True):
        same, _, good = compare(mine, server.greedy(ids), TINY_TIE)
        print(f"  {'ok' if good else 'DIFFERS':8}{same:3} tokens equal: tiny {family}", flush=True)
        failed |= not good
    return not failed


def main(pupil, student):
    if not os.path.exists(student):
        print(f"skipped: {student} is missing; scripts/fetch_student.sh fetches it")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        tiny = [check_tiny(pupil, family, Path(folder)) for family in TINY]

        def at(name):
            return os.path.join(folder, name)
        run(pupil, "convert", "--from", student, "--to", at("packed"))
        run(pupil, "convert", "--from", student, "--to", at("float32"), "-d", "--dtype", "float32")
        for name in ("packed", "float32"):
            run(pupil, "convert", "--from", at(name), "--to", at(name + ".gguf"))
        adapter = train(pupil, at("float32"), folder)
        run(pupil, "fuse", "--model", at("float32"), "--adapter", adapter, "--to", at("fused"),
            "--export-gguf", at("fused.gguf"))
        results = [check(pupil, name, at(name), at(name + ".gguf")) for name in NEAR_TIE]
    return not all(tiny + results)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
