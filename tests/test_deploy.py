"""The units in deploy/ start what exists, and give it the time it needs."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from trainer.cli.parser import build_parser
from trainer.contract.exits import Exit
from trainer.supervise import Patience

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = ["lorelei-bot.service", "lorelei-trainer@.service"]


class Unit:
    """All values of each key of the [Service] section, in order."""

    def __init__(self, name):
        self.values = {}
        section = ""
        for line in (DEPLOY / name).read_text().splitlines():
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.values.setdefault(key, []).append(value)

    def __getitem__(self, key):
        return self.values[key][-1]

    def environment(self):
        return dict(pair.split("=", 1) for line in self.values["Environment"] for pair in shlex.split(line))


@pytest.fixture(params=UNITS)
def unit(request):
    return Unit(request.param)


@pytest.fixture
def trainer():
    return Unit("lorelei-trainer@.service")


def test_the_trainer_unit_starts_a_command_that_exists(trainer):
    program, dash_m, module, *arguments = shlex.split(trainer["ExecStart"].replace("%i", "1"))
    assert (program, dash_m, module) == ("/opt/lorelei/venv/bin/python", "-m", "trainer")
    args = build_parser().parse_args(arguments)
    assert (args.command, args.name, args.device) == ("serve", "gpu1", "cuda:1")
    assert str(args.inbox) == "/var/lib/lorelei/inboxes/gpu1"


def test_the_trainer_has_no_network_no_token_and_not_the_bots_data(trainer):
    assert trainer["PrivateNetwork"] == "yes"
    assert trainer.environment()["HF_HUB_OFFLINE"] == "1"
    assert "LoadCredential" not in trainer.values
    assert trainer["TemporaryFileSystem"] == "/var/lib/lorelei:ro"
    assert trainer["BindPaths"].split() == [f"/var/lib/lorelei/{name}" for name in ("jobs", "inboxes", "cache")]


def test_a_stopping_trainer_gets_the_time_to_write_its_state(trainer):
    assert Patience().stopping < float(trainer["TimeoutStopSec"])
    assert trainer["KillMode"] == "mixed", "the service, not systemd, tells the child"
    assert trainer["SuccessExitStatus"] == str(int(Exit.PAUSED))


def test_what_ends_unexpectedly_is_started_again_and_a_wrong_config_is_not(unit):
    assert unit["Restart"] == "always"
    assert unit["RestartPreventExitStatus"] == str(int(Exit.USAGE))
    assert unit["OOMPolicy"] == "continue"


def test_both_units_share_a_group_and_leave_files_to_it(unit):
    assert unit["Group"] == "lorelei"
    assert unit["UMask"] == "0007"
    assert unit["User"] in (DEPLOY / "lorelei.sysusers").read_text()


def test_the_folders_are_made_that_the_units_name(unit):
    made = re.findall(r"^d (\S+)", (DEPLOY / "lorelei.tmpfiles").read_text(), re.MULTILINE)
    for key in ("WorkingDirectory", "ReadWritePaths", "BindPaths"):
        for path in unit.values.get(key, [""])[-1].split():
            assert path in made


def test_the_readme_installs_every_file():
    readme = (DEPLOY / "README.md").read_text()
    for path in DEPLOY.iterdir():
        assert path.name in readme or path.name == "README.md"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(("name", "most"), [(UNITS[0], 1.5), (UNITS[1], 2.5)])
def test_systemd_understands_the_units_and_finds_them_tight(tmp_path, name, most):
    copy = tmp_path / name.replace("@", "@0")
    copy.write_text((DEPLOY / name).read_text().replace("/opt/lorelei/venv/bin/python", shutil.which("env")))
    verified = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert "Unknown" not in verified.stderr
    assert verified.returncode == 0, verified.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(copy)], capture_output=True, text=True, check=False
    )
    assert float(re.search(r"exposure level for \S+: ([0-9.]+)", rated.stdout)[1]) <= most
