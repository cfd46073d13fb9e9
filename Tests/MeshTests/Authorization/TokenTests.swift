import Foundation
import Testing

extension NodeTests {
    /// RequestAuthentication with tokens that another implementation has signed.
    @Suite("Tokens of requests")
    struct TokenTests {
        private static let needsToken = """
            [{ from: [{ source: { requestPrincipals: ["https://issuer.test/*"] } }], to: [{ operation: { paths: ["/items/*"] } }] },
             { to: [{ operation: { paths: ["/admin/*"] } }], when: [{ key: "request.auth.claims[groups]", values: [admin] }] },
             { to: [{ operation: { paths: ["/nested/*"] } }], when: [{ key: "request.auth.claims[realm][role]", values: [boss] }] },
             { to: [{ operation: { paths: ["/audience/*"] } }], when: [{ key: "request.auth.audiences", values: [bank] }] },
             { to: [{ operation: { paths: ["/open/*"] } }] }]
            """

        @Test("Valid, invalid, expired and missing tokens; claims decide, and the workload gets what it was promised")
        func inline() throws {
            try HTTPMesh.run { mesh in
                let tokens = try Tokens(
                    mesh.sandbox,
                    [
                        "alice": .init(claims: ["aud": "shop"]),
                        "admin": .init(claims: ["aud": ["shop", "bank"], "groups": ["staff", "admin"]]),
                        "boss": .init(claims: ["aud": "shop", "realm": ["role": "boss"]]),
                        "expired": .init(claims: ["aud": "shop"], age: 700),
                        "early": .init(claims: ["aud": "shop", "nbf": Int(Date.now.timeIntervalSince1970) + 600]),
                        "elsewhere": .init(claims: ["aud": "mall"]),
                        "foreign": .init(claims: ["aud": "shop", "iss": "https://other.test"]),
                        "forged": .init(key: "forger", claims: ["aud": "shop"]),
                    ])
                let keys = try #require(tokens.keySets["main"])
                let policy = Manifest.policy("tokens", action: "ALLOW", app: "web", rules: Self.needsToken)
                let rule = "jwks: '\(keys)', audiences: [shop]"
                try mesh.apply(
                    Manifest.requestAuthentication(
                        app: "web",
                        rule
                            + ", outputPayloadToHeader: x-payload, outputClaimToHeaders: [{ header: x-user, claim: sub }]"
                    ),
                    policy)
                func get(_ path: String, _ token: String?) throws -> HTTPReply {
                    try mesh.get(path, headers: token.map(tokens.bearer) ?? [:])
                }
                let valid = try get("/items/1", "alice")
                #expect(valid.status == 200, "\(valid.reason ?? "")")
                // The token is the mesh's business: the workload does not get it.
                #expect(valid.received("authorization") == nil)
                #expect(valid.received("x-user") == "alice")
                let payload = try #require(valid.received("x-payload"))
                #expect(payload == tokens.tokens["alice"]?.split(separator: ".")[1].description)

                #expect(try get("/items/1", nil).status == 403)
                #expect(try get("/open/1", nil).status == 200)
                #expect(try get("/admin/1", "alice").status == 403)
                #expect(try get("/admin/1", "admin").status == 200)
                #expect(try get("/nested/1", "alice").status == 403)
                #expect(try get("/nested/1", "boss").status == 200)
                #expect(try get("/audience/1", "alice").status == 403)
                #expect(try get("/audience/1", "admin").status == 200)
                for (token, reason) in [
                    ("expired", "Jwt_is_expired"), ("early", "Jwt_not_yet_valid"),
                    ("elsewhere", "Audiences_in_Jwt_are_not_allowed"), ("foreign", "Jwt_issuer_is_not_configured"),
                    ("forged", "Jwt_kid_is_not_found"),
                ] {
                    // A token that is not valid is refused where none is needed.
                    let reply = try get("/open/1", token)
                    #expect(reply.status == 401, "\(token)")
                    #expect(reply.reason == "jwt_authn_access_denied{\(reason)}", "\(token)")
                    #expect(reply.header("www-authenticate")?.contains("invalid_token") == true, "\(token)")
                }
                let text = try #require(tokens.tokens["alice"])
                for broken in ["x", "\(text)x", String(text.dropLast(4)), "\(text).\(text)"] {
                    #expect(
                        try mesh.get("/open/1", headers: ["Authorization": "Bearer \(broken)"]).status == 401,
                        "\(broken)")
                }
                // What the mesh promises nobody else can claim.
                let claimed = try mesh.get("/open/1", headers: ["x-user": "root", "x-payload": "e30"])
                #expect(claimed.status == 200)
                #expect(claimed.received("x-user") == nil)
                #expect(claimed.received("x-payload") == nil)

                try mesh.apply(
                    Manifest.requestAuthentication(
                        app: "web",
                        rule + ", forwardOriginalToken: true, fromHeaders: [{ name: x-token, prefix: \"T \" }], "
                            + "fromParams: [token], fromCookies: [session]"),
                    policy)
                let forwarded = try mesh.get("/items/1", headers: ["x-token": "T \(text)"])
                #expect(forwarded.status == 200)
                #expect(forwarded.received("x-token") == "T \(text)")
                #expect(try mesh.get("/items/1?token=\(text)").status == 200)
                #expect(try mesh.get("/items/1", headers: ["Cookie": "a=b; session=\(text)"]).status == 200)
                #expect(try get("/items/1", "alice").status == 403, "it is looked for elsewhere")
            }
        }

