"""The commands that ask a running API."""

import pytest

from lib.cli.ask import _address
from lib.errors import SettingsRejected


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter22secret9@127.0.0.1:6667",
        "http://127.0.0.1:6667/?key=hunter22secret9",
        "http://127.0.0.1:6667/#hunter22secret9",
        "http://[::1/hunter22secret9",
        "ftp://127.0.0.1/hunter22secret9",
        "sqlite:///hunter22secret9",
        "",
    ],
)
def test_an_address_that_is_none_is_refused_in_one_sentence_that_shows_no_secret(url):
    with pytest.raises(SettingsRejected, match=r"^--url .*; for example http://127\.0\.0\.1:6667$") as refused:
        _address(url)
    assert "hunter22secret9" not in str(refused.value)


def test_an_address_loses_the_slash_at_its_end():
    assert _address("http://127.0.0.1:6667/") == "http://127.0.0.1:6667"
