"""Reads JSON {"keys": […], "encrypt": […], "decrypt": […]} and prints the same with what cryptography makes of them."""

import json
import sys

from cryptography.fernet import Fernet, MultiFernet

asked = json.load(sys.stdin)
ring = MultiFernet([Fernet(key) for key in asked["keys"]])
json.dump(
    {
        "encrypt": [ring.encrypt(text.encode()).decode() for text in asked["encrypt"]],
        "decrypt": [ring.decrypt(token.encode()).decode() for token in asked["decrypt"]],
    },
    sys.stdout,
)