        @Test("Keys in a file and behind a URL: got, and got again when they have changed")
        func fetched() throws {
            try HTTPMesh.run { mesh in
                let tokens = try Tokens(
                    mesh.sandbox, ["old": .init(key: "old"), "new": .init(key: "new", algorithm: "RS256")])
                let directory = "\(mesh.sandbox.directory)/keys"
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                func write(_ key: String) throws {
                    try #require(tokens.keySets[key]).write(
                        toFile: "\(directory)/keys.json", atomically: true, encoding: .utf8)
                }
                let port = try Host.freePort()
                let server = try mesh.sandbox.start(
                    [
                        Host.python, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory,
                        "\(port)",
                    ])
                try server.waitForOutput("listening") { $0.contains("Serving") }
                let policy = Manifest.policy("tokens", action: "ALLOW", app: "web", rules: Self.needsToken)
                for url in ["file://\(directory)/keys.json", "http://127.0.0.1:\(port)/keys.json"] {
                    try write("old")
                    try mesh.apply(Manifest.requestAuthentication(app: "web", "jwksUri: \"\(url)\""), policy)
                    func status(_ token: String) throws -> Int {
                        try mesh.get("/items/1", headers: tokens.bearer(token)).status
                    }
                    try eventually("the keys of \(url) are there", within: 5) { try status("old") == 200 }
                    #expect(try status("new") == 401)
                    try write("new")
                    try eventually("the new keys of \(url) are there", within: 10) { try status("new") == 200 }
                    #expect(try status("old") == 401)
                }
            }
        }

        @Test("While the keys cannot be got, tokens are refused, and requests without one are not")
        func unavailable() throws {
            try HTTPMesh.run(
                Manifest.requestAuthentication(app: "web", "jwksUri: \"http://127.0.0.1:9/keys.json\""),
                Manifest.policy("tokens", action: "ALLOW", app: "web", rules: Self.needsToken)
            ) { mesh in
                let tokens = try Tokens(mesh.sandbox, ["alice": .init()])
                let reply = try mesh.get("/open/1", headers: tokens.bearer("alice"))
                #expect(reply.status == 401)
                #expect(reply.reason == "jwt_authn_access_denied{Jwks_not_available}")
                #expect(try mesh.get("/open/1").status == 200)
                try mesh.node.waitForMetrics("there are no keys") {
                    $0.matching("weft_token_keys", ["issuer": Tokens.issuer]).map(\.value) == [0]
                }
            }
        }
    }
}
