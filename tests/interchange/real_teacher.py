#!/usr/bin/env python3
"""A run with a real OpenAI-compatible server as its teacher, killed on the way.

    real_teacher.py PUPIL STUDENT.gguf

Serves the student itself as the judge, on loopback: by llama.cpp's `llama-server`
(PUPIL_LLAMA_SERVER names it where it is not on the PATH) or by llama-cpp-python's server.
Between the two stands a proxy that keeps every question with its answer. Trains two steps;
after the first the server is killed, and it is started again when the run has noticed.

It must hold that the run completes, that every score in rollouts.jsonl is the weighted sum
of the grades in the answer to the question about that very completion, and that a second
run asks nothing. A judge of 135M parameters is noise: nothing here is about its taste.
Exits with 77, which ctest shows as skipped, where there is no server or no student.
"""
import http.client
import importlib.util
import json
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

WEIGHTS = {"correctness": 0.3, "quality": 0.3, "efficiency": 0.2, "documentation": 0.2}
START_S, RUN_S = 120, 1500


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_command(gguf, port):
    """The command that serves `gguf`, or None where nothing here can."""
    own = os.environ.get("PUPIL_LLAMA_SERVER") or shutil.which("llama-server")
    if own:
        return [own, "-m", gguf, "--host", "127.0.0.1", "--port", str(port), "-c", "4096",
                "-np", "2"]
    if importlib.util.find_spec("llama_cpp") and importlib.util.find_spec("uvicorn"):
        return [sys.executable, "-m", "llama_cpp.server", "--model", gguf, "--host",
                "127.0.0.1", "--port", str(port), "--n_ctx", "4096"]
    return None


class Server:
    """The real one."""

    def __init__(self, gguf):
        self.gguf, self.port, self.process = gguf, free_port(), None

    def start(self):
        self.process = subprocess.Popen(
            server_command(self.gguf, self.port),
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
        sys.exit("the server does not answer")

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
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def write_config(folder, model_dir, proxy):
    tasks = os.path.join(folder, "tasks.jsonl")
    prompts = ["Write a Python function `add(a, b)` that returns the sum of two numbers.",
               "Write a Python function `is_even(n)`."]
    with open(tasks, "w") as file:
        for i, prompt in enumerate(prompts):
            file.write(json.dumps({"id": str(i), "prompt": prompt}) + "\n")
    path = os.path.join(folder, "config.yaml")
    with open(path, "w") as file:
        json.dump({  # YAML contains JSON
            "seed": 1,
            "hardware": {"mlx_model_path": model_dir},
            "data": {"train": tasks},
            "rollout": {"num_generations": 4, "max_completion_length": 64},
            "reward": {"functions": [{"name": "teacher", "weight": 1}]},
            "teacher": {"provider": "openai", "model": "smollm2", "max_concurrency": 2,
                        "base_url": f"http://127.0.0.1:{proxy.server_port}/v1",
                        "max_tokens": 160, "timeout_s": 120, "max_retries": 1,
                        "max_outage_s": 300, "cache": os.path.join(folder, "cache.sqlite")},
            "train": {"max_steps": 2, "prompts_per_step": 2}}, file)
    return path


def train(pupil, config, run, on_line):
    """Runs `pupil train`, hands over its lines as they come; returns its exit code."""
    process = subprocess.Popen(
        [pupil, "train", "-c", config, f"--logging.run_dir={run}"],
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


def score(answer):
    """The weighted sum of an answer's grades, or None."""
    try:
        grades = json.loads(answer["choices"][0]["message"]["content"])
        return sum(weight * grades[name] for name, weight in WEIGHTS.items()) / 10
    except (ValueError, KeyError, TypeError):
        return None


def check_scores(run, seen):
    """Counts rows whose score is that of an answer about their completion."""
    scores = {}
    for question, answer in seen:
        scores.setdefault(submission(question), []).append(score(answer))
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
                assert any(s is not None and abs(s - value) < 1e-9 for s in known), row
                scored += 1
    return scored, local, unscored


def main(pupil, gguf):
    if not os.path.exists(gguf):
        print(f"skipped: {gguf} is missing; scripts/fetch_student.sh fetches it")
        return 77
    if not server_command(gguf, 0):
        print("skipped: no llama-server on the PATH or in PUPIL_LLAMA_SERVER, and no "
              "llama-cpp-python; to run it: pip install 'llama-cpp-python[server]'")
        return 77
    server = Server(gguf)
    server.start()
    proxy = Proxy(server.port)
    with tempfile.TemporaryDirectory() as folder:
        model_dir = os.path.join(folder, "model")
        subprocess.run([pupil, "convert", "--from", gguf, "--to", model_dir], check=True,
                       stdout=subprocess.DEVNULL)
        config = write_config(folder, model_dir, proxy)
        killed = []

        def disturb(line):
            if line.startswith("step 1/") and not killed:
                server.kill()
                killed.append(time.time())
            elif "the teacher is down" in line and len(killed) == 1:
                server.start()
                killed.append(time.time())

        first = os.path.join(folder, "first")
        code = train(pupil, config, first, disturb)
        assert code == 0, f"the run ended with {code}"
        assert len(killed) == 2, "the run did not notice that the server was killed"
        scored, local, unscored = check_scores(first, proxy.seen)
        calls = len(proxy.seen)
        server.kill()
        broken = proxy.broken
        second = os.path.join(folder, "second")
        code = train(pupil, config, second, lambda line: None)
        assert code == 0, f"the second run ended with {code}"
        asked = len(proxy.seen) - calls + proxy.broken - broken
        assert unscored > 0 or asked == 0, f"the second run asked {asked} questions"
    print(f"{calls} answers, {broken} requests broken off; {scored} scores sit with their "
          f"samples, {local} zeros given without a question, {unscored} unscored; the second "
          f"run asked {asked}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
