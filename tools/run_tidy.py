#!/usr/bin/env python3
"""Runs clang-tidy over a compile database, several files at once.

A file that passed is not checked again until it, a project header it includes, its
command or the checks change: the passes are remembered by hash beside the database.

    tools/run_tidy.py BUILD_DIR [PATH_PREFIX...]
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = ROOT / ".venv/bin/clang-tidy"
# GCC's warning flags mean nothing to clang; warnings are the compiler's business.
FLAGS = ["--quiet", "--extra-arg=-w", "--extra-arg=-Qunused-arguments"]
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)


def included_files(path, seen):
    """Adds `path` and every project header it reaches to `seen`."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for name in INCLUDE.findall(path.read_bytes()):
        for folder in (ROOT / "src", ROOT / "tests", path.parent):
            included_files((folder / name.decode()).resolve(), seen)


def digest(entry):
    files = set()
    included_files(Path(entry["file"]).resolve(), files)
    hasher = hashlib.sha256(entry["command"].encode())
    for path in [ROOT / ".clang-tidy", ROOT / "requirements.txt", *sorted(files)]:
        hasher.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def check(entry, build_dir, cache):
    passed = cache / digest(entry)
    if passed.exists():
        return True, ""
    run = subprocess.run(
        [TIDY, *FLAGS, "-p", build_dir, entry["file"]], capture_output=True, text=True)
    if run.returncode == 0:
        passed.touch()
    return run.returncode == 0, run.stdout + run.stderr


def main():
    build_dir, prefixes = Path(sys.argv[1]), sys.argv[2:] or ["src/", "tests/"]
    cache = build_dir / "tidy-passed"
    cache.mkdir(exist_ok=True)
    entries = [
        entry for entry in json.loads((build_dir / "compile_commands.json").read_text())
        if os.path.relpath(entry["file"], ROOT).startswith(tuple(prefixes))]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for ok, output in pool.map(lambda e: check(e, build_dir, cache), entries):
            failed += not ok
            print(output, end="" if ok else "\n", flush=True)
    print(f"clang-tidy: {len(entries)} files, {failed} with findings")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
