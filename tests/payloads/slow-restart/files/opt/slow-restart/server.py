"""A stand-in for the real backend and dashboard, as far as readiness and key checks go.

Keys are read once, at start: only a restart brings new ones in. Answers and error codes are those
of the real backend; a project other than `internal` does not exist here.
"""

import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = "/etc/stack/secrets.env"
RUNTIME = "/run/stack/config/runtime.env"

# access type -> (header, variable, placeholder's last digit, error without, error with a wrong key)
ACCESS = {
    "client": (
        "x-stack-publishable-client-key",
        "STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY",
        "f",
        "CLIENT_AUTHENTICATION_REQUIRED",
        "INVALID_PUBLISHABLE_CLIENT_KEY",
    ),
    "server": (
        "x-stack-secret-server-key",
        "STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY",
        "e",
        "SERVER_AUTHENTICATION_REQUIRED",
        "INVALID_SECRET_SERVER_KEY",
    ),
    "admin": (
        "x-stack-super-secret-admin-key",
        "STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY",
        "d",
        "ADMIN_AUTHENTICATION_REQUIRED",
        "INVALID_SUPER_SECRET_ADMIN_KEY",
    ),
}


def read_env(path):
    """NAME=value lines of a file; empty where there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


KEYS = read_env(SECRETS)
PREFIX = read_env(RUNTIME).get("STACK_EMULATOR_PORT_PREFIX", "81")


def accepted(access, given):
    """Whether `given` is the key for this kind of access."""
    _, variable, digit, _, _ = ACCESS[access]
    valid = [KEYS[variable]]
    if KEYS.get("ACCEPT_PLACEHOLDERS") == "1":
        valid.append("0" * 32 + digit * 32)
    return any(hmac.compare_digest(given.encode(), key.encode()) for key in valid)


def current_project(headers):
    """Status, error code and body for GET /api/v1/projects/current."""
    access = headers.get("x-stack-access-type")
    if access not in ACCESS:
        return 400, "ACCESS_TYPE_REQUIRED", "You must specify an access level for this Stack project."
    project = headers.get("x-stack-project-id", "")
    if project != "internal":
        return 400, "CURRENT_PROJECT_NOT_FOUND", f"The current project with ID {project} was not found."
    header, _, _, missing, wrong = ACCESS[access]
    given = headers.get(header)
    if given is None:
        return 401, missing, f"{header} must be provided."
    if not accepted(access, given):
        return 401, wrong, f'The key is not valid for the project "{project}".'
    return 200, None, {"id": "internal", "display_name": "Stack Dashboard", "config": {}}


class Handler(BaseHTTPRequestHandler):
    """What both ports have in common."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing: request lines are of no interest here."""

    def answer(self, status, body, content_type="application/json", headers=()):
        """Sends a whole response."""
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Backend(Handler):
    """Port <P>02."""

    def do_GET(self):
        """Health and the current project."""
        path = self.path.split("?", 1)[0]
        if path == "/health":
            self.answer(200, '{"status":"ok"}')
        elif path == "/api/v1/projects/current":
            status, code, said = current_project(self.headers)
            if code is None:
                self.answer(status, json.dumps(said))
                return
            headers = [("x-stack-known-error", code)]
            if self.headers.get("x-stack-override-error-status") == "true":
                headers.append(("x-stack-actual-status", str(status)))
                status = 200
            self.answer(status, json.dumps({"code": code, "error": said}), headers=headers)
        else:
            self.answer(404, '{"error":"not found"}')


class Dashboard(Handler):
    """Port <P>01."""

    def do_GET(self):
        """The sign-in page, with the client key in it as a built bundle has it."""
        if self.path.split("?", 1)[0] != "/handler/sign-in":
            self.answer(404, "not found", "text/plain")
            return
        key = KEYS["STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY"]
        self.answer(200, f"<!doctype html><title>Sign in</title><script>const key = '{key}';</script>", "text/html")


def main():
    """Serves both ports until killed."""
    dashboard = ThreadingHTTPServer(("0.0.0.0", int(PREFIX + "01")), Dashboard)
    threading.Thread(target=dashboard.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", int(PREFIX + "02")), Backend).serve_forever()


if __name__ == "__main__":
    main()
