"""A Hub on this machine: repositories, commits and large files in memory, served as `huggingface_hub` asks for them.

Written from the calls that the client makes (create, preupload, LFS batch, commit, info, resolve, search). Large files
come from a second server on another port, as the real Hub's come from another host, which must never see a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (".safetensors", ".mp4", ".png")
DAY = "2026-01-02T03:04:05.000Z"


@dataclass(frozen=True)
class File:
    """One version of one file."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def blob(self) -> str:
        """What git calls it: for a large file, what it calls the pointer."""
        return _git_hash(b"version lfs " + self.sha256.encode() if self.large else self.data)

    @property
    def oid(self) -> str:
        return self.sha256 if self.large else self.blob

    def listed(self, name: str) -> dict:
        lfs = {"lfs": {"sha256": self.sha256, "size": len(self.data), "pointerSize": 134}} if self.large else {}
        return {"rfilename": name, "size": len(self.data), "blobId": self.blob, **lfs}


@dataclass(frozen=True)
class Commit:
    """All files of a repository after one push."""

    files: dict[str, File]
    message: str
    parent: str = ""

    @property
    def sha(self) -> str:
        parts = [self.parent, self.message, *(f"{name} {file.oid}" for name, file in sorted(self.files.items()))]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


@dataclass
class Repository:
    """Branches of commits."""

    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def add(self, commit: Commit, branch: str = "main") -> str:
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit.sha

    def at(self, revision: str = "main") -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match.

    Attributes:
        match: of "METHOD /path", searched for.
        status, headers: answer this and do nothing.
        cut: close the connection after so many bytes of the body.
        change: of the body's bytes.
    """

    match: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    change: Callable[[bytes], bytes] | None = None
    times: int = 1


class Hub:
    """The server's state; `url` is what `HF_ENDPOINT` must name."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.users = {"hf_alice": "alice", "hf_bob": "bob"}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.tokens_at_the_store: list[str] = []
        self.before_commit: Callable[[], None] = lambda: None
        self.lock = threading.Lock()
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (_Api, _Store)]
        for server in self.servers:
            server.hub = self  # type: ignore[attr-defined]
            server.daemon_threads = True
        self.url, self.store = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def add(self, repo_id: str, files: dict[str, bytes], **options: bool) -> Repository:
        """Put a repository there without a client."""
        repo = self.repositories.setdefault(repo_id, Repository(repo_id, **options))
        parent = repo.branches.get("main", "")
        made = {name: File(data, name.endswith(LARGE)) for name, data in files.items()}
        self.large |= {file.sha256: file.data for file in made.values() if file.large}
        repo.add(Commit(made, "made", parent))
        return repo

    def asked(self, pattern: str) -> list[str]:
        """The requests so far, as "METHOD /path", that match."""
        return [line for line in self.log if re.search(pattern, line)]


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub that answers while the block runs."""
    hub = Hub()
    for server in hub.servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in hub.servers:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes: tuple[tuple[str, str], ...] = ()
    """(method and path as a pattern, name of the method that answers)."""

    def log_message(self, *_: object) -> None:
        pass

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def _dispatch(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        line = f"{self.command} {url.path}"
        self.hub.log.append(line + (f" {self.headers['Range']}" if "Range" in self.headers else ""))
        self.fault = next((f for f in self.hub.faults if f.times > 0 and re.search(f.match, line)), None)
        if self.fault is not None:
            self.fault.times -= 1
            if self.fault.status is not None:
                self._send(self.fault.status, b"{}", **self.fault.headers)
                return
        for pattern, name in self.routes:
            found = re.fullmatch(pattern, line)
            if found:
                getattr(self, name)(*(unquote(part or "") for part in found.groups()))
                return
        self._error(404, "", f"the test server knows no {line}")

    do_GET = do_HEAD = do_POST = do_PUT = _dispatch

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        fault = self.fault or Fault("")
        if fault.change is not None:
            body = fault.change(body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: fault.cut])
        if fault.cut is not None:
            self.close_connection = True

    def _json(self, data: object, status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(data).encode(), Content_Type="application/json", **headers)

    def _error(self, status: int, code: str, message: str) -> None:
        self._json({"error": message}, status, X_Error_Code=code, X_Error_Message=message)

    def _file(self, data: bytes, **headers: str) -> None:
        """A body, or the part of it that was asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._send(200, data, **headers)
            return
        begin = int(asked[1])
        end = min(int(asked[2]) + 1 if asked[2] else len(data), len(data))
        self._send(206, data[begin:end], Content_Range=f"bytes {begin}-{end - 1}/{len(data)}", **headers)


class _Store(_Handler):
    """Where large files are."""

    routes = (
        (r"(?:GET|HEAD) /([0-9a-f]{64})", "get"),
        (r"PUT /([0-9a-f]{64})", "put"),
    )

    def _dispatch(self) -> None:
        self.hub.tokens_at_the_store += self.headers.get_all("Authorization") or []
        super()._dispatch()

    do_GET = do_HEAD = do_POST = do_PUT = _dispatch

    def get(self, oid: str) -> None:
        self._file(self.hub.large[oid])

    def put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self._error(400, "", "the bytes are not those that were announced")
            return
        self.hub.large[oid] = self.body
        self._send(200)


