import Testing

@testable import Proxy

@Suite struct KeySetTests {
    private func problem(_ json: String) -> KeySet.Problem? {
        do throws(KeySet.Problem) {
            _ = try KeySet(json: Array(json.utf8))
            return nil
        } catch {
            return error
        }
    }

    private static let key = TestIssuer().jwk

    @Test func takesTheKeysThatItKnows() throws {
        let set = try KeySet(json: Array(PyJWTTokens.keys.utf8))
        #expect(
            set.keys.map { String(decoding: $0.identifier, as: UTF8.self) } == [
                "rsa", "p256", "p384", "p521", "ed25519",
            ])
        #expect(set.keys.map(\.key.type) == [.rsa, .p256, .p384, .p521, .ed25519])
        #expect(set.ignored == 0)
    }

    /// Keys of other kinds do not keep those that are of use from being used.
    @Test(arguments: [
        #"{"kty":"oct","k":"c2VjcmV0"}"#,
        #"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKx"}"#, #"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
        #"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, #"{"kty":"RSA","n":"!","e":"AQAB"}"#, #"{"kty":5}"#, "5", "{}",
        #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}"#,
        #"{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        #"{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        #"{"kty":"OKP","crv":"Ed25519","alg":"HS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        #"{"kty":"OKP","crv":"Ed25519","alg":"ES256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    ]) func passesOver(_ key: String) throws {
        #expect(problem(#"{"keys":[\#(key)]}"#) == .noUsableKey(ignored: 1))
        let set = try KeySet(json: Array(#"{"keys":[\#(key),\#(Self.key)]}"#.utf8))
        #expect(set.keys.count == 1 && set.ignored == 1)
    }

    /// 1024 bits are not enough, even (and an even exponent is none).
    @Test func rsaKeysHaveToBeStrong() throws {
        func jwk(bytes: Int, e: [UInt8]) -> String {
            var modulus = [UInt8](repeating: 0xff, count: bytes)
            modulus[bytes - 1] = 0x0d
            return #"{"keys":[{"kty":"RSA","n":"\#(base64URL(modulus))","e":"\#(base64URL(e))"}]}"#
        }
        #expect(problem(jwk(bytes: 256, e: [1, 0, 1])) == nil)
        #expect(problem(jwk(bytes: 255, e: [1, 0, 1])) == .noUsableKey(ignored: 1))
        #expect(problem(jwk(bytes: 128, e: [1, 0, 1])) == .noUsableKey(ignored: 1))
        #expect(problem(jwk(bytes: 2048, e: [1, 0, 1])) == .noUsableKey(ignored: 1))
        #expect(problem(jwk(bytes: 256, e: [1])) == .noUsableKey(ignored: 1))
        #expect(problem(jwk(bytes: 256, e: [1, 0, 0])) == .noUsableKey(ignored: 1))
        #expect(problem(jwk(bytes: 256, e: [])) == .noUsableKey(ignored: 1))
    }

    @Test func saysWhatIsWrong() {
        #expect(problem("") == .json(.syntax))
        #expect(problem("[]") == .noKeys)
        #expect(problem("{}") == .noKeys)
        #expect(problem(#"{"keys":{}}"#) == .noKeys)
        #expect(problem(#"{"keys":[]}"#) == .noUsableKey(ignored: 0))
        #expect(problem(#"{"keys":[\#(Array(repeating: "{}", count: 65).joined(separator: ","))]}"#) == .tooManyKeys)
        #expect(problem(String(repeating: " ", count: KeySet.maximumSize + 1)) == .tooLarge)
    }
}
