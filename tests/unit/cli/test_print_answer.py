"""What the command line prints of an answer, and where its notice is."""

import httpx
import pytest

from lib.cli.client import notice_of
from lib.cli.print_answer import print_answer
from lib.text_table import Field, TextTable

NOTICE = "The market is simulated: 100 % of it."


def answer(body: bytes = b'{"data": []}', tag: str = 'W/"a"') -> httpx.Response:
    return httpx.Response(200, content=body, headers={"etag": tag, "x-notice": NOTICE.replace("%", "%25")})


def table(body, columns) -> TextTable:
    return TextTable("Title", [Field("Rank")], [("1",)])


def test_the_notice_is_the_last_line_of_a_table(capsys):
    print_answer(answer(), table)
    printed = capsys.readouterr()
    assert (printed.out.splitlines()[-1], printed.err) == (NOTICE, "")


def test_the_notice_of_a_file_is_on_stderr(capsys):
    print_answer(answer(b"rank\r\n1\r\n"))
    assert capsys.readouterr() == ("rank\r\n1\r\n", f"{NOTICE}\n")


@pytest.mark.parametrize("table", [None, table])
def test_an_answer_with_the_tag_of_the_one_before_it_is_not_printed_again(table, capsys):
    tag = print_answer(answer(), table)
    capsys.readouterr()
    assert print_answer(answer(), table, unless_tag=tag) == tag
    assert capsys.readouterr() == ("", "")
    assert print_answer(answer(tag='W/"b"'), table, unless_tag=tag) == 'W/"b"'
    assert capsys.readouterr().out


def test_a_notice_has_no_control_characters():
    assert notice_of(httpx.Response(200, headers={"x-notice": "a%1B[2Jb"})) == "a [2Jb"
