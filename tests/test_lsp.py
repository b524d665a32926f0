"""The language server, asked by a client as an editor asks it, and the laws of what it answers from."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from archforge.errors import DiagnosticError, SourceFile
from archforge.lsp.completion import completions
from archforge.lsp.cursor import cursor_at
from archforge.lsp.definition import definition
from archforge.lsp.marks import inlay_hints
from archforge.lsp.open_specs import Analysis, OpenSpecs
from archforge.lsp.schema_walk import entries, fragments
from archforge.lsp.symbols import new_name, references, symbol_at
from archforge.spec.yaml.tree import Mapping, Sequence, Tree, parse_yaml
from tests.pages import ROOT

NETS = (
    "inception_v3",
    "resnet",
    "nasnet_a_large",
    "nasnet_blocks",
    "mobilenet_v3",
    "lstm_text",
    "unet",
    "lenet_5_mnist",
    "regnet",
)
SPEC = """\
archforge: 1
title: Öl 🛢, für die Stellen
input: [3, 8, 8]
args: {width: 4, classes: 3}
blocks:
  unit:
    args: {out: int, stride: 1}
    body:
      - {conv: {out: =out, kernel: 3, padding: 1, stride: =stride}, name: "🛢"}
      - relu
graph:
  - unit: =width
  - {unit: =2*width, repeat: 2, first: {stride: 2}}
  - global_avg_pool
  - flatten
  - {linear: =classes, name: head}
"""
# Mappings whose keys are names that somebody makes up.
NEW_NAMES = {"args", "with", "let", "for", "first", "train"}
Session = Callable[[Callable[["Editor", Path], Awaitable[None]]], None]


def zoo(name: str) -> Path:
    return ROOT / "zoo_specs" / f"{name}.yaml"


def analysed(path: Path, text: str | None = None) -> Analysis:
    """The analysis of an open file."""
    workspace = OpenSpecs()
    workspace.open(path, path.read_text("utf-8") if text is None else text)
    return workspace.analyse(path)


def place(text: str, before: str, after: str = "") -> tuple[int, int]:
    """The line and column between two texts that stand side by side."""
    at = text.index(before + after) + len(before)
    return text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1)


# By a client


class Editor(LanguageClient):
    """A client that knows the diagnostics that it was sent last, by file."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.told: dict[str, list[types.Diagnostic]] = {}
        self.news = asyncio.Event()

        def keep(params: types.PublishDiagnosticsParams) -> None:
            self.told[params.uri] = list(params.diagnostics)
            self.news.set()

        self.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(keep)

    async def opened(self, path: Path, text: str = SPEC) -> types.TextDocumentIdentifier:
        self.news.clear()
        item = types.TextDocumentItem(path.as_uri(), "yaml", 1, text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))
        await self.news.wait()
        return types.TextDocumentIdentifier(path.as_uri())

    async def changed(self, path: Path, text: str) -> list[types.Diagnostic]:
        self.news.clear()
        whole = types.TextDocumentContentChangeWholeDocument(text)
        document = types.VersionedTextDocumentIdentifier(2, path.as_uri())
        self.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))
        await self.news.wait()
        return self.told[path.as_uri()]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs a conversation with a server whose folder holds `net.yaml`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(SPEC, "utf-8")

    async def talk(conversation: Callable[[Editor, Path], Awaitable[None]]) -> None:
        editor: Any = Editor()
        await editor.start_io(sys.executable, "-m", "archforge", "lsp")
        params = types.InitializeParams(types.ClientCapabilities(), root_uri=tmp_path.as_uri())
        await editor.initialize_async(params)
        editor.initialized(types.InitializedParams())
        await conversation(editor, tmp_path / "net.yaml")
        await editor.shutdown_async(None)
        editor.exit(None)
        await editor.stop()

    return lambda conversation: asyncio.run(asyncio.wait_for(talk(conversation), 120))


