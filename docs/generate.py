"""Writes the reference pages that are made from the code: error codes and the HTTP interface.

python docs/generate.py            # write
python docs/generate.py --check    # exit code 1 if a page is not what the code says
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("keys", "linkage", "trustcenter")


def error_codes() -> dict[str, tuple[str, str]]:
    """Code → (kind, meaning), from the error classes and from the narrower codes given where errors are raised."""
    kinds: dict[str, str] = {}
    classes: dict[str, ast.ClassDef] = {}
    found: dict[str, tuple[str, str]] = {}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for p in PACKAGES for path in sorted((ROOT / p).rglob("*.py"))]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                classes[node.name] = node

    def attribute(name: str, wanted: str) -> str | None:
        node = classes.get(name)
        if node is None:
            return None
        for item in node.body:
            targets = (
                item.targets
                if isinstance(item, ast.Assign)
                else [item.target]
                if isinstance(item, ast.AnnAssign)
                else []
            )
            if any(isinstance(t, ast.Name) and t.id == wanted for t in targets) and isinstance(
                item.value, ast.Constant
            ):
                return str(item.value.value)
        for base in node.bases:
            if isinstance(base, ast.Name) and (value := attribute(base.id, wanted)) is not None:
                return value
        return None

    for name, node in classes.items():
        code, kind = attribute(name, "code"), attribute(name, "kind")
        own = any(
            isinstance(i, (ast.Assign, ast.AnnAssign)) and "code" in ast.unparse(i).split("=")[0] for i in node.body
        )
        if code and kind and own:
            found[code] = (kind, (ast.get_docstring(node) or "").split("\n")[0].replace(" Raises nothing.", ""))
            kinds[name] = kind
    for tree in trees:
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes):
                continue
            code = next((k.value for k in node.keywords if k.arg == "code"), None)
            if isinstance(code, ast.Constant) and node.args:
                message = node.args[0]
                text = message.value if isinstance(message, ast.Constant) else _template(message)
                found.setdefault(str(code.value), (attribute(node.func.id, "kind") or "internal", str(text)))
    return found


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return ""


def errors_page() -> str:
    """The page of error codes."""
    from trustcenter.errors import _EXIT_OF_KIND, _STATUS_OF_CODE, _STATUS_OF_KIND

    lines = [
        "# Error codes",
        "",
        "<!-- made by docs/generate.py -->",
        "",
        "Every error has a stable `code`, a message, and mostly a `hint`. Over HTTP it is `application/problem+json` with",
        "`code`, `detail`, `hint`, `request_id` and `where`; on the command line it is `error: … [code]` and `hint: …`, and",
        "the exit code below. None of them ever holds a value that was sent. Items of a batch carry their code and index.",
        "",
        "| code | HTTP | exit | meaning |",
        "|---|---|---|---|",
    ]
    items = {
        "invalid_original": ("usage", "item of a batch: empty, too long, or with control characters"),
        "invalid_pseudonym": ("usage", "item of an import: empty, too long, or with control characters"),
        "unknown_original": ("not_found", "item of a batch: it has no pseudonym in this domain"),
        "no_original": ("not_found", "item of a translation into another domain: its original was dropped"),
        "unknown_parent_pseudonym": ("not_found", "item of a batch: not a live pseudonym of the parent domain"),
        "consent_missing": (
            "policy",
            "item of a batch: the person has not permitted what the domain or study requires",
        ),
        "consent_expired": ("policy", "item of a batch: what is required was permitted, and its period is over"),
        "consent_withdrawn": ("policy", "item of a batch: what is required was withdrawn or refused"),
        "pseudonym_taken": ("conflict", "item of an import: the pseudonym stands, or stood, for another original"),
        "original_has_another": ("conflict", "item of an import: the original has another stored pseudonym"),
        "computed_pseudonym": ("conflict", "item of an import: it is a live computed pseudonym of the domain"),
        "ambiguous": ("conflict", "item of a batch: two entries stand behind the pseudonym, so none is answered"),
        "unknown_pseudonym": (
            "not_found",
            "item of a batch: forged, deleted, foreign, or never issued; one answer for all",
        ),
    }
    for code, (kind, meaning) in sorted({**error_codes(), **items}.items()):
        status = _STATUS_OF_CODE.get(code, _STATUS_OF_KIND.get(kind, 500))
        lines.append(f"| `{code}` | {status} | {_EXIT_OF_KIND.get(kind, 2)} | {meaning.rstrip('.')} |")
    return "\n".join(lines) + "\n"


def http_page() -> str:
    """The page of HTTP operations, from the table that dispatches."""
    from trustcenter.http.openapi.document import REFUSALS, TAGS, tag
    from trustcenter.http.routes import peer
    from trustcenter.http.routes.table import ROUTES

    lines = [
        "# The HTTP interface, version 1",
        "",
        "<!-- made by docs/generate.py -->",
        "",
        "`GET /openapi.json` has every field, with examples; it needs no credential.",
        "",
        "**Send** `Authorization: Bearer TOKEN`, or a client certificate that an operator bound. Bodies are JSON in UTF-8 with",
        "`Content-Type: application/json` unless it says bytes (with `Content-Digest: sha-256=:…:`) or FHIR; compressed bodies,",
        "unknown fields and unknown parameters are refused. A batch holds up to 100,000 items, a body 64 MiB. Some batches may also come as",
        "`application/x-ndjson`, an item a line, and are answered in lines while they are worked on.",
        "",
        "**Answers** come in the order of the items, an error per item where one could not be served. A stream is NDJSON and ends",
        'with `{"done": true, "count": n}`: without that line it was cut. Requests may be repeated: create-or-get, uploads of the',
        "same bytes and maps give the same answer again; `/additional` takes an `Idempotency-Key` for that.",
        "",
        "| header of an answer | tells |",
        "|---|---|",
        "| `X-Request-Id` | names the request in the log of the service and in the audit log |",
        "| `Retry-After` | with 429 and 503: after how many seconds the request would be taken |",
        "| `Trust-Log-Head`, `Trust-Log-Entry` | to sites: a signed head of the log, and where the request stands in it ([log heads](../spec/log-heads.md)) |",
        "| `Cache-Control: no-store` | always |",
        "",
        "**Errors** are `application/problem+json` (RFC 9457) with a stable `code` ([list](errors.md)), `detail`, `hint`,",
        "`request_id` and `where`, the path of the field; never a value that was sent.",
        "",
        "| status | when |",
        "|---|---|",
        *(f"| {status} | {when} |" for status, (_, when, _) in REFUSALS.items()),
        "| 500 | a mistake of the program; the log has the `request_id` |",
        "",
        "Where the rooms are apart, each answers its own part; `peer` is the registrar, by its pinned certificate.",
    ]
    for name, about in TAGS.items():
        lines += [
            "",
            f"## {name}",
            "",
            about,
            "",
            "| operation | who | takes | gives | what |",
            "|---|---|---|---|---|",
        ]
        for route in (*ROUTES, *peer.ROUTES):
            if tag(route) != name:
                continue
            takes = route.takes if isinstance(route.takes, str) else getattr(route.takes, "__name__", "")
            gives = route.gives if isinstance(route.gives, str) else getattr(route.gives, "__name__", "")
            gives = f"stream of {route.line.__name__}" if route.line is not None else gives
            who = ", ".join(sorted(route.roles)) or "anybody"
            lines.append(f"| `{route.method} {route.path}` | {who} | {takes} | {gives} | {route.summary} |")
    return "\n".join(lines) + "\n"


PAGES = {"docs/reference/errors.md": errors_page, "docs/reference/http.md": http_page}


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stderr.write(f"{name} is not what the code says: run python docs/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
