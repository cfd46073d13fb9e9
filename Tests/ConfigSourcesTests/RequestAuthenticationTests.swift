import Mesh
import Testing

@testable import ConfigSources

/// Source: https://istio.io/latest/docs/reference/config/security/request_authentication/
@Suite("RequestAuthentication")
struct RequestAuthenticationTests {
    private static func text(_ spec: String, namespace: String = "shop") -> String {
        HTTPMesh.object("security.istio.io/v1", "RequestAuthentication", "jwt", spec, namespace: namespace)
    }

    private func authentication(_ spec: String, namespace: String = "shop") throws -> RequestAuthentication {
        let mesh = try snapshot(Self.text(spec, namespace: namespace))
        return try #require(mesh.requestAuthentications[HTTPMesh.name("jwt", namespace)])
    }

    @Test("has every field of Istio's rules for tokens")
    func fields() throws {
        let authentication = try authentication(
            """
            { selector: { matchLabels: { app: web } }, jwtRules: [
              { issuer: "https://idp.example.com/", audiences: [shop, admin], jwksUri: "https://idp.example.com:8443/keys",
                fromHeaders: [{ name: X-Token, prefix: "Bearer " }, { name: x-raw }], fromParams: [token],
                fromCookies: [session], forwardOriginalToken: true, outputPayloadToHeader: X-Payload,
                outputClaimToHeaders: [{ header: X-Role, claim: realm.role }, { header: x-sub, claim: sub }],
                timeout: 1.5s },
              { issuer: idp, jwks: '{"keys":[]}' }] }
            """)
        var first = JWTRule(
            issuer: "https://idp.example.com/", keys: .url("https://idp.example.com:8443/keys"))
        first.audiences = ["shop", "admin"]
        first.fromHeaders = [.init(name: "x-token", prefix: "Bearer "), .init(name: "x-raw")]
        first.fromParameters = ["token"]
        first.fromCookies = ["session"]
        first.forwardsToken = true
        first.outputPayloadHeader = "x-payload"
        first.outputClaims = [
            .init(header: "x-role", claim: ["realm", "role"]), .init(header: "x-sub", claim: ["sub"]),
        ]
        first.timeout = 1500
        #expect(authentication.selector == ["app": "web"])
        #expect(!authentication.isMeshWide)
        #expect(authentication.rules == [first, JWTRule(issuer: "idp", keys: .inline("{\"keys\":[]}"))])
    }

    @Test("is for the mesh in the root namespace, for services that it names, and may be empty")
    func scope() throws {
        #expect(try authentication("{}", namespace: "istio-system").isMeshWide)
        #expect(try authentication("").rules == [])
        let targets = "{ targetRefs: [{ kind: Service, group: \"\", name: web }] }"
        #expect(try authentication(targets).targetServices == ["web"])
        let outcome = try load(Self.text(targets))
        #expect(outcome.status(.requestAuthentication, "shop", "jwt")?[.resolvedRefs]?.reason == "TargetNotFound")
        let gateway = try load(Self.text("{ targetRefs: [{ kind: Gateway, group: a, name: web }] }"))
        #expect(gateway.snapshot?.requestAuthentications.isEmpty == true)
        #expect(gateway.status(.requestAuthentication, "shop", "jwt")?[.accepted]?.reason == "InvalidKind")
    }

    @Test("without keys says that no token is valid, and takes none")
    func discovery() throws {
        let outcome = try load(Self.text("{ jwtRules: [{ issuer: \"https://idp\" }] }"))
        let rule = try #require(outcome.snapshot?.requestAuthentications[HTTPMesh.name("jwt")]?.rules.first)
        #expect(rule.keys == .inline("{\"keys\":[]}"))
        let condition = outcome.status(.requestAuthentication, "shop", "jwt")?[.partiallyInvalid]
        #expect(condition?.message.contains("no token of https://idp is valid") == true)
    }