def position(text: str, before: str, after: str = "") -> types.Position:
    """A place in the units of the protocol, which are those of UTF-16."""
    line, column = place(text, before, after)
    start = text.split("\n")[line][:column]
    return types.Position(line, len(start.encode("utf-16-le")) // 2)


def marked(text: str, range: types.Range) -> str:
    """The text within a range of one line."""
    line = text.split("\n")[range.start.line].encode("utf-16-le")
    return line[2 * range.start.character : 2 * range.end.character].decode("utf-16-le")


def test_an_editor_gets_mistakes_with_places_and_ways_out(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        document = await client.opened(path)
        assert client.told[path.as_uri()] == []
        wrong = SPEC.replace(
            '{conv: {out: =out, kernel: 3, padding: 1, stride: =stride}, name: "🛢"}',
            '{conv: {out: =out}, name: "🛢", first: {stide: 1}, repeat: =out}',
        )
        wrong = wrong.replace("- relu", "- rleu")
        told = await client.changed(path, wrong)
        assert [(d.code, marked(wrong, d.range), d.severity) for d in told] == [
            ("E0406", "stide", types.DiagnosticSeverity.Error),
            ("E0301", "rleu", types.DiagnosticSeverity.Error),
        ]
        context = types.CodeActionContext(told)
        (action,) = await client.text_document_code_action_async(
            types.CodeActionParams(document, told[1].range, context)
        )
        ((edit,),) = action.edit.changes.values()
        assert (edit.new_text, marked(wrong, edit.range)) == ("relu", "rleu")
        (small,) = await client.changed(
            path, SPEC.replace("padding: 1", "padding: 0").replace("8, 8]", "2, 2]")
        )
        (call,) = small.related_information
        assert (small.code, marked(SPEC, call.location.range)) == ("E0403", "unit")
        told = await client.changed(path, SPEC.replace("classes: 3", "classes: 3, idle: 4"))
        assert [(d.code, d.severity) for d in told] == [("W0301", types.DiagnosticSeverity.Warning)]
        (meant,) = await client.text_document_code_action_async(
            types.CodeActionParams(document, told[0].range, types.CodeActionContext(told))
        )
        ((edit,),) = meant.edit.changes.values()
        lines = SPEC.replace("classes: 3", "classes: 3, idle: 4").split("\n")
        lines[edit.range.start.line] += edit.new_text
        assert await client.changed(path, "\n".join(lines)) == []

    session(conversation)


def test_an_editor_gets_meanings_values_shapes_and_costs(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        document = await client.opened(path)

        async def hover(before: str, after: str) -> str:
            at = position(SPEC, before, after)
            told = await client.text_document_hover_async(types.HoverParams(document, at))
            assert told
            assert marked(SPEC, told.range).startswith(after[:3])
            return str(told.contents.value)

        conv = await hover("- {", "conv: {out")
        assert "weighted sum" in conv
        assert "`unit1.🛢`: 4x8x8, 112 params, 6,912 MACs" in conv
        assert "- stride = 1\n- stride = 2" in await hover("padding: 1, ", "stride: =stride")
        assert "argument of net, 3 by default; here 3" in await hover("{linear: =", "classes")
        assert "8x4x4, 296 params, 4,608 MACs" in await hover("- {", "unit: =2*")
        whole = types.Range(types.Position(0, 0), types.Position(99, 0))
        hints = await client.text_document_inlay_hint_async(types.InlayHintParams(document, whole))
        shown = {SPEC.split("\n")[h.position.line].strip(): h.label for h in hints}
        assert shown["- relu"] == "→ 4x8x8 … 8x4x4"
        assert shown["- {linear: =classes, name: head}"] == "→ 3"
        lenses = await client.text_document_code_lens_async(types.CodeLensParams(document))
        costs = {SPEC.split("\n")[x.range.start.line].strip(): x.command.title for x in lenses}
        assert costs["graph:"].startswith("1,019 params, 20,760 MACs")
        assert costs["unit:"].startswith("3 calls: ")
        items = await client.text_document_completion_async(
            types.CompletionParams(document, position(SPEC, "conv: {out: =out, ", "kernel"))
        )
        assert {"kernel", "groups"} <= {item.label for item in items}
        found = await client.text_document_definition_async(
            types.DefinitionParams(document, position(SPEC, "- {un", "it"))
        )
        assert (found.uri, marked(SPEC, found.range)) == (path.as_uri(), "unit")

    session(conversation)


def test_an_editor_renames_and_is_refused_what_would_change_a_network(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        document = await client.opened(path)
        at = position(SPEC, "=", "stride}")
        found = await client.text_document_references_async(
            types.ReferenceParams(types.ReferenceContext(True), document, at)
        )
        assert [marked(SPEC, location.range) for location in found] == ["stride"] * 3
        edit = await client.text_document_rename_async(types.RenameParams(document, at, "step"))
        lines = SPEC.split("\n")
        for change in edit.changes[path.as_uri()]:
            line = lines[change.range.start.line].encode("utf-16-le")
            start, end = 2 * change.range.start.character, 2 * change.range.end.character
            new = line[:start] + change.new_text.encode("utf-16-le") + line[end:]
            lines[change.range.start.line] = new.decode("utf-16-le")
        assert "\n".join(lines) == SPEC.replace("stride: 1}", "step: 1}").replace("=stride", "=step").replace(
            "{stride: 2}", "{step: 2}"
        )
        with pytest.raises(Exception, match="would change net"):
            await client.text_document_rename_async(types.RenameParams(document, at, "out"))

    session(conversation)


def test_a_template_shows_a_network_that_extends_it_and_its_mistakes_stand_in_it(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        template = path.with_name("family.yaml")
        text = "archforge: 1\nkind: template\ninput: [3, 8, 8]\nargs: {out: int}\ngraph: [{conv: =out}]\n"
        template.write_text(text)
        path.with_name("child.yaml").write_text("archforge: 1\nextends: family\nwith: {out: 7}\n")
        document = await client.opened(template, text)
        whole = types.Range(types.Position(0, 0), types.Position(9, 0))
        (hint,) = await client.text_document_inlay_hint_async(types.InlayHintParams(document, whole))
        assert hint.label == "→ 7x8x8"
        (told,) = await client.changed(template, text.replace("conv: =out", "linear: =out"))
        assert (told.code, told.range.start.line) == ("E0401", 4)

    session(conversation)


def test_a_mistake_stands_in_a_template_as_long_as_any_open_spec_makes_it(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        template, right, wrong = (path.with_name(f"{n} {n}.yaml") for n in ("family", "right", "wrong"))
        text = (
            "archforge: 1\nkind: template\ninput: [3, 8, 8]\nargs: {size: int}\n"
            "graph: [{conv: {out: 4, kernel: =size}}]\n"
        )
        child = "archforge: 1\nextends: family family\nwith: {size: 1}\n"
        for file, kept in ((template, text), (right, child), (wrong, child)):
            file.write_text(kept)
            await client.opened(file, kept)

        async def told(*, until: int) -> list[types.Diagnostic]:
            while len(client.told[template.as_uri()]) != until:
                client.news.clear()
                await client.news.wait()
            return list(client.told[template.as_uri()])

        await client.changed(wrong, child.replace("1}", "11}"))
        assert [d.code for d in await told(until=1)] == ["E0403"]
        await client.changed(right, child.replace("1}", "3}"))
        await client.changed(template, text.replace("archforge", "# the last of them\narchforge"))
        while [d.range.start.line for d in await told(until=1)] != [5]:
            client.news.clear()
            await client.news.wait()
        await client.changed(wrong, child)
        await told(until=0)

    session(conversation)


def test_what_is_asked_of_a_closed_file_is_refused(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        document = await client.opened(path.with_name("gone.yaml"))
        client.text_document_did_close(types.DidCloseTextDocumentParams(document))
        with pytest.raises(Exception, match="is not open"):
            await client.text_document_hover_async(types.HoverParams(document, types.Position(0, 0)))

    session(conversation)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\u2028"])
def test_a_line_ends_where_yaml_ends_it(end: str, tmp_path: Path) -> None:
    found = analysed(
        tmp_path / "net.yaml", SPEC.replace("stride: 1}", f"stride: 1}}  # here{end}    # there")
    )
    assert found.diagnostics == ()
    assert [hint.label for hint in inlay_hints(found, 0, 99)][-1] == "→ 3"
    assert inlay_hints(found, 0, 99)[-1].position.line == SPEC.count("\n")


def test_an_editor_lays_out_a_spec(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        untidy = SPEC.replace("- relu", "-   relu")
        document = await client.opened(path, untidy)
        asked = types.DocumentFormattingParams(document, types.FormattingOptions(2, insert_spaces=True))
        (edit,) = await client.text_document_formatting_async(asked)
        assert "-   relu" not in edit.new_text
        await client.changed(path, edit.new_text)
        assert not await client.text_document_formatting_async(asked)
        await client.changed(path, "graph: [")
        assert not await client.text_document_formatting_async(asked)

    session(conversation)


def test_yaml_of_others_is_left_alone(session: Session) -> None:
    async def conversation(client: Any, path: Path) -> None:
        other = path.parent / "others" / "compose.yaml"
        other.parent.mkdir()
        other.write_text("services: {a: 1}\n")
        item = types.TextDocumentItem(other.as_uri(), "yaml", 1, "services: {a: 1}\n")
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        items = await client.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(other.as_uri()), types.Position(1, 0))
        )
        assert not items
        await client.opened(path)
        assert list(client.told) == [path.as_uri()]
        mistyped = path.with_name("mistyped.yaml")
        await client.opened(mistyped, "archforg: 1\n")
        assert client.told[mistyped.as_uri()][0].code == "E0201"

    session(conversation)


# Of what is still being written


@pytest.mark.parametrize("name", NETS)
def test_every_key_of_the_zoo_would_have_been_proposed(name: str) -> None:
    path = zoo(name)
    text = path.read_text("utf-8")
    found, lines = analysed(path), text.split("\n")
    known = set(entries(fragments(found.schema, ("graph", "-")))) | set(found.schema["properties"])
    missed, seen = [], 0
    for line, column, key in _keys(parse_yaml(SourceFile(name, text))):
        cursor = cursor_at("\n".join([*lines[:line], lines[line][:column]]), line, column)
        if key not in known or NEW_NAMES & {*cursor.path} or cursor.path[-1:] in (("blocks",), ("expect",)):
            continue
        seen += 1
        items = completions(found, path, "\n".join(lines[: line + 1]), line, column)
        if key not in {item.label for item in items}:
            missed.append((line + 1, column + 1, key, cursor.path))
    assert missed == []
    assert seen > 5


def _keys(tree: Tree) -> list[tuple[int, int, str]]:
    if isinstance(tree, Sequence):
        return [key for item in tree.items for key in _keys(item)]
    if not isinstance(tree, Mapping):
        return []
    own = [(e.key_span.line, e.key_span.column, e.key) for e in tree]
    return own + [key for entry in tree for key in _keys(entry.value)]


@pytest.mark.parametrize("name", NETS)
def test_no_place_of_an_unfinished_text_is_without_an_answer(name: str) -> None:
    path = zoo(name)
    text = path.read_text("utf-8")
    found = analysed(path)
    for end in range(0, len(text), max(len(text) // 60, 1)):
        line, column = text.count("\n", 0, end), end - (text.rfind("\n", 0, end) + 1)
        for written in (text[:end], text):
            cursor = cursor_at(written, line, column)
            assert len(cursor.path) < 40
            completions(found, path, written, line, column)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "{",
        "[[[[",
        "a: 'b",
        'a: "',
        "- - - -",
        "graph: {" * 200,
        "a:\n\t- b",
        "}}]]",
        "é: =ü",
        "\r\n\r\n",
    ],
)
def test_hostile_texts_are_mistakes_and_no_more(text: str, tmp_path: Path) -> None:
    found = analysed(tmp_path / "x.yaml", text)
    assert found.diagnostics
    for line, content in enumerate(text.split("\n")):
        completions(found, found.path, text, line, len(content))


# Names


@pytest.mark.parametrize("kept", ["as: start", "as: {start: side}", "as: [start]", "append: start"])
def test_a_formula_is_proposed_what_steps_name_however_it_is_written(kept: str, tmp_path: Path) -> None:
    text = (
        "archforge: 1\ninput: [3, 8, 8]\n"
        "blocks: {own: {body: [{relu: , as: inner}], outputs: {side: =x, start: =x}}}\n"
        "graph:\n  - let:\n      half: 4\n      whole: 8\n"
        f"  - {{own: , {kept}}}\n  - for:\n      wide: [4, 8]\n    do: {{conv: =wide}}\n"
        "  - {conv: =half}\noutputs: {it: =x}\n"
    )
    found = analysed(tmp_path / "net.yaml", text)
    for written, before in ((text, "{conv: ="), (text, "outputs: {it: ="), (text + "more: {", "{conv: =")):
        items = completions(found, found.path, written, *place(text, before))
        assert {"half", "whole", "start", "wide", "x", "input", "i"} <= {item.label for item in items}
        assert "inner" not in {item.label for item in items}


def test_a_new_name_reaches_every_spec_that_uses_it(tmp_path: Path) -> None:
    for source in (ROOT / "zoo_specs").glob("lenet*.yaml"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    path = tmp_path / "lenet.yaml"
    found = analysed(path)
    line, column = place(found.text, "\n  ", "hidden:")
    symbol = symbol_at(found, line, column)
    assert symbol
    places = new_name(symbol, "inner", {})
    assert path in places
    assert len(places) > 1
    for file, spans in places.items():
        lines = file.read_text("utf-8").split("\n")
        assert {lines[s.line][s.column : s.column + s.length] for s in spans} == {"hidden"}
    with pytest.raises(DiagnosticError, match="would change lenet"):
        new_name(symbol, "classes", {})
    with pytest.raises(DiagnosticError, match="no name"):
        new_name(symbol, "in ner", {})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("args: {", "width: 4"),
        ("args: {", "out: int"),
        ("out: int, ", "stride: 1"),
        ("{linear: =", "classes"),
        ("stride: =", "stride"),
        ("- {", "unit: =2"),
        ("\n  ", "unit:"),
    ],
)
def test_what_can_be_renamed_has_its_declaration_as_definition(
    before: str, after: str, tmp_path: Path
) -> None:
    found = analysed(tmp_path / "net.yaml", SPEC)
    at = place(SPEC, before, after)
    symbol = symbol_at(found, *at)
    assert symbol
    assert symbol.declared.text == symbol.name == re.match(r"\w+", after)[0]  # type: ignore[index]
    assert definition(found, *at) == symbol.declared


@pytest.mark.parametrize("imports", ["imports: [parts]", "imports:\n  - parts", "imports:\n- parts"])
def test_an_import_is_found_however_it_is_written(imports: str, tmp_path: Path) -> None:
    path, user = tmp_path / "parts.yaml", tmp_path / "net.yaml"
    path.write_text("archforge: 1\nkind: blocks\nblocks:\n  unit: {body: [relu]}\n")
    user.write_text(f"archforge: 1\n{imports}\ninput: [3, 8, 8]\ngraph: [unit]\n")
    found = analysed(path)
    assert found.network
    symbol = symbol_at(found, *place(found.text, "\n  ", "unit:"))
    assert symbol
    assert {*new_name(symbol, "other", {})} == {path, user}


def test_names_of_the_shipped_zoo_stay() -> None:
    found = analysed(zoo("resnet_18"))
    line, column = place(found.text, "with: {", "")
    symbol = symbol_at(found, line, column)
    assert symbol
    assert references(symbol, {})
    with pytest.raises(DiagnosticError, match="shipped zoo"):
        new_name(symbol, "x", {})


@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_whose_editor_is_still_there(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "archforge", "lsp"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}'
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        server.stdin.flush()
        assert server.stdout.readline().startswith(b"Content-Length")
        server.send_signal(number)
        assert server.wait(60) == -number


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_extension_of_vs_code_passes_its_tests() -> None:
    command = f"{sys.executable} -m archforge lsp"
    done = subprocess.run(
        ["node", "--test"],
        cwd=ROOT / "editors" / "vscode",
        env=os.environ | {"ARCHFORGE_LSP": command, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "pass 3" in done.stdout


def test_without_the_extra_the_way_out_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith(("archforge.lsp.server", "pygls"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pygls", None)
    code, out, err = run("lsp")
    assert (code, out) == (2, "")
    assert "archforge-zoo[lsp]" in err
