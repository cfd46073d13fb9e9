import Glibc
import Mesh

/// What would become of a token that a request carries.
struct TokenExamination {
    /// Whether the request would go on.
    var isAccepted: Bool
    /// The payload that policies see; nil: none, because nobody would read the token.
    var payload: String?
    var steps: [String]

    /// - Parameters:
    ///   - token: in its compact form (RFC 7515 section 3.1).
    ///   - rules: those for the request's destination.
    ///   - now: seconds since 1970.
    init(_ token: String, _ rules: [JWTRule], now: UInt64) {
        guard !rules.isEmpty else {
            (isAccepted, payload) = (true, nil)
            steps = ["no RequestAuthentication applies: nobody reads the token, and no policy sees what it says"]
            return
        }
        let bytes = Array(token.utf8)
        do throws(TokenError) {
            steps = [try Self.verify(bytes, rules, now)]
            (isAccepted, payload) = (true, PolicyInquiry.payload(ofToken: token))
        } catch {
            (isAccepted, payload) = (false, nil)
            steps = ["\(error.text): refused with 401"]
        }
    }

    /// - Returns: what the token is worth, for people.
    private static func verify(_ token: [UInt8], _ rules: [JWTRule], _ now: UInt64) throws(TokenError) -> String {
        var verifier = TokenVerifier()
        unsafe try verifier.read(token.span.bytes)
        guard let rule = rules.first(where: { verifier.isIssued(by: Array($0.issuer.utf8)) }) else { throw .issuer }
        let demand = TokenDemand(issuer: rule.issuer, audiences: rule.audiences)
        let end: UInt64
        let worth: String
        switch keys(of: rule) {
        case .found(let keys):
            end = unsafe try verifier.verify(token.span.bytes, demand, keys: keys, now: now)
            worth = "the token of \(rule.issuer) is valid"
        case .elsewhere(let url):
            end = try verifier.check(demand, now: now)
            worth =
                "the keys of \(rule.issuer) are at \(url), which is not asked here: the signature is TAKEN TO BE VALID"
        case .unusable: throw .keysUnavailable
        }
        return end == .max ? "\(worth), without an end" : "\(worth), for \(end - now) s more"
    }

    private enum Keys {
        case found(KeySet)
        case elsewhere(String)
        case unusable
    }

    private static func keys(of rule: JWTRule) -> Keys {
        switch rule.keys {
        case .inline(let json): return (try? KeySet(json: Array(json.utf8))).map(Keys.found) ?? .unusable
        case .url(let url): return .elsewhere(url)
        }
    }
}

extension MeshSnapshot {
    /// The rules for tokens in what a workload receives, through a service or not.
    func tokenRules(for workload: MeshWorkload, service: ObjectName?) -> [JWTRule] {
        requestAuthentications.values.sorted { $0.name < $1.name }.filter { policy in
            let isOfService = service.map {
                $0.namespace == policy.name.namespace && policy.targetServices.contains($0.name)
            }
            return isOfService == true || policy.selects(workload)
        }.flatMap(\.rules)
    }
}
