#!/usr/bin/env python3
"""huggingface_hub and `pupil convert` share one cache.

    hub_cache.py PUPIL

A hub on loopback serves a tiny model. What pupil downloads huggingface_hub finds offline;
what huggingface_hub downloads pupil does not ask for again; both leave the same tree of
links, names and bytes. Exits with 77, which ctest shows as skipped, where huggingface_hub
is missing.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    import huggingface_hub
except ImportError as missing:
    print(f"skipped: {missing}; to run it: pip install huggingface_hub")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMIT = "c" * 40
NAME = "owner/model"


def model_files():
    files = {}
    for folder in ("tests/golden/llama", "tests/support/tiny_tokenizer"):
        for name in os.listdir(os.path.join(ROOT, folder)):
            with open(os.path.join(ROOT, folder, name), "rb") as file:
                files[name] = file.read()
    del files["golden.safetensors"]
    return files


def blob_of(name, content):
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files, seen = model_files(), []

    def listing(self):
        siblings = []
        for name, content in self.files.items():
            file = {"rfilename": name, "size": len(content), "blobId": blob_of("", content)}
            if name.endswith(".safetensors"):
                file["lfs"] = {"sha256": blob_of(name, content), "size": len(content),
                               "pointerSize": 134}
            siblings.append(file)
        reply = {"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": siblings}
        return json.dumps(reply).encode(), {"Content-Type": "application/json"}

    def content(self, name):
        content = self.files[name]
        headers = {"ETag": f'"{blob_of(name, content)}"', "X-Repo-Commit": COMMIT,
                   "Accept-Ranges": "bytes"}
        if name.endswith(".safetensors"):
            headers["X-Linked-Etag"] = headers["ETag"]
            headers["X-Linked-Size"] = str(len(content))
        return content, headers

    def do_GET(self):
        self.seen.append((self.command, self.path))
        path, name = self.path.split("?")[0], self.path.split("/")[-1]
        if path.startswith(f"/api/models/{NAME}"):
            body, headers = self.listing()
        elif path.startswith(f"/{NAME}/resolve/") and name in self.files:
            body, headers = self.content(name)
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def environment(hub, home, **more):
    return {"PATH": "/usr/bin:/bin", "HF_ENDPOINT": hub, "HF_HOME": home,
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": home, **more}


def convert(pupil, hub, home, **more):
    to = os.path.join(home, "converted")
    command = [pupil, "convert", "--from", NAME, "--to", to, "--force"]
    subprocess.run(command, check=True, env=environment(hub, home, **more),
                   stdout=subprocess.DEVNULL)


def snapshot(hub, home, **more):
    """Gets each file by huggingface_hub, in a process of its own; their folder."""
    code = ("import huggingface_hub, os, sys\n"
            "for name in sys.argv[1:]:\n"
            f"    path = huggingface_hub.hf_hub_download({NAME!r}, name)\n"
            "sys.stdout.write(os.path.dirname(path))")
    done = subprocess.run([sys.executable, "-c", code, *Hub.files], check=True,
                          stdout=subprocess.PIPE, env=environment(hub, home, **more),
                          text=True)
    return done.stdout


def tree(home):
    """Every link and file below the model's folder, by path."""
    top = os.path.join(home, "hub", "models--owner--model")
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                kind = os.readlink(path) if os.path.islink(path) else None
                found[os.path.relpath(path, top)] = (kind, file.read())
    return found


def check(pupil, hub, ours, theirs):
    convert(pupil, hub, ours)
    Hub.seen.clear()
    found = snapshot(hub, ours, HF_HUB_OFFLINE="1")
    for name, content in Hub.files.items():
        with open(os.path.join(found, name), "rb") as file:
            assert file.read() == content, name
    assert not Hub.seen, Hub.seen

    snapshot(hub, theirs)
    assert tree(ours) == tree(theirs), (tree(ours).keys(), tree(theirs).keys())
    Hub.seen.clear()
    convert(pupil, hub, theirs)
    assert len(Hub.seen) == 1, Hub.seen  # the listing
    convert(pupil, hub, theirs, HF_HUB_OFFLINE="1")
    assert len(Hub.seen) == 1, Hub.seen


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
        check(sys.argv[1], hub, ours, theirs)
    print(f"{len(Hub.files)} files shared with huggingface_hub "
          f"{huggingface_hub.__version__}")


if __name__ == "__main__":
    main()
