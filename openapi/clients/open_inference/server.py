"""The running server that the tests beside this file ask: `BASE_URL`, `CA_FILE` and `ADMIN_PASSWORD` say which.

Only the standard library, for each test has an environment of its own.
"""

import functools
import json
import os
import pathlib
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["BASE_URL"]
CA = os.environ["CA_FILE"]
# By name: gRPC's C core takes no certificate with addresses of an authority that is constrained to addresses, and who names
# a host is given one without.
ADDRESS = f"localhost:{urllib.parse.urlsplit(URL).port}"
TLS = ssl.create_default_context(cafile=CA)
MODELS = pathlib.Path(__file__).parents[3] / "services/arborgate/tests/it/boosted"

IRIS = [[5.1, 3.5, 1.4, 0.2], [6.9, 3.1, 5.4, 2.1], [5.7, 2.6, 3.5, 1.0]]
CLASSES = [0, 2, 1]
LABELS = ["setosa", "virginica", "versicolor"]


def ask(method, path, body=None, headers=None):
    request = urllib.request.Request(URL + path, data=body, method=method, headers=headers or {})
    with urllib.request.urlopen(request, context=TLS) as answer:
        return json.load(answer)


@functools.cache
def sign_in():
    """An administrator's token, as headers of HTTP."""
    form = urllib.parse.urlencode({"username": "admin", "password": os.environ["ADMIN_PASSWORD"]}).encode()
    return {"Authorization": "Bearer " + ask("POST", "/token", form)["access_token"]}


def add_categorical(headers, name):
    """Adds a model with categories in texts; gives rows by name, and what the library predicts of them."""
    body = (MODELS / "catboost.json").read_bytes()
    kind = {"Content-Type": "application/octet-stream"}
    ask("PUT", f"/v1/models/{name}/versions/1", body, headers | kind)
    given = json.loads((MODELS / "catboost.rows.json").read_text())
    deadline = time.monotonic() + 30
    while True:
        try:
            ask("GET", f"/v2/models/{name}/ready", None, headers)
            break
        except urllib.error.HTTPError as error:
            if error.code not in (404, 503) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    return [row["row"] for row in given], [row["prediction"] for row in given]
