#!/usr/bin/env python3
"""The demo with a real OpenAI-compatible server as its teacher, killed on the way.

    real_teacher.py PUPIL STUDENT.gguf

Serves the student itself as the judge, on loopback, by the first of these that is there:
llama.cpp's `llama-server` (on the PATH, or named by PUPIL_LLAMA_SERVER), the same server
out of the package xllamacpp, llama-cpp-python's server, mlx-lm's server; the packages
where this Python has them. Between the two stands a proxy that keeps every question with
its answer. Trains configs/demo.yaml for a few
steps; after the first the server is killed, and it is started again when the run has
noticed.

It must hold that the run completes, that every score in rollouts.jsonl is what the answer
to the question about that very completion says, and that a second run asks nothing. A
judge of 135M parameters is noise: nothing here is about its taste. PUPIL_KEEP names a
folder that is to keep the runs. Exits with 77, which ctest shows as skipped, where there
is no server or no student.
"""
import contextlib
import http.client
import importlib.util
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIGHTS = {"correctness": 0.3, "quality": 0.3, "efficiency": 0.2, "documentation": 0.2}
START_S, RUN_S = 120, 1500
STEPS, PROMPTS = 3, 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def importable(name):
    return importlib.util.find_spec(name) is not None


class Kind:
    """One of the servers: its name, how it judges, and its command but for the port.

    Only llama.cpp's own server holds a small model to a JSON schema, so only there it
    grades by the rubric; of the others' answers the probabilities of the digits count.
    PUPIL_JUDGE_MODE overrides that.
    """

    def __init__(self, name, mode, command):
        self.name, self.command = name, command
        self.mode = os.environ.get("PUPIL_JUDGE_MODE", mode)


def server_kind(gguf, model_dir):
    """The server to be used, or None where nothing here can serve. One thread each: the
    run computes at the same time."""
    own = os.environ.get("PUPIL_LLAMA_SERVER") or shutil.which("llama-server")
    if own:
        return Kind("llama-server", "rubric", [
            own, "-m", gguf, "-c", "8192", "-np", "2", "-t", "1", "--host", "127.0.0.1",
            "--port"])
    if importable("xllamacpp"):
        return Kind("llama.cpp's server in xllamacpp", "rubric", [
            sys.executable, __file__, "--serve", gguf])
    if importable("llama_cpp") and importable("uvicorn"):
        return Kind("llama_cpp.server", "expected", [
            sys.executable, "-m", "llama_cpp.server", "--model", gguf, "--n_ctx", "4096",
            "--n_threads", "1", "--logits_all", "true", "--host", "127.0.0.1", "--port"])
    if importable("mlx_lm"):
        return Kind("mlx_lm.server", "expected", [
            sys.executable, "-m", "mlx_lm", "server", "--model", model_dir, "--port"])
    return None


def serve(gguf, port):
    """Is the server of the package xllamacpp, until it is killed."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port = gguf, ["127.0.0.1"], int(port)
    params.n_ctx, params.n_parallel = 8192, 2
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


class Server:
    """The real one."""

    def __init__(self, kind):
        self.kind, self.port, self.process = kind, free_port(), None

    def start(self):
        self.process = subprocess.Popen(
            self.kind.command + [str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + START_S
        while time.time() < deadline:
            try:
                peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                peer.request("GET", "/v1/models")
                if peer.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.2)
        sys.exit(f"{self.kind.name} does not answer")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Proxy(ThreadingHTTPServer):
    """Passes requests on and keeps [(question, answer)]; breaks off where the server does."""
    daemon_threads = True

    def __init__(self, port):
        self.upstream, self.seen, self.broken = port, [], 0
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            peer = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
            peer.request("POST", self.path, body, {"Content-Type": "application/json"})
            reply = peer.getresponse()
            data = reply.read()
        except (OSError, http.client.HTTPException):
            self.server.broken += 1
            self.close_connection = True
            return
        if reply.status == 200:
            self.server.seen.append((json.loads(body), json.loads(data)))
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # who asked has stopped waiting
            self.server.broken += 1

    def log_message(self, *args):
        pass


def settings(folder, model_dir, proxy, mode):
    """What differs from configs/demo.yaml, as flags."""
    return [
        f"--hardware.mlx_model_path={model_dir}",
        "--data.eval=null",
        f"--train.max_steps={STEPS}",
        f"--train.prompts_per_step={PROMPTS}",
        "--reward.functions=[{name: tests, weight: 1}, {name: format, weight: 0.2}, "
        "{name: teacher, weight: 0.5}]",
        "--teacher.provider=openai",
        f"--teacher.mode={mode}",
        "--teacher.model=" + (model_dir if mode == "expected" else "smollm2"),
        f"--teacher.base_url=http://127.0.0.1:{proxy.server_port}/v1",
        f"--teacher.cache={folder}/cache.sqlite",
        "--teacher.max_concurrency=2",
        "--teacher.max_tokens=160",
        "--teacher.timeout_s=600",
        "--teacher.max_retries=1",
        "--teacher.max_outage_s=600"]


def train(pupil, flags, run, on_line):
    """Runs `pupil train`, hands over its lines as they come; returns its exit code."""
    config = os.path.join(ROOT, "configs", "demo.yaml")
    process = subprocess.Popen(
        [pupil, "train", "-c", config, f"--logging.run_dir={run}"] + flags, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = threading.Timer(RUN_S, process.kill)
    timer.start()
    for line in process.stdout:
        print("  |", line.rstrip(), flush=True)
        on_line(line)
    timer.cancel()
    return process.wait()


def submission(question):
    """The student's answer, out of a judge's question; None for another question."""
    content = question["messages"][-1]["content"]
    for line in content.split("\n"):
        if line.startswith("{") and '"submission"' in line:
            lines = json.loads(line)["submission"].split("\n")
            return "\n".join(lines[1:-1])
    return None


def rubric_score(answer):
    """The weighted sum of an answer's grades."""
    grades = json.loads(answer["choices"][0]["message"]["content"])
    return sum(weight * grades[name] for name, weight in WEIGHTS.items()) / 10


