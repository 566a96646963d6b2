"""What Schemathesis does not know of this API: how to send what it has no form for, and what must stay."""

import schemathesis


@schemathesis.serializer("application/x-tar", "application/vnd.apache.arrow.stream")
def as_bytes(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Deletes neither who asks nor the models that the other operations ask: it finds them in lists."""
    if case.method == "DELETE":
        named = case.path_parameters or {}
        if named.get("name") == "admin":
            named["name"] = "not-there"
        if named.get("model") in ("iris", "awkward"):
            named["model"] = "not-there"
