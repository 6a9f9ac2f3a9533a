"""The architecture as tests: who may import whom, and what stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "safetensors"}
CONTRACT = "trainer.contract"


def imports_of(path):
    """Full names of everything a file imports, wherever in it the import stands."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (parent, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def found(folder):
    """(file, imported name) for every import below a folder."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"{folder} has no files"
    return [(path.relative_to(ROOT), name) for path in files for name in imports_of(path)]


def is_below(name, package):
    return name == package or name.startswith(f"{package}.")


def test_the_contract_imports_only_the_standard_library_and_itself():
    strange = [
        (path, name)
        for path, name in found("trainer/contract")
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not is_below(name, CONTRACT)
        and not is_below(name, "trainer.presets")
    ]
    assert not strange


def test_the_contract_is_imported_without_any_installed_package():
    modules = [path.stem for path in (ROOT / "trainer/contract").glob("*.py") if path.stem != "__init__"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import " + ", ".join(f"{CONTRACT}.{m}" for m in modules)
    code += "; from trainer.contract.presets import load_preset; load_preset('face')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_packages_themselves_say_nothing():
    for package in ("bot", "trainer", "trainer/contract"):
        assert not (ROOT / package / "__init__.py").read_text().strip()


def test_the_trainer_knows_neither_discord_nor_the_bot():
    assert not [(path, name) for path, name in found("trainer") if name.partition(".")[0] in ("discord", "bot")]


def test_the_bot_knows_of_the_trainer_only_the_contract():
    strange = [
        (path, name) for path, name in found("bot") if is_below(name, "trainer") and not is_below(name, CONTRACT)
    ]
    assert not strange


def test_the_bot_imports_nothing_heavy():
    assert not [(path, name) for path, name in found("bot") if name.partition(".")[0] in HEAVY]


def test_nothing_unpickles():
    """A file from elsewhere must never run code. (Building the toy world resumes from files of its own making.)"""
    banned = ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal")
    for folder in ("bot", "trainer"):
        assert not [(path, name) for path, name in found(folder) if name.partition(".")[0] in banned]
        for path in (ROOT / folder).rglob("*.py"):
            for call in re.findall(r"torch\.load\([^\n]*", path.read_text("utf-8")):
                assert path.parent.name == "toy", path
                assert "weights_only=True" in call, path
            assert "torch.save(" not in path.read_text("utf-8") or path.parent.name == "toy", path


LIGHT = {
    "help": "from trainer.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    "serve": "import trainer.cli.serve",
    "service": "import trainer.service",
    "contract": "import trainer.contract.directory, trainer.contract.inbox",
}


@pytest.mark.parametrize("what", LIGHT)
def test_these_load_no_torch(what):
    code = f"{LIGHT[what]}\nimport sys\nheavy = {sorted(HEAVY | {'numpy', 'PIL'})}\n"
    code += "loaded = [name for name in heavy if name in sys.modules]\nassert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
