"""Parts of the site that are made while it is built: pages of commands and notebooks, tables of names, links."""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from enerv_zoo.cli.app import app
from enerv_zoo.cli.help import panels, usage

APP = typer.main.get_command(app)
CODE = re.compile(r"(enerv-zoo [a-z]+(?: --[a-z]+)?|--[a-z][\w-]*)")
INLINE_CODE = re.compile(r"(?<!</span>)<code>[^<]+</code>")
HYPHENATED = re.compile(r"(?<![\w./-])[\w.-]*-[\w.-]*(?![\w./-])")
ENTRY = re.compile(r"^::: ([\w.]+)(?:\n +options: \{members: \[([^\]]*)\]\})?$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each command and notebook, and the examples that pages link."""
    for path in sorted(Path(config.docs_dir).parent.glob("examples/*.*")):
        files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
    for name, command in APP.commands.items():
        files.append(File.generated(config, f"commands/{name}.md", content=command_page(name, command)))
    for path in sorted(Path(config.docs_dir).glob("notebooks/*.ipynb")):
        for name, content in notebook_files(path):
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables of commands and of names where their pages ask for them; find examples and notebooks' pages."""
    if page.file.src_uri == "commands/index.md":
        return markdown.replace(
            "<!-- commands -->", "\n".join(_described(APP, typer.Context(APP, info_name="enerv-zoo")))
        )
    if page.file.src_uri == "api/index.md":
        return markdown.replace("<!-- names -->", "\n".join(_name_table(Path(config.docs_dir, "api"))))
    if page.file.src_uri.startswith("notebooks/"):
        return markdown  # which links the notebook itself
    return markdown.replace("](../examples/", "](examples/").replace(".ipynb)", ".md)")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keep names and options within text in one line: a browser would break them after a hyphen."""
    return INLINE_CODE.sub(lambda match: HYPHENATED.sub(r'<span class="word">\g<0></span>', match[0]), html)


def command_page(name: str, command: Any) -> str:
    """Return the help of a command as Markdown."""
    context = typer.Context(command, info_name=f"enerv-zoo {name}")
    lines = [f"# {name}", "", "```text", usage(command, context), "```"]
    for paragraph in inspect.cleandoc(command.help).split("\n\n"):
        text = " ".join(paragraph.split())
        lines += ["", *(("```sh", text, "```") if paragraph.startswith("    ") else (_prose(text),))]
    return "\n".join([*lines, *_described(command, context)]).replace("```\n\n```sh\n", "") + "\n"


def notebook_files(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield names and contents of the pictures and the page of a notebook: prose, code, what it printed and drew."""
    blocks = []
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        text = "".join(cell["source"])
        blocks.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                picture = f"{path.stem}-{number}.png"
                yield picture, base64.b64decode("".join(output["data"]["image/png"]))
                blocks.append(f"![What the cell above draws]({picture})")
            elif output["output_type"] in ("execute_result", "stream"):
                printed = output["text"] if "text" in output else output["data"]["text/plain"]
                blocks.append(f"```text\n{''.join(printed).rstrip()}\n```")
    blocks.insert(1, f"*This page is a [notebook]({path.name}): download it and open it in Jupyter.*")
    yield f"{path.stem}.md", "\n\n".join(blocks) + "\n"


def _described(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the panels of a command's help as definition lists; a command's name links its page."""
    for title, rows in panels(command, context).items():
        if rows:
            yield from ("", f"## {title}")
        for name, text in rows:
            yield from ("", f"[`{name}`]({name}.md)" if name in APP.commands else f"`{name}`", f":   {_prose(text)}")


def _name_table(folder: Path) -> Iterator[str]:
    yield from ("| page | names |", "|---|---|")
    for path in sorted(folder.glob("*.md")):
        text = path.read_text()
        names = [
            f"{module}.{name}" if name else module
            for module, members in ENTRY.findall(text)
            for name in (members.split(", ") if members else [""])
        ]
        if names:
            links = ", ".join(f"[`{name.rpartition('.')[2]}`][{name}]" for name in names)
            yield f"| [{text.splitlines()[0].removeprefix('# ')}]({path.name}) | {links} |"


def _prose(text: str) -> str:
    """Return a text in which nothing is markup, and commands and options are code."""
    parts = CODE.split(text)  # every second one is code
    parts[::2] = [re.sub(r"([\\`*_|])", r"\\\1", escape(part, quote=False)) for part in parts[::2]]
    return "".join(f"`{part}`" if n % 2 else part for n, part in enumerate(parts))
