"""The Dockerfile, against compose and the project."""

import re
import tomllib

from tests.stack_files.files import ROOT, compose

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
STAGES = re.split(r"(?m)^FROM ", TEXT)[1:]
BUILD, LAST = STAGES
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_both_stages_use_the_same_pinned_python_that_the_project_supports():
    (base,) = re.findall(r"(?m)^ARG PYTHON=python:(3\.\d+\.\d+)-slim-\w+$", TEXT)
    assert [stage.split()[0] for stage in STAGES] == ["${PYTHON}", "${PYTHON}"]
    assert base.rsplit(".", 1)[0] == PROJECT["project"]["requires-python"].removeprefix(">=")


def test_the_environment_is_the_locked_one_without_the_developers_tools():
    assert re.search(r"uv==\d+\.\d+\.\d+", BUILD)
    for command in re.findall(r"uv sync .*", BUILD):
        assert {"--locked", "--no-dev", "--no-editable"} <= set(command.split())


def test_a_build_argument_chooses_the_build_of_polars_for_older_cpus():
    assert "rtcompat" in PROJECT["project"]["optional-dependencies"]
    assert "ARG POLARS" in BUILD
    assert "--build-arg POLARS=rtcompat" in TEXT
    for command in re.findall(r"uv sync .*", BUILD):
        assert command.endswith(' ${POLARS:+--extra "$POLARS"}')


def test_everything_locked_has_its_hash():
    locked = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    foreign = [package for package in locked if package["source"] != {"editable": "."}]
    assert len(foreign) > 50
    for package in foreign:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


def test_no_layer_is_given_a_secret():
    assert not re.search(r"(?im)^(?:ARG|ENV) .*(?:KEY|TOKEN|SECRET|PASSWORD)", TEXT)
    assert not re.search(r"--mount=type=secret|\.env|COPY \. ", TEXT)


def test_the_last_stage_copies_the_environment_and_nothing_else():
    assert re.findall(r"(?m)^(?:COPY|ADD) .*", LAST) == ["COPY --from=build /opt/topcoins /opt/topcoins"]
    assert "UV_PROJECT_ENVIRONMENT=/opt/topcoins" in BUILD
    assert not re.search(r"apt-get|uv |curl|wget", LAST)
    assert re.search(r"pip uninstall .*setuptools wheel pip", LAST)


def test_it_runs_as_the_plain_user_compose_names():
    (user,) = re.findall(r"(?m)^USER (\S+)$", LAST)
    ours = [service for service in compose()["services"].values() if service["image"] == "topcoins:local"]
    assert {service["user"] for service in ours} == {user}
    assert f"install -d -o {user.split(':')[0]} -g {user.split(':')[1]}" in LAST


def test_every_folder_a_volume_covers_is_made_for_that_user():
    made = set(" ".join(re.findall(r"install -d [^\n]*\n((?:[^\n]*/[^\n]*\n)+)", LAST)).split())
    covered = {
        mount.split(":")[1]
        for service in compose()["services"].values()
        if service["image"] == "topcoins:local"
        for mount in service.get("volumes", [])
    }
    assert covered <= made
    assert "TOPCOINS_SPOOL_DIR=/spool" in LAST


def test_the_builder_is_sent_what_the_image_is_made_of_and_nothing_else():
    sent = re.findall(r"(?m)^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"))
    copied = [name for line in re.findall(r"(?m)^COPY (.+) \S+$", BUILD) for name in line.split()]
    assert sorted(sent) == sorted(copied)
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied)
    assert all((ROOT / name).exists() for name in sent)
