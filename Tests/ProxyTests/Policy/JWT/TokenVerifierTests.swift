import Testing

@testable import Proxy

@Suite struct TokenVerifierTests {
    // MARK: What the standards give as examples

    private static let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

    /// RFC 7515 appendix A.2.
    @Test func rs256ExampleOfTheStandard() throws {
        let keys =
            #"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2"#
            + "mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5"
            + "rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmo"
            + #"udF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#
        let token =
            "eyJhbGciOiJSUzI1NiJ9.\(Self.payload).cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4"
            + "Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvk"
            + "SjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEU"
            + "ipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        #expect(try verify(token, keys: keys, issuer: "joe", now: 1_300_819_000) == 1_300_819_440)
        #expect(throws: TokenError.expired) { try verify(token, keys: keys, issuer: "joe", now: 1_300_819_440) }
    }

    /// RFC 7515 appendix A.3.
    @Test func es256ExampleOfTheStandard() throws {
        let keys =
            #"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#
            + #""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#
        let token =
            "eyJhbGciOiJFUzI1NiJ9.\(Self.payload)."
            + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        #expect(try verify(token, keys: keys, issuer: "joe", now: 1_300_819_000) == 1_300_819_440)
    }

    /// RFC 7515 appendix A.4 and RFC 8037 appendix A.4: what they sign is no set of claims.
    @Test func signaturesOfTheStandards() throws {
        let curve = try KeySet(
            json: Array(
                (#"{"keys":[{"kty":"EC","crv":"P-521","#
                    + #""x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","#
                    + #""y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}]}"#)
                    .utf8))
        #expect(
            verifies(
                "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
                "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZg"
                    + "oXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
                .es512, curve.keys[0].key))
        let edwards = try KeySet(
            json: Array(
                #"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#.utf8))
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        #expect(verifies(message, signature, .edDSA, edwards.keys[0].key))
        #expect(!verifies(message + "x", signature, .edDSA, edwards.keys[0].key))
        #expect(!verifies(message, signature, .es512, curve.keys[0].key))
    }

    private func verifies(
        _ message: String, _ signature: String, _ algorithm: SignatureAlgorithm, _ key: PublicKey
    ) -> Bool {
        let message = Array(message.utf8)
        let text = Array(signature.utf8)
        guard let signature = unsafe TokenSignature(text.span.bytes, algorithm) else { return false }
        return unsafe key.verifies(signature, of: message.span.bytes, algorithm)
    }

    // MARK: What another implementation makes

    @Test(arguments: PyJWTTokens.tokens.indices) func tokensOfPyJWT(_ index: Int) throws {
        let token = PyJWTTokens.tokens[index].token
        #expect(try verify(token, keys: PyJWTTokens.keys) == 1_800_003_660)
        #expect(try verify(token, keys: PyJWTTokens.keys, audiences: ["other", "bank"]) == 1_800_003_660)
        #expect(throws: TokenError.audience) { try verify(token, keys: PyJWTTokens.keys, audiences: ["other"]) }
        #expect(throws: TokenError.issuer) { try verify(token, keys: PyJWTTokens.keys, issuer: "https://issuer.test/") }
        #expect(throws: TokenError.expired) { try verify(token, keys: PyJWTTokens.keys, now: 1_800_003_660) }
        #expect(throws: TokenError.notYetValid) { try verify(token, keys: PyJWTTokens.keys, now: 1_799_999_939) }
        #expect(try verify(token, keys: PyJWTTokens.keys, now: 1_799_999_940) == 1_800_003_660)
    }

    @Test func everyAlgorithmIsAmongThem() {
        let names = SignatureAlgorithm.allCases.map { String(describing: $0.name) }
        #expect(Set(names) == Set(PyJWTTokens.tokens.map(\.algorithm)))
    }

    /// A key is used for what its own `alg` says and nothing else.
    @Test func keysArePinnedToTheirAlgorithm() throws {
        let keys = PyJWTTokens.keys.replacing(#""kid": "rsa","#, with: #""kid": "rsa", "alg": "PS256","#)
        for (algorithm, token) in PyJWTTokens.tokens where algorithm.hasPrefix("RS") || algorithm == "PS384" {
            #expect(throws: TokenError.algorithm) { try verify(token, keys: keys) }
        }
        for (algorithm, token) in PyJWTTokens.tokens where algorithm == "PS256" {
            #expect(try verify(token, keys: keys) == 1_800_003_660)
        }
    }

    // MARK: Attacks

    @Test func changedTokensAreNeverAccepted() throws {
        let set = try KeySet(json: Array(PyJWTTokens.keys.utf8))
        let demand = TokenDemand(issuer: "https://issuer.test", audiences: [])
        var random = SeededGenerator(seed: 11)
        var verifier = TokenVerifier()
        for (_, token) in PyJWTTokens.tokens {
            let original = Array(token.utf8)
            for _ in 0..<1_000 {
                var bytes = original
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                    case 1: bytes[place] = original[Int.random(in: 0..<original.count, using: &random)]
                    case 2: bytes.remove(at: place)
                    default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                    }
                }
                guard bytes != original else { continue }
                #expect(throws: TokenError.self) {
                    try unsafe verifier.read(bytes.span.bytes)
                    _ = try unsafe verifier.verify(bytes.span.bytes, demand, keys: set, now: 1_800_000_100)
                }
            }
        }
    }
}
