"""A Hugging Face Hub on the loopback interface for the real client: repositories in memory, commits, LFS, errors.

``with Hub() as hub:`` serves at ``hub.url``. ``hub.repos`` holds what was pushed, ``hub.requests`` what was asked, and
``hub.broken`` is a set of words: a request whose path holds one of them is answered with error 500. Once ``hub.left``
is a number, so many requests are answered; the one after them is obeyed, but its answer is lost, and all later fail.
"""

import base64
import hashlib
import itertools
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".png", ".webp")


@dataclass
class Repo:
    """Commits are whole trees, {path: bytes}; ``refs`` maps branches, tags and refs/pr/N to commits."""

    private: bool
    sdk: str | None = None  # of a Space
    variables: dict[str, str] = field(default_factory=dict)  # of a Space
    secrets: dict[str, str] = field(default_factory=dict)  # of a Space
    tags: set[str] = field(default_factory=set)  # those of ``refs`` that are tags
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, ref: str, files: dict[str, bytes], message: str) -> str:
        sha = hashlib.sha1(f"{id(self)} {len(self.commits)} {message}".encode()).hexdigest()
        self.commits[sha], self.refs[ref] = files, sha
        self.messages.append(message)
        return sha

    def resolve(self, rev: str) -> str:
        sha = self.refs.get(rev, rev)
        if sha not in self.commits:
            raise Refusal(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        return sha

    def files(self, rev: str = "main") -> dict[str, bytes]:
        return self.commits[self.resolve(rev)]


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "", **body) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **body}


def oids(path: str, data: bytes) -> tuple[str, str | None]:
    """Git's id of a file and, for one that is kept in LFS, its SHA-256."""
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return git, hashlib.sha256(data).hexdigest() if path.endswith(LFS_SUFFIXES) else None


def sibling(path: str, data: bytes) -> dict:
    git, lfs = oids(path, data)
    file = {"rfilename": path, "size": len(data), "blobId": git}
    return file | ({"lfs": {"sha256": lfs, "size": len(data), "pointerSize": 130}} if lfs else {})


