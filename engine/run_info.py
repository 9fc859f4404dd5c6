"""Facts that are needed to repeat a run."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import torch

import config


def run_info(command: list[str], seed: int | None) -> dict[str, Any]:
    """Return command, start (UTC), commit, package versions and machine as plain values for ``info.jsonl``."""
    packages = {}
    files = sorted(config.PROJECT_ROOT.glob("requirements*.txt"))
    for line in (line for file in files for line in file.read_text(encoding="utf-8").splitlines()):
        name = line.split("==")[0].strip()
        if "==" in line and not line.startswith("#"):
            try:
                packages[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                packages[name] = None
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "commit": git_commit(),
        "python": sys.version.split()[0],
        "packages": packages,
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "gpu": gpu,
            "threads": torch.get_num_threads(),
        },
    }


def git_commit() -> str | None:
    """Return the commit of the project, with ``+changes`` when the work tree differs, or None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(config.PROJECT_ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
