"""Runs Schemathesis with all its checks over what a server serves at /openapi.json, and tells its figures by check.

`BASE_URL`, `CA_FILE` and `ADMIN_PASSWORD` say which server; the arguments are those of `st run`. Run by
`cargo xtask schemathesis`, which gives the server what a token needs to last and no limits.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import requests

HERE = pathlib.Path(__file__).parent
BASE, CA = os.environ["BASE_URL"], os.environ["CA_FILE"]


def ask(method: str, path: str, **more) -> requests.Response:
    answer = requests.request(method, BASE + path, verify=CA, timeout=30, **more)
    answer.raise_for_status()
    return answer


def told(events: pathlib.Path) -> int:
    """Prints how often each check held and did not; gives how often none did not."""
    figures: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for line in events.read_text().splitlines():
        finished = json.loads(line).get("ScenarioFinished")
        for checks in finished["recorder"].get("checks", {}).values() if finished else []:
            for check in checks:
                figures[check["name"]][check["status"]] += 1
    for name, counts in sorted(figures.items()):
        print(f"{name:32} {counts['success']:7} held {counts.total() - counts['success']:5} did not")
    return sum(counts.total() - counts["success"] for counts in figures.values())


def main() -> None:
    form = {"username": "admin", "password": os.environ["ADMIN_PASSWORD"]}
    token = ask("POST", "/token", data=form).json()["access_token"]
    who = {"Authorization": f"Bearer {token}"}
    with tempfile.TemporaryDirectory() as folder:
        document, events = pathlib.Path(folder, "openapi.json"), pathlib.Path(folder, "events.ndjson")
        document.write_bytes(ask("GET", "/openapi.json", headers=who).content)
        command = [pathlib.Path(sys.executable).with_name("st"), "--config-file", HERE / "schemathesis.toml", "run"]
        command += [document, "--url", BASE, "--checks", "all", "--report", "ndjson", "--report-ndjson-path", events]
        # Its own database of examples would make the next run another one.
        given = {"TOKEN": token, "HOOKS": str(HERE / "hooks.py")}
        ran = subprocess.run(command + sys.argv[1:], cwd=folder, env=os.environ | given)
        if not events.exists():
            sys.exit(ran.returncode)
        failed = told(events)
    # Whoever asked could ask to the end, and so could be answered.
    models = {model["name"] for model in ask("GET", "/v1/models", headers=who).json()}
    if not {"iris", "awkward"} <= models:
        sys.exit(f"the models that were to be asked are gone: {models}")
    sys.exit(1 if failed else ran.returncode)


main()
