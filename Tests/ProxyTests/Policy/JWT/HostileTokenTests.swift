import Testing

@testable import Proxy

@Suite struct HostileTokenTests {
    private static let issuer = TestIssuer()
    private static let claims = #"{"iss":"https://issuer.test","sub":"alice","exp":1800003600}"#

    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let token: String
        let error: TokenError

        init(_ description: String, _ token: String, _ error: TokenError) {
            testDescription = description
            self.token = token
            self.error = error
        }
    }

    private static let good = issuer.token(claims)
    private static let parts = good.split(separator: ".").map(String.init)

    private static func withHeader(_ header: String) -> String { issuer.token(header: header, payload: claims) }

    private static let cases: [Case] = [
        Case("alg none, unsigned", base64URL(Array(#"{"alg":"none"}"#.utf8)) + "." + parts[1] + ".", .algorithm),
        Case("alg none, signed", withHeader(#"{"alg":"none"}"#), .algorithm),
        Case("alg None", withHeader(#"{"alg":"None"}"#), .algorithm),
        Case("keyed hash with the public key", withHeader(#"{"alg":"HS256","kid":"key-1"}"#), .algorithm),
        Case("alg of another kind of key", withHeader(#"{"alg":"RS256","kid":"key-1"}"#), .algorithm),
        Case("alg in lower case", withHeader(#"{"alg":"eddsa"}"#), .algorithm),
        Case("alg is no string", withHeader(#"{"alg":["EdDSA"]}"#), .algorithm),
        Case("no alg", withHeader(#"{"typ":"JWT"}"#), .malformed),
        Case("alg twice", withHeader(#"{"alg":"EdDSA","alg":"none"}"#), .malformed),
        Case("crit", withHeader(#"{"alg":"EdDSA","crit":["exp"]}"#), .critical),
        Case("unencoded payload", withHeader(#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#), .critical),
        Case("unknown kid", withHeader(#"{"alg":"EdDSA","kid":"../../etc/passwd"}"#), .unknownKey),
        Case("kid is no string", withHeader(#"{"alg":"EdDSA","kid":{"a":1}}"#), .malformed),
        Case("kid prefix", withHeader(#"{"alg":"EdDSA","kid":"key-"}"#), .unknownKey),
        Case("signed by the key in its header", forged(), .signature),
        Case("empty", "", .malformed),
        Case("dots", "..", .malformed),
        Case("two parts", parts[0] + "." + parts[1], .malformed),
        Case("four parts", good + ".x", .malformed),
        Case("five parts (JWE)", good + ".x.y", .malformed),
        Case("no signature", parts[0] + "." + parts[1] + ".", .signature),
        Case("truncated signature", String(good.dropLast(4)), .signature),
        Case("padding", good + "==", .signature),
        Case("standard alphabet", parts[0] + "." + parts[1] + "." + String(repeating: "+", count: 86), .signature),
        Case("space in front", " " + good, .malformed),
        Case("other bits in the last character", twin(), .signature),
        Case("header is a list", withHeader(#"["EdDSA"]"#), .malformed),
        Case("payload is a list", issuer.token("[]"), .malformed),
        Case("payload is no JSON", issuer.token("iss=https://issuer.test"), .malformed),
        Case("payload is not UTF-8", issuer.token("{\"iss\":\"\\uD800\"}"), .malformed),
        Case("iss twice", issuer.token(#"{"iss":"https://issuer.test","iss":"https://issuer.test"}"#), .malformed),
        Case("exp twice", issuer.token(#"{"iss":"https://issuer.test","exp":1,"exp":1800003600}"#), .malformed),
        Case("deep", issuer.token(#"{"iss":"https://issuer.test","x":\#(nested(40))}"#), .malformed),
        Case("many values", issuer.token(#"{"iss":"https://issuer.test","x":[\#(list(600))]}"#), .malformed),
        Case(
            "huge", issuer.token(#"{"iss":"https://issuer.test","x":"\#(String(repeating: "x", count: 20_000))"}"#),
            .tooLarge),
        Case(
            "huge header", withHeader(#"{"alg":"EdDSA","x":"\#(String(repeating: "x", count: 5_000))"}"#), .tooLarge),
        Case("no iss", issuer.token(#"{"sub":"alice"}"#), .issuer),
        Case("iss is no string", issuer.token(#"{"iss":["https://issuer.test"]}"#), .issuer),
        Case("iss in other case", issuer.token(#"{"iss":"https://ISSUER.test"}"#), .issuer),
        Case("iss with more behind it", issuer.token(#"{"iss":"https://issuer.test\u0000"}"#), .issuer),
        Case("expired", issuer.token(#"{"iss":"https://issuer.test","exp":1800000000}"#), .expired),
        Case("exp 0", issuer.token(#"{"iss":"https://issuer.test","exp":0}"#), .expired),
        Case("exp is a string", issuer.token(#"{"iss":"https://issuer.test","exp":"1800003600"}"#), .time),
        Case("exp is negative", issuer.token(#"{"iss":"https://issuer.test","exp":-1}"#), .time),
        Case("exp is null", issuer.token(#"{"iss":"https://issuer.test","exp":null}"#), .time),
        Case("exp overflows", issuer.token(#"{"iss":"https://issuer.test","exp":99999999999999999999999}"#), .time),
        Case("exp with exponent", issuer.token(#"{"iss":"https://issuer.test","exp":1e300}"#), .time),
        Case("nbf", issuer.token(#"{"iss":"https://issuer.test","nbf":1800000300}"#), .notYetValid),
        Case("iat", issuer.token(#"{"iss":"https://issuer.test","iat":1800000300}"#), .notYetValid),
        Case("nbf is a string", issuer.token(#"{"iss":"https://issuer.test","nbf":"0"}"#), .time),
    ]

    /// A key that the token itself brings is not asked.
    private static func forged() -> String {
        let other = TestIssuer()
        return other.token(
            header: #"{"alg":"EdDSA","jwk":\#(other.jwk),"jku":"https://evil.test/keys"}"#, payload: claims)
    }

    /// The same signature with unused bits set: one token must not have two texts.
    private static func twin() -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        guard let last = good.last, let place = alphabet.firstIndex(of: last) else { return "" }
        return String(good.dropLast()) + String(alphabet[place | 1])
    }

    private static func nested(_ depth: Int) -> String {
        String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }

    private static func list(_ count: Int) -> String { Array(repeating: "1", count: count).joined(separator: ",") }

    @Test(arguments: cases) func isRefused(_ hostile: Case) {
        #expect(throws: hostile.error) { try verify(hostile.token, keys: Self.issuer.keySet) }
    }

    @Test func theSameWithoutTheFaultIsAccepted() throws {
        #expect(try verify(Self.good, keys: Self.issuer.keySet) == 1_800_003_660)
        #expect(try verify(Self.withHeader(#"{"alg":"EdDSA"}"#), keys: Self.issuer.keySet) == 1_800_003_660)
        #expect(try verify(Self.issuer.token(#"{"iss":"https://issuer.test"}"#), keys: Self.issuer.keySet) == .max)
        let fraction = Self.issuer.token(#"{"iss":"https://issuer.test","exp":1800003600.75,"nbf":1800000000.5}"#)
        #expect(try verify(fraction, keys: Self.issuer.keySet) == 1_800_003_660)
    }

    @Test(arguments: [
        (#"{"iss":"https://issuer.test"}"#, false), (#"{"iss":"https://issuer.test","aud":"shop"}"#, true),
        (#"{"iss":"https://issuer.test","aud":"shopping"}"#, false),
        (#"{"iss":"https://issuer.test","aud":["x","shop"]}"#, true),
        (#"{"iss":"https://issuer.test","aud":[]}"#, false),
        (#"{"iss":"https://issuer.test","aud":{"shop":1}}"#, false),
        (#"{"iss":"https://issuer.test","aud":[["shop"]]}"#, false),
        (#"{"iss":"https://issuer.test","aud":"shop bank"}"#, false),
    ]) func audiences(_ payload: String, _ isAccepted: Bool) {
        let token = Self.issuer.token(payload)
        if isAccepted {
            #expect(throws: Never.self) { try verify(token, keys: Self.issuer.keySet, audiences: ["bank", "shop"]) }
        } else {
            #expect(throws: TokenError.audience) {
                try verify(token, keys: Self.issuer.keySet, audiences: ["bank", "shop"])
            }
        }
    }
}
