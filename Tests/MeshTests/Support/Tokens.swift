import Foundation

/// Tokens that PyJWT has signed just now, and the keys that verify them. The issuer is `https://issuer.test`, the subject
/// `alice` unless the claims say otherwise.
struct Tokens {
    static let issuer = "https://issuer.test"

    struct Wanted {
        var key = "main"
        var algorithm = "ES256"
        var claims: [String: Any] = [:]
        /// Seconds since it was issued; a token holds for 600.
        var age = 0
    }

    let tokens: [String: String]
    /// JSON Web Key Sets by the key's name.
    let keySets: [String: String]

    init(_ sandbox: Sandbox, _ wanted: [String: Wanted]) throws {
        let tokens = wanted.mapValues {
            ["key": $0.key, "algorithm": $0.algorithm, "claims": $0.claims, "age": $0.age] as [String: Any]
        }
        let parameters = try JSONSerialization.data(withJSONObject: ["tokens": tokens], options: .sortedKeys)
        let result = try sandbox.run(
            ["/usr/bin/python3", "-S", Host.script("tokens.py"), String(decoding: parameters, as: UTF8.self)],
            environment: ["PYTHONPATH": Host.pythonPackages()])
        guard result.succeeded else { throw TestFailure("tokens.py: \(result.errors)") }
        let answer = try JSON(result.output)
        self.tokens = answer["tokens"].object.compactMapValues(\.string)
        keySets = try answer["keys"].object.mapValues {
            let value = $0.value ?? [:]
            return String(
                decoding: try JSONSerialization.data(withJSONObject: value, options: .sortedKeys), as: UTF8.self)
        }
    }

    func bearer(_ name: String) -> [String: String] { ["Authorization": "Bearer \(tokens[name] ?? "")"] }
}

extension Manifest {
    /// A RequestAuthentication for the workloads with the label `app`, of one issuer.
    /// - Parameter rule: members of the rule beside the issuer, in flow style.
    static func requestAuthentication(app: String, _ rule: String) -> String {
        """
        apiVersion: security.istio.io/v1
        kind: RequestAuthentication
        metadata: { name: tokens, namespace: shop }
        spec:
          selector: { matchLabels: { app: \(app) } }
          jwtRules: [{ issuer: "\(Tokens.issuer)", \(rule) }]

        """
    }
}