class Hub:
    def __init__(self, tokens: dict[str, str] | None = None) -> None:
        self.tokens = tokens or {"hf_me": "me"}  # token -> user
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}  # LFS files that arrived, by SHA-256
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []  # one for each request
        self.broken: set[str] = set()
        self.left: int | None = None

    def __enter__(self) -> "Hub":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def repo(self, kind: str, name: str, user: str | None) -> Repo:
        repo = self.repos.get(name if kind == "models" else f"{kind}/{name}")
        if repo is None or (repo.private and user != name.split("/")[0]):
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return repo

    # One method per route: the groups of its pattern, then the user, the query and the body.

    def whoami(self, user, query, body):
        return {"name": user, "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}}

    def validate_yaml(self, user, query, body):
        return {"errors": [], "warnings": []}

    def create(self, user, query, body):
        owner, kind = body.get("organization") or user, body.get("type", "model") + "s"
        name = f"{owner}/{body['name']}"
        key = name if kind == "models" else f"{kind}/{name}"
        url = f"{self.url}/{key}"
        if owner != user:
            raise Refusal(403, f"You don't have the rights to create a {body.get('type', 'model')} under '{owner}'")
        if key in self.repos:
            raise Refusal(409, "You already created this repo", url=url)
        if kind == "spaces" and not body.get("sdk"):
            raise Refusal(400, "A Space needs an sdk")
        self.repos[key] = Repo(private=body.get("visibility") == "private", sdk=body.get("sdk"))
        self.repos[key].commit("main", {".gitattributes": b""}, "initial commit")
        return {"url": url}

    def info(self, kind, name, rev, user, query, body):
        repo = self.repo(kind, name, user)
        sha = repo.resolve(rev or "main")
        return {
            "id": name,
            "sha": sha,
            "private": repo.private,
            "siblings": [sibling(path, data) for path, data in repo.files(sha).items()],
        }

    def tree(self, kind, name, rev, user, query, body):
        answer = []
        for path, data in self.repo(kind, name, user).files(rev).items():
            git, lfs = oids(path, data)
            entry = {"type": "file", "path": path, "size": len(data), "oid": git}
            answer.append(entry | ({"lfs": {"oid": lfs, "size": len(data), "pointerSize": 130}} if lfs else {}))
        return answer

    def list_refs(self, kind, name, user, query, body):
        repo = self.repo(kind, name, user)
        branches, tags = [], []
        for ref, sha in repo.refs.items():
            is_tag = ref in repo.tags
            path = f"refs/{'tags' if is_tag else 'heads'}/{ref}"
            (tags if is_tag else branches).append({"name": ref, "ref": path, "targetCommit": sha})
        return {"branches": branches, "converts": [], "tags": tags, "pullRequests": []}

    def tag(self, kind, name, rev, user, query, body):
        repo = self.writable(kind, name, user)
        if body["tag"] in repo.refs:
            raise Refusal(409, f"Reference already exists: {body['tag']}")
        repo.refs[body["tag"]] = repo.resolve(rev)
        repo.tags.add(body["tag"])
        return {}

    def list_variables(self, name, user, query, body):
        return {
            key: {"key": key, "value": value} for key, value in self.writable("spaces", name, user).variables.items()
        }

    def set_variable(self, name, user, query, body):
        self.writable("spaces", name, user).variables[body["key"]] = body["value"]
        return self.list_variables(name, user, query, body)

    def delete_variable(self, name, user, query, body):
        del self.writable("spaces", name, user).variables[body["key"]]
        return self.list_variables(name, user, query, body)

    def list_secrets(self, name, user, query, body):
        return {key: {"key": key} for key in self.writable("spaces", name, user).secrets}

    def set_secret(self, name, user, query, body):
        self.writable("spaces", name, user).secrets[body["key"]] = body["value"]
        return {}

    def branch(self, kind, name, branch, user, query, body):
        repo = self.writable(kind, name, user)
        if branch in repo.refs:
            raise Refusal(409, f"Reference already exists: {branch}")
        repo.refs[branch] = repo.resolve(body.get("startingPoint") or "main")
        return {}

    def writable(self, kind, name, user):
        repo = self.repo(kind, name, user)
        if user != name.split("/")[0]:
            raise Refusal(403, "Authorization error.")
        return repo

    def preupload(self, kind, name, rev, user, query, body):
        files = self.repo(kind, name, user).files(rev)
        answer = []
        for path in (file["path"] for file in body["files"]):
            git, lfs = oids(path, files.get(path, b""))
            answer.append({"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False})
            answer[-1]["oid"] = (lfs or git) if path in files else None
        return {"files": answer}

    def lfs_batch(self, kind, name, user, query, body):
        objects = []
        for oid, size in ((o["oid"], o["size"]) for o in body["objects"]):
            actions = {"upload": {"href": f"{self.url}/lfs/{oid}"}, "verify": {"href": f"{self.url}/verify"}}
            objects.append({"oid": oid, "size": size} | ({} if oid in self.blobs else {"actions": actions}))
        return {"transfer": "basic", "objects": objects}

    def lfs_put(self, oid, user, query, body):
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, "The bytes are not those announced")
        self.blobs[oid] = body
        return {}

    def lfs_verify(self, user, query, body):
        if len(self.blobs.get(body["oid"], b"")) != body["size"]:
            raise Refusal(404, "Object not found")
        return {}

    def commit(self, kind, name, rev, user, query, body):
        create_pr, path = query.get("create_pr") == ["1"], name if kind == "models" else f"{kind}/{name}"
        anybody = create_pr or rev.startswith("refs/pr/")  # whoever opened a pull request adds to it
        repo = (self.repo if anybody else self.writable)(kind, name, user)
        files, message = dict(repo.files(rev)), ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            else:
                files = {p: d for p, d in files.items() if p != value["path"] and not p.startswith(value["path"] + "/")}
        number = next(n for n in itertools.count(1) if f"refs/pr/{n}" not in repo.refs)
        sha = repo.commit(f"refs/pr/{number}" if create_pr else rev, files, message)
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{path}/commit/{sha}"}
        return answer | ({"pullRequestUrl": f"{self.url}/{name}/discussions/{number}"} if create_pr else {})

    def download(self, kind, name, rev, path, user, query, body):
        repo = self.repo((kind or "models").rstrip("/"), name, user)
        sha = repo.resolve(rev)
        if path not in repo.files(sha):
            raise Refusal(404, "Entry not found", "EntryNotFound", sha=sha)
        data = repo.files(sha)[path]
        git, lfs = oids(path, data)
        linked = {"X-Linked-Etag": f'"{lfs}"', "X-Linked-Size": str(len(data))} if lfs else {}
        return data, {"X-Repo-Commit": sha, "ETag": f'"{lfs or git}"', "Accept-Ranges": "bytes"} | linked


API, NAME = r"/api/(models|datasets|spaces)/", r"([^/]+/[^/]+)"
ROUTES = [
    (method, re.compile(pattern + "$"), handler)
    for method, pattern, handler in (
        ("GET", "/api/whoami-v2", Hub.whoami),
        ("POST", "/api/validate-yaml", Hub.validate_yaml),
        ("POST", "/api/repos/create", Hub.create),
        ("GET", API + NAME + "(?:/revision/([^/]+))?", Hub.info),
        ("GET", API + NAME + "/tree/([^/]+)", Hub.tree),
        ("GET", API + NAME + "/refs", Hub.list_refs),
        ("POST", API + NAME + "/branch/([^/]+)", Hub.branch),
        ("POST", API + NAME + "/tag/([^/]+)", Hub.tag),
        ("GET", "/api/spaces/" + NAME + "/variables", Hub.list_variables),
        ("POST", "/api/spaces/" + NAME + "/variables", Hub.set_variable),
        ("DELETE", "/api/spaces/" + NAME + "/variables", Hub.delete_variable),
        ("GET", "/api/spaces/" + NAME + "/secrets", Hub.list_secrets),
        ("POST", "/api/spaces/" + NAME + "/secrets", Hub.set_secret),
        ("POST", API + NAME + "/preupload/([^/]+)", Hub.preupload),
        ("POST", API + NAME + "/commit/([^/]+)", Hub.commit),
        ("POST", "/(datasets/|spaces/)?" + NAME + r"\.git/info/lfs/objects/batch", Hub.lfs_batch),
        ("PUT", "/lfs/([0-9a-f]{64})", Hub.lfs_put),
        ("POST", "/verify", Hub.lfs_verify),
        ("GET", "/(datasets/|spaces/)?" + NAME + "/resolve/([^/]+)/(.+)", Hub.download),
    )
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_) -> None:
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type") or ""
        return json.loads(data) if re.fullmatch(r"application/(vnd\.git-lfs\+)?json", kind) else data

    def user(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def answer(self) -> None:
        body, url = self.body(), urlsplit(self.path)
        self.hub.requests.append(f"{self.command} {self.path}")
        self.hub.authorizations.append(self.headers.get("Authorization"))
        status, headers = 200, {}
        try:
            if any(word in self.path for word in self.hub.broken):
                raise Refusal(500, f"Something went wrong for {self.headers.get('Authorization')}")
            if self.hub.left is not None and self.hub.left < 0:
                raise Refusal(418, "The Hub is away")
            method = "GET" if self.command == "HEAD" else self.command
            for wanted, pattern, handler in ROUTES:
                if wanted == method and (match := pattern.match(url.path)):
                    groups = [group and unquote(group) for group in match.groups()]
                    answer = handler(self.hub, *groups, self.user(), parse_qs(url.query), body)
                    break
            else:
                raise Refusal(404, "No such route")
            if self.hub.left is not None:
                self.hub.left -= 1
                if self.hub.left < 0:  # not a 500, which the client would try again for minutes
                    raise Refusal(418, "The answer was lost")
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
            headers = {
                "X-Error-Message": str(refusal),
                "X-Error-Code": refusal.code,
                "X-Repo-Commit": answer.get("sha"),
            }
        if isinstance(answer, tuple):
            data, headers = answer
            if found := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                first, last = int(found[1]), int(found[2] or len(data) - 1)
                status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(data)}"
                data = data[first : last + 1]
        else:
            data, headers = json.dumps(answer).encode(), headers | {"Content-Type": "application/json"}
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(data))}).items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer
