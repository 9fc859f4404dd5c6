"""Run a config as the command line does."""

import config
from run import main


def run(values, folder, name, *overrides):
    """Write a config and run it; return its run folder."""
    path = folder / f"{name}.yaml"
    path.write_text(config.dump(values))
    assert main(["-f", str(path), f"run.folder={folder}", f"run.name={name}", *overrides]) == 0
    return folder / name


def refused(values, folder, capsys, *overrides):
    """Write a config, run it, which must end in an error, and return what it says."""
    path = folder / "refused.yaml"
    path.write_text(config.dump(values))
    assert main(["-f", str(path), f"run.folder={folder}", *overrides]) == 2
    return capsys.readouterr().err
