"""Signs tokens. Usage: tokens.py JSON, with PyJWT and cryptography in PYTHONPATH.

{tokens: {name: {key, algorithm, claims, age}}}: claims beside iss, iat and exp; `age` seconds ago, for ten minutes.
Answers {keys: {name: JWKS of that key alone}, tokens: {name: token}}. Keys are by name, made anew each time.
"""
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

KEYS = {}


def key(name, algorithm):
    if name not in KEYS:
        private = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 2048)
        kind = jwt.algorithms.ECAlgorithm if algorithm == "ES256" else jwt.algorithms.RSAAlgorithm
        public = kind.to_jwk(private.public_key())
        KEYS[name] = private, {"keys": [{**json.loads(public), "kid": name, "use": "sig"}]}
    return KEYS[name]


tokens = {}
for name, wanted in json.loads(sys.argv[1])["tokens"].items():
    algorithm = wanted.get("algorithm", "ES256")
    private, _ = key(wanted.get("key", "main"), algorithm)
    issued = int(time.time()) - wanted.get("age", 0)
    claims = {"iss": "https://issuer.test", "sub": "alice", "iat": issued, "exp": issued + 600, **wanted.get("claims", {})}
    tokens[name] = jwt.encode(claims, private, algorithm, headers={"kid": wanted.get("kid", wanted.get("key", "main"))})
print(json.dumps({"keys": {name: public for name, (_, public) in KEYS.items()}, "tokens": tokens}))
