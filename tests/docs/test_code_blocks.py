"""The code blocks of the documentation parse. Their imports, commands and options exist."""

import ast
import configparser
import importlib
import json
import re
import shutil
import subprocess
import tomllib

import pytest
from django.core.management import get_commands, load_command_class

from .pages import PAGES, ROOT, Block, all_blocks, prose_of

OURS = ("sagas", "sagaproject", "integrations", "django", "rest_framework", "pytest")
MANAGE = re.compile(r"manage\.py ([a-z_]+)([^\n`|&;)]*)")
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")
DEMO = {"drf_create_token"}


def place_of(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", all_blocks("python"), ids=place_of)
def test_python_compiles(block):
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize("block", all_blocks("python"), ids=place_of)
def test_what_python_imports_exists(block):
    missing = []
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            missing += [alias.name for alias in node.names if not _exists(alias.name)]
        if isinstance(node, ast.ImportFrom) and node.module:
            missing += [f"{node.module}.{alias.name}" for alias in node.names if not _exists(node.module, alias.name)]

    assert missing == []


def _exists(module: str, name: str = "") -> bool:
    if module.partition(".")[0] not in OURS:
        return True  # a module of the reader's project, such as `myapp`
    found = importlib.import_module(module)
    return not name or hasattr(found, name)


@pytest.mark.parametrize("block", all_blocks("json"), ids=place_of)
def test_json_parses(block):
    json.loads(block.text)


@pytest.mark.parametrize("block", all_blocks("toml"), ids=place_of)
def test_toml_parses(block):
    tomllib.loads(block.text)


@pytest.mark.parametrize("block", all_blocks("ini"), ids=place_of)
def test_ini_parses(block):
    configparser.ConfigParser().read_string(block.text)


@pytest.mark.parametrize("block", all_blocks("sh"), ids=place_of)
def test_shell_parses(block):
    checked = subprocess.run(
        [shutil.which("bash"), "-n"], input=block.text, text=True, capture_output=True, check=False
    )

    assert checked.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page):
    calls = MANAGE.findall(page.read_text())
    strange = [name for name, _ in calls if name not in get_commands()]
    strange += [
        f"{name} {option}"
        for name, rest in calls
        if name in get_commands()
        for option in OPTION.findall(rest)
        if option not in _options_of(name)
    ]

    assert strange == []


def _options_of(name: str) -> set[str]:
    command = load_command_class(get_commands()[name], name)
    return {option for action in command.create_parser("manage.py", name)._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = "\n".join(block.text for block in all_blocks("", "sh") if block.page == page)
    named = set(re.findall(r"`make ([a-z]+)", prose_of(page))) | set(
        re.findall(r"^make ([a-z]+)", blocks, re.MULTILINE)
    )

    assert named - targets == set()
