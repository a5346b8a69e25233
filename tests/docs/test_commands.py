"""Every command of the README and the pages is run, on one demo; example answers have the keys of real ones."""

import csv
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from lib.clock import utc_now
from lib.version import VERSION
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, examples
from tests.flow.forks import Forks
from tests.flow.processes import Api, Stage, eventually
from tests.influxd import VERIFIES
from tests.ports import free_port

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("docs")]

WITHIN_S = 60.0
FILLED_WITHIN_S = 150.0
BIN = Path(sys.executable).parent
RUN = [block for block in all_blocks() if block.runs]
SERVE = [block for block in all_blocks() if block.serves and "topcoins demo" not in block.text]
PYTHON = [block for block in all_blocks() if block.words == ("python",)]
EXAMPLES = [pair for page in PAGES for pair in examples(page)]
OPEN_MAPS = {"missing_last_hour", "causes", "unshared"}
"""Maps whose keys depend on the data."""
UV = '#!/bin/sh\n[ "$1" = run ] || exit 64\nshift\nexec "$@"\n'
PLAIN: dict[str, Any] = {"trust_env": False, "verify": VERIFIES}
PIP = '#!/bin/sh\n[ "$*" = "install uv" ]\n'


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo that a page's own command has started, and what its reader's shell has for other commands."""

    api: Api
    environ: Mapping[str, str]
    forks: Forks

    def curl(self, command: str) -> httpx.Response:
        """What `curl 'http://localhost:6667…'` gets, or `curl --json DATA …`."""
        words = shlex.split(command)[1:]
        data = words.pop(words.index("--json") + 1) if "--json" in words else None
        (url,) = (word for word in words if word.startswith("http"))
        headers = {"last-event-id": f"price:{int((utc_now() - timedelta(minutes=5)).timestamp())}"}
        url = url.replace("localhost:6667", f"127.0.0.1:{self.api.port}")
        method = "GET" if data is None else "POST"
        with httpx.stream(method, url, content=data, headers=headers, timeout=WITHIN_S, **PLAIN) as response:
            if response.headers["content-type"].startswith("text/event-stream"):  # has no end: five events are enough
                text = "".join(line + "\n" for line, _ in zip(response.iter_lines(), range(20), strict=False))
                return httpx.Response(response.status_code, text=text)
            response.read()
            return response

    def run(self, text: str, folder: Path) -> None:
        """Run commands in a shell, as their reader would."""
        shell = ["bash", "-e", "-u", "-c", text]
        done = subprocess.run(shell, cwd=folder, env=self.environ, capture_output=True, text=True, timeout=WITHIN_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def run_python(self, block: Block, folder: Path) -> None:
        """Run a block of Python in its own process."""
        text = block.text.replace("localhost:6667", f"127.0.0.1:{self.api.port}")
        strict = f"import warnings\nwarnings.simplefilter('error')\n{text}"
        done = self.forks.run("python", "-c", strict, environ=self.environ, folder=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def tools(folder: Path) -> Path:
    """A folder with `uv` and `pip` that fetch nothing: `uv run` runs what is installed here."""
    folder.mkdir()
    for name, text in (("uv", UV), ("pip", PIP)):
        (folder / name).write_text(text, "utf-8")
        (folder / name).chmod(0o755)
    return folder


def settings(folder: Path, simulator: str) -> dict[str, str]:
    """Settings of the demo's reader: the store of the demo, the vendors of its simulator."""
    own = {
        "STORE_URL": f"sqlite:///{folder / 'topcoins.db'}",
        "SPOOL_DIR": folder / "spool",
        "CMC_URL": simulator,
        "COINDESK_URL": simulator,
        "CMC_API_KEY": "demo",
        "COINDESK_API_KEY": "demo",
    }
    return {f"TOPCOINS_{name}": str(value) for name, value in own.items()}