_REPO = r"([^/]+/[^/]+?)"


class _Api(_Handler):
    """Everything else."""

    routes = (
        (r"GET /api/whoami-v2", "whoami"),
        (r"POST /api/repos/create", "create"),
        (r"POST /api/validate-yaml", "validate"),
        (r"GET /api/models", "search"),
        (rf"GET /api/models/{_REPO}", "info"),
        (rf"GET /api/models/{_REPO}/revision/([^/]+)", "info"),
        (rf"GET /api/models/{_REPO}/tree/([^/]+)(?:/(.+))?", "tree"),
        (rf"POST /api/models/{_REPO}/paths-info/([^/]+)", "paths"),
        (rf"POST /api/models/{_REPO}/branch/([^/]+)", "branch"),
        (rf"POST /api/models/{_REPO}/preupload/([^/]+)", "preupload"),
        (rf"POST /api/models/{_REPO}/commit/([^/]+)", "commit"),
        (rf"POST /{_REPO}\.git/info/lfs/objects/batch", "batch"),
        (rf"POST /{_REPO}\.git/info/lfs/verify", "verify"),
        (rf"(?:GET|HEAD) /{_REPO}/resolve/([^/]+)/(.+)", "resolve"),
    )

    def _user(self) -> str | None:
        return self.hub.users.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _repository(self, repo_id: str, write: bool = False) -> Repository | None:
        """The repository, unless the answer was that it cannot be had."""
        repo, user = self.hub.repositories.get(repo_id), self._user()
        if self.headers.get("Authorization") and user is None:
            self._error(401, "", "Invalid credentials in Authorization header")
        elif repo is None or (repo.private and user != repo_id.split("/")[0]):
            self._error(401 if user is None else 404, "RepoNotFound", "Repository not found")
        elif write and user != repo_id.split("/")[0]:
            self._error(403, "", "You don't have the rights to push here")
        else:
            return repo
        return None

    def whoami(self) -> None:
        self._json({"name": self._user(), "type": "user", "orgs": []}, 200 if self._user() else 401)

    def create(self) -> None:
        wanted = json.loads(self.body)
        user = self._user()
        owner = wanted.get("organization") or user
        repo_id = f"{owner}/{wanted['name']}"
        url = f"{self.hub.url}/{repo_id}"
        if user is None:
            self._error(401, "", "Invalid username or password.")
        elif owner != user:
            self._error(403, "", f"You don't have the rights to create a model under the namespace {owner!r}")
        elif repo_id in self.hub.repositories:
            self._json({"url": url, "error": "You already created this model repo"}, 409)
        else:
            private = wanted.get("visibility") == "private" or wanted.get("private") is True
            repo = self.hub.repositories[repo_id] = Repository(repo_id, private)
            repo.add(Commit({".gitattributes": File(b"*.safetensors filter=lfs\n", False)}, "initial commit"))
            self._json({"url": url, "id": repo_id})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        good = content.startswith("---\n")
        self._json({"errors": [] if good else [{"message": "no head"}], "warnings": []}, 200 if good else 400)

    def info(self, repo_id: str, revision: str = "main") -> None:
        commit = self._commit(repo_id, revision)
        if commit is None:
            return
        files = [f.listed(name) if "blobs" in self.query else {"rfilename": name} for name, f in commit.files.items()]
        self._json({**_listed(self.hub.repositories[repo_id]), "sha": commit.sha, "siblings": files})

    def tree(self, repo_id: str, revision: str, folder: str) -> None:
        """What is in a folder, and nothing below it."""
        commit = self._commit(repo_id, revision)
        if commit is None:
            return
        below = [name for name in commit.files if name.startswith(f"{folder}/" if folder else "")]
        if folder and not below:
            self._error(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
            return
        depth = len(folder.split("/")) + 1 if folder else 1
        self._json([_entry(commit, path) for path in sorted({"/".join(name.split("/")[:depth]) for name in below})])

    def paths(self, repo_id: str, revision: str) -> None:
        """What some paths are; those that are not there are left out."""
        commit = self._commit(repo_id, revision)
        if commit is None:
            return
        wanted = parse_qs(self.body.decode())["paths"]
        there = [path for path in wanted if any(f"{name}/".startswith(f"{path}/") for name in commit.files)]
        self._json([_entry(commit, path) for path in there])

    def _commit(self, repo_id: str, revision: str) -> Commit | None:
        """The commit of a revision, unless the answer was that it cannot be had."""
        repo = self._repository(repo_id)
        commit = repo.at(revision) if repo else None
        if repo is not None and commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def search(self) -> None:
        def wanted(repo: Repository) -> bool:
            author, query, tags = (self.query.get(key, [""]) for key in ("author", "search", "filter"))
            known = _listed(repo)
            return (
                not (repo.private and self._user() != repo.id.split("/")[0])
                and repo.id.startswith(f"{author[0]}/" if author[0] else "")
                and query[0].lower() in repo.id.lower()
                and all(tag in known["tags"] for tag in tags)
            )

        found = [_listed(repo) for repo in self.hub.repositories.values() if wanted(repo)]
        self._json(found[: int(self.query.get("limit", ["1000"])[0])])

    def branch(self, repo_id: str, branch: str) -> None:
        repo = self._repository(repo_id, write=True)
        if repo is None:
            return
        if branch in repo.branches:
            self._error(409, "", "Reference already exists")
            return
        repo.branches[branch] = repo.branches["main"]
        self._json({})

    def preupload(self, repo_id: str, revision: str) -> None:
        repo = self._repository(repo_id, write="create_pr" not in self.query)
        if repo is None:
            return
        there = commit.files if (commit := repo.at(revision)) else {}
        files = []
        for file in json.loads(self.body)["files"]:
            name = file["path"]
            known = {"oid": there[name].oid} if name in there else {}
            mode = "lfs" if name.endswith(LARGE) else "regular"
            files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, **known})
        self._json({"files": files})

    def batch(self, repo_id: str) -> None:
        if self._repository(repo_id) is None:
            return
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.hub.store}/{wanted['oid']}"}
            verify = {"href": f"{self.hub.url}/{repo_id}.git/info/lfs/verify"}
            missing = wanted["oid"] not in self.hub.large
            objects.append({**wanted, **({"actions": {"upload": upload, "verify": verify}} if missing else {})})
        self._json({"transfer": "basic", "objects": objects})

    def verify(self, repo_id: str) -> None:
        wanted = json.loads(self.body)
        good = len(self.hub.large.get(wanted["oid"], b"")) == wanted["size"]
        self._json({}, 200 if good else 422)

    def commit(self, repo_id: str, revision: str) -> None:
        proposed = "create_pr" in self.query
        repo = self._repository(repo_id, write=not proposed)
        if repo is None:
            return
        self.hub.before_commit()
        lines = [json.loads(line) for line in self.body.splitlines()]
        with self.hub.lock:
            before = repo.at(revision)
            assert before is not None
            if lines[0]["value"].get("parentCommit") not in (None, before.sha):
                self._error(412, "", "A commit has happened since. Please refresh and try again.")
                return
            files = dict(before.files)
            missing = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
            missing = [path for path in missing if path not in files]
            if missing:
                self._error(404, "EntryNotFound", f"{missing[0]} does not exist")
                return
            for line in lines[1:]:
                self._apply(files, line["key"], line["value"])
            branch = f"refs/pr/{len(repo.commits)}" if proposed else revision
            sha = repo.add(Commit(files, lines[0]["value"]["summary"], before.sha), branch)
        pull = {"pullRequestUrl": f"{self.hub.url}/{repo_id}/discussions/1"} if proposed else {}
        self._json({"commitUrl": f"{self.hub.url}/{repo_id}/commit/{sha}", "commitOid": sha, **pull})

    def _apply(self, files: dict[str, File], key: str, value: dict) -> None:
        if key == "deletedFile":
            del files[value["path"]]
        elif key == "lfsFile":
            files[value["path"]] = File(self.hub.large[value["oid"]], True)
        else:
            files[value["path"]] = File(base64.b64decode(value["content"]), False)

    def resolve(self, repo_id: str, revision: str, name: str) -> None:
        repo = self._repository(repo_id)
        if repo is None:
            return
        commit = repo.at(revision)
        if repo.gated and self._user() != repo_id.split("/")[0]:
            self._error(403, "GatedRepo", f"Access to model {repo_id} is restricted and you are not in the list")
        elif commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif name not in commit.files:
            self._error(404, "EntryNotFound", "Entry not found")
        else:
            self._resolve(commit, commit.files[name])

    def _resolve(self, commit: Commit, file: File) -> None:
        headers = {"X_Repo_Commit": commit.sha, "ETag": f'"{file.oid}"'}
        if not file.large:
            self._file(file.data, **headers)
            return
        linked = {"X_Linked_Etag": f'"{file.oid}"', "X_Linked_Size": str(len(file.data))}
        self._send(302, Location=f"{self.hub.store}/{file.oid}", **linked, **headers)


def _listed(repo: Repository) -> dict:
    """A repository as the search shows it, by its card's head."""
    commit = repo.at()
    card = commit.files.get("README.md") if commit else None
    head = re.match(r"---\n(.*?)\n---\n", card.data.decode(), re.DOTALL) if card else None
    data = yaml.safe_load(head[1]) if head else {}
    tags = [data["library_name"]] if "library_name" in data else []
    return {
        "id": repo.id,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "downloads": 7,
        "lastModified": DAY,
        "tags": [*tags, *data.get("tags", [])],
        "cardData": data,
    }


def _entry(commit: Commit, path: str) -> dict:
    """A file or a folder as a listing of a tree shows it."""
    file = commit.files.get(path)
    if file is None:
        return {"type": "directory", "oid": _git_hash(path.encode()), "size": 0, "path": path}
    lfs = {"lfs": {"oid": file.sha256, "size": len(file.data), "pointerSize": 134}} if file.large else {}
    return {"type": "file", "oid": file.blob, "size": len(file.data), "path": path, **lfs}


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()
