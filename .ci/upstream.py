"""The upstream of `make run`: returns the request, to show what Envoy and Sentinel let through.

Shows no value of a secret, in the answer or in the log, because keys in a demo end up in screenshots.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

CREDENTIALS = {"authorization", "proxy-authorization", "cookie", "sec-websocket-protocol", "mj-api-secret"}


def shown(name, value):
    return "(not shown)" if name in CREDENTIALS or "key" in name or "token" in name else value


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        seen = {
            "reached": "the upstream",
            "method": self.command,
            "path": url.path,
            "query": [name for name, _ in parse_qsl(url.query, keep_blank_values=True)],
            "headers": {name.lower(): shown(name.lower(), value) for name, value in self.headers.items()},
        }
        print(json.dumps(seen), flush=True)
        body = (json.dumps(seen, indent=2) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    # The default writes the request line, query included.
    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