@pytest.fixture(scope="module")
def environ() -> Mapping[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    return own | {"PYTHONUNBUFFERED": "1", "POLARS_MAX_THREADS": "1"}


@pytest.fixture(scope="module")
def demo(environ, tmp_path_factory, forks) -> Iterator[Demo]:
    """The README's own command for the demo, with a smaller market and free ports. `topcoins` is forked."""
    folder = tmp_path_factory.mktemp("docs")
    path = f"{forks.bin}:{tools(folder / 'bin')}:{BIN}:{environ['PATH']}"
    (block,) = (block for block in all_blocks() if block.serves and "topcoins demo" in block.text)
    ports = free_port(), free_port()
    options = f"--assets 120 --history 95m --data kept --port {ports[0]} --safe-port {ports[1]}"
    with Stage(folder, {**environ, "PATH": path}) as stage:
        command = block.text.replace("topcoins demo", f"topcoins demo {options}").replace("&& uv", "&& exec uv")
        process = stage.command("bash", "-e", "-c", command)
        eventually(lambda: "Ctrl-C ends it" in process.err or not process.runs, FILLED_WITHIN_S)
        assert process.runs, process.err
        (simulator,) = re.findall(r"http://127\.0\.0\.1:\d+", (folder / "kept" / "simulator.log").read_text("utf-8"))[
            :1
        ]
        own = settings(folder / "kept", simulator) | {"TOPCOINS_HTTP_PORT": str(ports[0]), "PATH": path}
        yield Demo(Api(process, *ports), {**environ, **own}, forks)
        process.send(signal.SIGINT)
        assert process.ends() == 0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that commands name: those that the pages show, and recorded answers."""
    for block in all_blocks():
        if block.is_file:
            (tmp_path / block.words[1]).write_text(block.text, "utf-8")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_of_commands_runs(demo: Demo, block: Block, checkout: Path):
    curls = [command for command in block.commands if command.startswith("curl ")]
    others = [command for command in block.commands if command not in curls]
    if others:
        demo.run("\n".join(others), checkout)
    for command in curls:
        assert demo.curl(command).status_code < 500


def test_the_status_has_the_version(demo: Demo):
    assert demo.api.get("/v1/status").json()["version"] == VERSION


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_block_of_python_runs_and_prints(demo: Demo, block: Block, checkout: Path):
    demo.run_python(block, checkout)


@pytest.mark.parametrize("block", SERVE, ids=str)
def test_a_block_that_serves_starts_and_ends_with_ctrl_c(demo: Demo, block: Block, checkout: Path):
    port, safe_port = free_port(), free_port()
    *before, last = block.commands
    text = "\n".join([*before, f"exec {last}"]).replace("topcoins simulate", f"topcoins simulate --port {port}")
    own: dict[str, object] = {"HTTP_PORT": port, "HTTP_SAFE_PORT": safe_port, "ASSETS": 120}
    own |= {"STORE_URL": f"sqlite:///{checkout / 'topcoins.db'}"}
    with Stage(checkout, demo.environ) as stage:
        process = stage.command("bash", "-c", text, SPOOL_DIR=checkout / "spool", **own)
        process.until(lambda: answers(port))
        process.send(signal.SIGINT)
        assert process.ends() == 0, process.out + process.err
        assert stage.alive() == []


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=WITHIN_S, **PLAIN)
    except httpx.TransportError:
        return False
    return True


@pytest.mark.parametrize(("block", "example"), EXAMPLES, ids=str)
def test_an_example_answer_has_the_keys_of_a_real_one(demo: Demo, block: Block, example: Block):
    (command,) = block.commands
    text = demo.curl(command).text
    match example.language:
        case "json":
            assert difference(orjson.loads(example.text), orjson.loads(text)) is None
        case "csv":
            documented, real = (list(csv.reader(io.StringIO(each))) for each in (example.text, text))
            assert documented[0] == real[0]
            assert {len(row) for row in documented} == {len(row) for row in real}
        case "table":
            documented_lines, lines = example.text.splitlines(), text.splitlines()
            assert documented_lines[2].split() == lines[2].split()
            assert max(map(len, [*documented_lines, *lines])) <= 80
        case "text" if "data: " in example.text:
            assert set(re.findall(r"(?m)^\w+:", example.text)) <= set(re.findall(r"(?m)^\w+:", text))
            documented, real = (re.findall(r"(?m)^data: (.*)", each)[0] for each in (example.text, text))
            assert difference(orjson.loads(documented), orjson.loads(real)) is None
        case "text":
            series = {line.rpartition(" ")[0] for line in text.splitlines()}
            assert {line.rpartition(" ")[0] for line in example.text.splitlines()} <= series


def difference(documented: Any, real: Any, at: str = "") -> str | None:
    """Where the keys or the kinds of values differ; null, an empty list and open maps fit anything."""
    if documented is None or real is None or at.rpartition(".")[2] in OPEN_MAPS:
        return None
    if isinstance(documented, dict) and isinstance(real, dict):
        if documented.keys() != real.keys():
            return f"{at}: {sorted(documented.keys() ^ real.keys())}"
        return next(filter(None, (difference(documented[key], real[key], f"{at}.{key}") for key in documented)), None)
    if isinstance(documented, list) and isinstance(real, list):
        return difference(documented[0], real[0], f"{at}[0]") if documented and real else None
    kinds = {
        float if isinstance(each, int | float) and not isinstance(each, bool) else type(each)
        for each in (documented, real)
    }
    return None if len(kinds) == 1 else f"{at}: {documented!r} and {real!r}"
