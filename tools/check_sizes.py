#!/usr/bin/env python3
"""Fails when a source file is longer than 400 lines. clang-tidy looks after functions."""
import subprocess
import sys

LIMIT = 400
PATTERNS = ["*.cpp", "*.h", "*.rs", "*.py"]


def tracked_files():
    listing = subprocess.run(
        ["git", "ls-files", *PATTERNS], check=True, capture_output=True, text=True)
    return listing.stdout.split()


def main():
    too_long = 0
    for path in tracked_files():
        with open(path, encoding="utf-8") as file:
            lines = sum(1 for _ in file)
        if lines > LIMIT:
            print(f"{path}: {lines} lines, at most {LIMIT}")
            too_long += 1
    return too_long > 0


if __name__ == "__main__":
    sys.exit(main())
