"""Writes the OpenAPI document that a running server shows, with its models, into a file.

`BASE_URL` says which server, `CA_FILE` whose certificate it has (without it any that the system trusts). Who asks is said by
`ARBORGATE_API_KEY`, or by `ADMIN_PASSWORD`, with which the administrator signs in.
"""

import json
import os
import pathlib
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request


def ask(path: str, body: bytes | None, headers: dict[str, str], context: ssl.SSLContext) -> bytes:
    request = urllib.request.Request(os.environ["BASE_URL"].rstrip("/") + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error.code} {error.read().decode(errors='replace')}")
    except urllib.error.URLError as error:
        sys.exit(f"{path}: {error.reason}")


def credential(context: ssl.SSLContext) -> dict[str, str]:
    if key := os.environ.get("ARBORGATE_API_KEY"):
        return {"X-API-Key": key}
    if password := os.environ.get("ADMIN_PASSWORD"):
        form = urllib.parse.urlencode({"username": "admin", "password": password}).encode()
        token = json.loads(ask("/token", form, {}, context))["access_token"]
        return {"Authorization": f"Bearer {token}"}
    sys.exit("who asks? set ARBORGATE_API_KEY: without it a server shows no models")


def main() -> None:
    context = ssl.create_default_context(cafile=os.environ.get("CA_FILE"))
    document = ask("/openapi.json", None, credential(context), context)
    pathlib.Path(sys.argv[1]).write_bytes(document)


main()