def expected_score(answer):
    """The expectation over the digits at the first token that is not blank."""
    for place in answer["choices"][0]["logprobs"]["content"]:
        if not place["token"].strip():
            continue
        mass = dict.fromkeys(range(10), 0.0)
        for entry in place["top_logprobs"]:
            token = entry["token"].strip()
            if len(token) == 1 and token in "0123456789":
                mass[int(token)] += math.exp(entry["logprob"])
        return sum(digit * mass[digit] for digit in mass) / (9 * sum(mass.values()))
    return None


def score(answer, mode):
    """What an answer says, read here and not by our program; None: nothing."""
    try:
        return rubric_score(answer) if mode == "rubric" else expected_score(answer)
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def check_scores(run, seen, mode):
    """Counts rows whose score is that of an answer about their completion."""
    scores = {}
    for question, answer in seen:
        scores.setdefault(submission(question), []).append(score(answer, mode))
    scored = unscored = local = 0
    with open(os.path.join(run, "rollouts.jsonl")) as file:
        for row in map(json.loads, file):
            value, known = row["scores"]["teacher"], scores.get(row["completion"], [])
            if value is None:
                unscored += 1
            elif not known:
                assert value == 0, f"a score without a question: {row}"
                local += 1
            else:
                assert any(s is not None and abs(s - value) < 1e-6 for s in known), row
                scored += 1
    return scored, local, unscored


class Trouble:
    """Kills the server after the first step, starts it when the run has noticed."""

    def __init__(self, server):
        self.server, self.killed, self.restarted = server, False, False

    def __call__(self, line):
        if line.startswith("step 1/") and not self.killed:
            self.server.kill()
            self.killed = True
        elif "the teacher is down" in line and self.killed and not self.restarted:
            self.server.start()
            self.restarted = True


def check(pupil, kind, folder, model_dir):
    server = Server(kind)
    server.start()
    proxy = Proxy(server.port)
    flags = settings(folder, model_dir, proxy, kind.mode)
    trouble = Trouble(server)
    began = time.time()
    code = train(pupil, flags, os.path.join(folder, "first"), trouble)
    assert code == 0, f"the run ended with {code}"
    assert trouble.restarted, "the run did not notice that the server was killed"
    first_s = time.time() - began
    scored, local, unscored = check_scores(
        os.path.join(folder, "first"), proxy.seen, kind.mode)
    assert scored > 0, "nothing was scored"
    calls, broken = len(proxy.seen), proxy.broken
    server.kill()
    code = train(pupil, flags, os.path.join(folder, "second"), lambda line: None)
    assert code == 0, f"the second run ended with {code}"
    asked = len(proxy.seen) - calls + proxy.broken - broken
    assert unscored > 0 or asked == 0, f"the second run asked {asked} questions"
    print(f"{kind.name}, mode {kind.mode}: {calls} answers, {broken} requests broken off; "
          f"{scored} scores sit with their samples, {local} zeros given without a question, "
          f"{unscored} unscored; the second run asked {asked}; the first took {first_s:.0f} s")


def main(pupil, gguf):
    if not os.path.exists(gguf):
        print(f"skipped: {gguf} is missing; scripts/fetch_student.sh fetches it")
        return 77
    if not server_kind(gguf, ""):
        print("skipped: no llama-server on the PATH or in PUPIL_LLAMA_SERVER, and this Python "
              "has none of xllamacpp, llama_cpp and mlx_lm; to run it: pip install xllamacpp "
              "into a Python that PUPIL_MLX_LM_PYTHON names when the build is configured")
        return 77
    keep = os.environ.get("PUPIL_KEEP")
    folder = contextlib.nullcontext(keep) if keep else tempfile.TemporaryDirectory()
    with folder as path:
        model_dir = os.path.join(path, "model")
        subprocess.run([pupil, "convert", "--from", gguf, "--to", model_dir], check=True,
                       stdout=subprocess.DEVNULL)
        check(pupil, server_kind(gguf, model_dir), path, model_dir)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(*sys.argv[2:])
    sys.exit(main(*sys.argv[1:]))
