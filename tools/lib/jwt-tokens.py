"""Makes PyJWTTokens.swift: tokens of every algorithm by PyJWT, and the key set that verifies them.

    pip install pyjwt cryptography && python3 tools/lib/jwt-tokens.py > Tests/ProxyTests/Policy/JWT/PyJWTTokens.swift
"""

import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import algorithms

CLAIMS = {
    "iss": "https://issuer.test",
    "sub": "alice",
    "aud": ["shop", "bank"],
    "iat": 1_800_000_000,
    "nbf": 1_800_000_000,
    "exp": 1_800_003_600,
    "groups": ["admin", "näive"],
}
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHMS = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519",
}


def jwk(name, key):
    kinds = {
        "rsa": algorithms.RSAAlgorithm,
        "ed25519": algorithms.OKPAlgorithm,
    }
    text = kinds.get(name, algorithms.ECAlgorithm).to_jwk(key.public_key())
    return {"kid": name, **json.loads(text)}


def swift(text, indent):
    width = 100 - indent
    parts = [text[i : i + width] for i in range(0, len(text), width)]
    pad = "\n" + " " * indent + "+ "
    return pad.join(f'#"{part}"#' for part in parts)


print("// Made by tools/lib/jwt-tokens.py with PyJWT", jwt.__version__)
print("enum PyJWTTokens {")
print("    static let keys =\n        " + swift(json.dumps({"keys": [jwk(*item) for item in KEYS.items()]}), 8))
print("\n    static let tokens: [(algorithm: String, token: String)] = [")
for name, key in ALGORITHMS.items():
    token = jwt.encode(CLAIMS, KEYS[key], algorithm=name, headers={"kid": key})
    print(f'        (\n            "{name}",\n            {swift(token, 12)}\n        ),')
print("    ]\n}")