    static let keySets: [(String, Bool)] = [
        (#"{"keys":[]}"#, true),
        (
            #" { "a": [1, -2.5e3, "\"\u00e4\\", null, true, {}], "keys": [ {"kty":"RSA","n":"x"}, {"kty":"EC"} ] } "#,
            true
        ),
        (#"{"keys":[{"kty":"RSA"}],"more":{"a":{"b":[]}}}"#, true), ("{}", false), ("[]", false), ("null", false),
        (#"{"keys":{}}"#, false), (#"{"keys":["a"]}"#, false), (#"{"keys":[]"#, false), (#"{"keys":[],}"#, false),
        (#"{"keys":[]} x"#, false), (#"{'keys':[]}"#, false), (#"{"keys":[{"a":01x}]}"#, false),
        (#"{"keys":[{"a":"b}]}"#, false), (#"{"keys":[{"a":-}]}"#, false), (#"{"keys":[{"a":"\x"}]}"#, false),
        ("{\"keys\":[{\"a\":" + String(repeating: "[", count: 100_000) + "}]}", false),
    ]

    @Test("takes a key set that is JSON with a list of keys", arguments: keySets)
    func keySet(_ text: String, _ isValid: Bool) { #expect(JSONSyntax.isObject(text, with: "keys") == isValid) }

    static let locations: [(String, Bool)] = [
        ("http://idp/keys", true), ("https://idp.example.com:8443/keys?a=b", true),
        ("https://[2001:db8::1]:8443/k", true),
        ("https://10.0.0.1", true), ("file:///etc/keys.json", true), ("file:/etc/keys.json", true),
        ("ftp://idp/keys", false), ("idp/keys", false), ("https://", false), ("https:///keys", false),
        ("https://idp:0/", false), ("https://idp:x/", false), ("https://a b/", false), ("https://user@idp/", false),
        ("https://[::1/", false), ("file://keys.json", false), ("file:keys.json", false), ("file:///", false),
        ("https://ïdp/", false),
    ]

    @Test("finds keys by http, https and file", arguments: locations)
    func location(_ url: String, _ isValid: Bool) throws {
        let errors = try load(Self.text("{ jwtRules: [{ issuer: a, jwksUri: \"\(url)\" }] }")).errors
        #expect(errors.isEmpty == isValid)
        #expect(errors.allSatisfy { $0.path == "spec.jwtRules[0].jwksUri" && $0.line == 5 })
    }

    static let wrong: [(String, String)] = [
        ("{ jwtRules: [{ jwks: '{\"keys\":[]}' }] }", "spec.jwtRules[0].issuer: required, but missing"),
        (
            "{ jwtRules: [{ issuer: a, jwks: '{\"keys\":[]}', jwksUri: \"http://a\" }] }",
            "spec.jwtRules[0].jwksUri: jwks and jwksUri exclude each other"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwks: keys }] }",
            "spec.jwtRules[0].jwks: not a JSON Web Key Set such as {\"keys\": [{\"kty\": \"RSA\", …}]} (RFC 7517 §5)"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwksUri: \"http://a\", fromHeaders: [{ prefix: a }] }] }",
            "spec.jwtRules[0].fromHeaders[0].name: required, but missing"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwksUri: \"http://a\", outputPayloadToHeader: \"a b\" }] }",
            "spec.jwtRules[0].outputPayloadToHeader: \"a b\" is not a header name (RFC 9110 §5.6.2)"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwksUri: \"http://a\", outputClaimToHeaders: [{ header: a, claim: a..b }] }] }",
            "spec.jwtRules[0].outputClaimToHeaders[0].claim: \"a..b\" is not a claim such as sub or realm.role"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwksUri: \"http://a\", timeout: soon }] }",
            "spec.jwtRules[0].timeout: \"soon\" is not a duration such as 10s, 0.5s, 500ms or 1m30s"
        ),
        (
            "{ jwtRules: [{ issuer: a, jwksUri: \"http://a\", audience: a }] }",
            "spec.jwtRules[0].audience: unknown field"
        ),
        ("{ rules: [] }", "spec.rules: unknown field"),
    ]

    @Test("with what it cannot have is refused", arguments: wrong)
    func refused(_ spec: String, _ error: String) throws {
        #expect(try errors(of: Self.text(spec)) == [error])
    }
}
