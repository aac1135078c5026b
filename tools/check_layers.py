#!/usr/bin/env python3
"""Fails when a file includes a header from a folder its own folder may not use.

    main > app > config > {train, rollout, reward} > models > {nn, algo, text, data}
         > {ops, formats} > base

Folders on one level never include each other.
"""
import re
import sys
from pathlib import Path

ALLOWED = {  # folder: the folders it may include besides itself
    "base": "",
    "formats": "base",
    "hub": "base formats",
    "ops": "base",
    "data": "base formats",
    "text": "base formats data",
    "algo": "base ops",
    "nn": "base ops",
    "models": "base formats ops nn text",
    "rollout": "base ops data text nn models",
    "reward": "base data text",
    "train": "base formats ops data nn models algo",
    "config": "base formats ops data text algo nn models rollout reward train",
    "app": "base formats hub ops data text algo nn models rollout reward train config",
}
WITHOUT_MLX = {"base", "formats", "hub", "data", "text", "reward"}


def violations(root: Path):
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".h", ".cpp"):
            continue
        folder = path.relative_to(root).parts[0]
        if folder not in ALLOWED:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if folder in WITHOUT_MLX and re.match(r'#include [<"]mlx/', line):
                yield f"{path}:{number}: {folder}/ does not use MLX"
            match = re.match(r'#include "(\w+)/', line)
            used = match and match[1]
            if used in ALLOWED and used != folder and used not in ALLOWED[folder].split():
                yield f"{path}:{number}: {folder}/ may not include {used}/"


if __name__ == "__main__":
    found = list(violations(Path(sys.argv[1] if len(sys.argv) > 1 else "src")))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
