"""A stand-in for the Hugging Face Hub: what huggingface_hub asks of it for a model's repository, in memory."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse


class Hub:
    """Repositories {"user/name": {"file": bytes}} behind HTTP.

    Attributes:
      address: of the server.
      repositories: what they hold.
      private: names of those that were made private.
      closed, gated: names of those that answer as if they were closed to the user, or gated.
      commits: the number of commits that were made.
    """

    def __init__(self, address):
        self.address, self.repositories = address, {}
        self.private, self.closed, self.gated, self.commits = set(), set(), set(), 0


def _handler(hub):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_): ...

        def answer(self, status, content=b"", **headers):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def missing(self, code, status=404):
            self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

        def do_GET(self):
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            if not match:
                return self.missing("EntryNotFound")
            repository, revision, name = match.groups()
            if repository in hub.gated:
                return self.missing("GatedRepo", 403)
            if repository not in hub.repositories:
                return self.missing("RepoNotFound")
            if revision != "main":
                return self.missing("RevisionNotFound")
            if name not in hub.repositories[repository]:
                return self.missing("EntryNotFound")
            content = hub.repositories[repository][name]
            etag, commit = hashlib.sha256(content).hexdigest(), f"{hub.commits:040x}"
            return self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=commit)

        do_HEAD = do_GET

        def do_POST(self):
            body = self.body()
            path = urllib.parse.urlsplit(self.path).path
            if path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            if path == "/api/repos/create":
                asked = json.loads(body)
                repository = "/".join(filter(None, (asked.get("organization") or "user", asked["name"])))
                if asked.get("private") or asked.get("visibility") == "private":
                    hub.private.add(repository)
                url = f"{hub.address}/{repository}"
                if repository in hub.repositories:
                    return self.answer(409, {"error": "You already created this model repo", "url": url})
                hub.repositories[repository] = {}
                return self.answer(200, {"url": url, "id": repository})
            repository, action = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path).groups()
            if repository in hub.closed:
                return self.answer(403, {"error": "Forbidden"})
            if action == "preupload":
                files = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
                return self.answer(200, {"files": modes})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    hub.repositories[repository][value["path"]] = base64.b64decode(value["content"])
            hub.commits += 1
            commit = f"{hub.commits:040x}"
            url = f"{hub.address}/{repository}/commit/{commit}"
            return self.answer(200, {"commitUrl": url, "commitOid": commit, "success": True})

        def body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

    return Handler


@contextlib.contextmanager
def running():
    """A Hub that runs until the `with` block ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass, server.daemon_threads = _handler(hub), True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
