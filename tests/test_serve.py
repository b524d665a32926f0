"""`archforge serve`: a saved spec is read again, mistakes are told at their lines, and other origins are
refused."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from archforge import driver
from archforge.analysis.network import Network
from archforge.cli.live_page import LivePage, PageServer
from archforge.errors import DiagnosticError
from tests.conftest import Run

SPEC = "archforge: 1\ntitle: Edited\ninput: [3, 8, 8]\ngraph:\n  - {conv: {out: 4, kernel: 3}, name: first}\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    return path


def save(path: Path, text: str) -> None:
    """Write a file as an editor does, at a moment that is another by the clock of the file system."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def refreshed(page: LivePage) -> LivePage:
    page.refresh()
    return page


# The page


def test_a_saved_spec_is_read_again_and_an_unchanged_one_is_not(spec: Path) -> None:
    page = refreshed(LivePage("net.yaml"))
    assert (page.version, page.networks[0].counts.params) == (1, 112)
    assert refreshed(page).version == 1
    save(spec, SPEC.replace("out: 4", "out: 8"))
    assert (refreshed(page).version, page.networks[0].counts.params) == (2, 224)


def test_mistakes_stand_at_their_lines_and_the_last_right_network_stays(spec: Path) -> None:
    page = refreshed(LivePage("net.yaml"))
    for broken, place in (
        (SPEC.replace("kernel: 3", "kernel: 30"), "net.yaml:5:"),
        (SPEC + "  - [", "net.yaml:"),
    ):
        save(spec, broken)
        assert place in refreshed(page).state()["mistakes"]
        assert page.networks[0].counts.params == 112
    save(spec, SPEC)
    assert refreshed(page).state()["mistakes"] == ""


def test_a_spec_that_is_saved_while_it_is_read_is_read_again(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, networks_of = refreshed(LivePage("net.yaml")), driver.networks_of
    save(spec, SPEC.replace("out: 4", "out: 8"))

    def saved_meanwhile(*given: Any, **options: Any) -> tuple[Network, ...]:
        save(spec, SPEC.replace("out: 4", "out: 16"))
        return networks_of(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(driver, "networks_of", saved_meanwhile)
        assert refreshed(page).networks[0].counts.params == 224
    assert refreshed(page).networks[0].counts.params == 448
    assert refreshed(page).version == 3


def test_a_template_is_watched_too(spec: Path) -> None:
    (spec.parent / "base.yaml").write_text(SPEC.replace("title", "kind: template\ntitle"))
    save(spec, "archforge: 1\nextends: base\n")
    page = refreshed(LivePage("net.yaml"))
    save(
        spec.parent / "base.yaml", SPEC.replace("title", "kind: template\ntitle").replace("out: 4", "out: 8")
    )
    assert refreshed(page).networks[0].counts.params == 224


def test_a_file_that_is_gone_for_a_moment_is_a_mistake_and_no_more(spec: Path) -> None:
    page = refreshed(LivePage("net.yaml"))
    spec.rename("aside")
    assert "E0" in refreshed(page).state()["mistakes"]
    Path("aside").rename(spec)
    assert refreshed(page).state()["mistakes"] == ""


def test_a_spec_that_is_not_there_is_refused(spec: Path) -> None:
    with pytest.raises(DiagnosticError, match="there is no spec `nut`"):
        LivePage("nut").refresh()


# The server


@pytest.fixture
def server(spec: Path) -> Iterator[PageServer]:
    with PageServer(refreshed(LivePage("net.yaml")), 0) as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, Any]:
    """The status, the text and the headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def test_the_page_asks_for_changes(server: PageServer, spec: Path) -> None:
    status, text, headers = ask(server, "/")
    assert (status, "Edited" in text, "connect-src 'self'" in headers["Content-Security-Policy"]) == (
        200,
        True,
        True,
    )
    assert ask(server, "/changes?have=1")[:2] == (204, "")
    save(spec, SPEC.replace("out: 4", "out: 8"))
    status, text, _ = ask(server, "/changes?have=1")
    changes = json.loads(text)
    assert (status, changes["version"], changes["views"][0]["counts"]["params"]) == (200, 2, 224)
    assert ask(server, "/changes?have=x")[0] == 200
    assert ask(server, "/net.yaml")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_origins_are_refused(server: PageServer, headers: dict[str, str]) -> None:
    for path in ("/", "/changes?have=0"):
        status, text, _ = ask(server, path, **headers)
        assert (status, text) == (403, "asked from another origin\n")


def test_nothing_but_reading_is_answered(server: PageServer) -> None:
    assert ask(server, "/", "POST")[0] == 501
    assert server.server_address[0] == "127.0.0.1"


# The command


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-"], "standard input cannot be edited"),
        (["nut"], "there is no spec `nut`"),
        (["unet", "-p", "x"], "E0315"),
    ],
)
def test_mistakes_of_the_command_are_told(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run("serve", *arguments, "--port", "0")
    assert (code, out, says in err) == (2, "", True)


def test_a_port_that_is_taken_is_refused(run: Run, server: PageServer) -> None:
    code, _, err = run("serve", "net.yaml", "--port", str(server.port))
    assert (code, "--port 0 takes a free one" in err) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_ctrl_c_ends_it_without_a_word(spec: Path) -> None:
    command = [sys.executable, "-m", "archforge", "serve", "net.yaml", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("", "")
