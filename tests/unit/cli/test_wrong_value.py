"""Values that Typer refuses: one sentence with the option, the value and a valid one."""

import pytest
from typer.testing import CliRunner

from lib.cli import UsageError, wrong_value
from lib.cli.app import app

TOO_HIGH = "70000: is more than 65535, the most this parameter takes"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("top --limit ten", "--limit ten: is no whole number; for example --limit 20"),
        ("top --limit 0", "--limit 0: is less than 1, the least this parameter takes; for example --limit 20"),
        ("demo --assets 5O", "--assets 5O: is no whole number; for example --assets 500"),
        ("demo --port 70000", f"--port {TOO_HIGH}; for example --port 6667"),
        ("top --max-volume-to-cap x", "--max-volume-to-cap x: is no number; for example --max-volume-to-cap 1"),
        ("top --nope", None),
    ],
)
def test_a_wrong_value_is_one_sentence_and_another_mistake_is_typers_own(line, sentence):
    with pytest.raises(UsageError) as refused:
        app(line.split(), standalone_mode=False)
    assert wrong_value(refused.value) == sentence


def test_a_wrong_value_of_the_environment_is_named_by_its_variable():
    raised = CliRunner().invoke(app, ["demo"], env={"TOPCOINS_HTTP_PORT": "70000"}, standalone_mode=False).exception
    assert wrong_value(raised) == f"TOPCOINS_HTTP_PORT={TOO_HIGH}; for example TOPCOINS_HTTP_PORT=6667"
