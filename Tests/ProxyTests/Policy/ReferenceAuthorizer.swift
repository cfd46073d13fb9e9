import Mesh

@testable import Proxy

/// The same decisions, slowly and plainly: strings, dictionaries, and the rules as the model has them.
struct ReferenceAuthorizer {
    var policies: [AuthorizationPolicy]
    var providers: Set<String> = ["opa", "quota"]

    func verdict(_ facts: PolicyFacts) -> String {
        let enforced = policies.filter { !$0.isShadow }.sorted { $0.name < $1.name }
        // Who is not known is not asked; who is known is asked in the order of their names.
        let custom = enforced.filter { $0.action == .custom }.sorted { (order($0), $0.name) < (order($1), $1.name) }
        for policy in custom {
            guard let index = matchingRule(policy, facts) else { continue }
            guard let provider = policy.provider, providers.contains(provider) else {
                return "deny \(policy.name)[\(index)]"
            }
            return "ask \(provider) \(policy.name)[\(index)]"
        }
        for policy in enforced where policy.action == .deny {
            if let index = matchingRule(policy, facts) { return "deny \(policy.name)[\(index)]" }
        }
        let allow = enforced.filter { $0.action == .allow }
        if allow.isEmpty { return "allow" }
        for policy in allow {
            if let index = matchingRule(policy, facts) { return "allow \(policy.name)[\(index)]" }
        }
        return "deny \(allow.map(\.name.description).joined(separator: ",")) (no rule matched)"
    }

    private func order(_ policy: AuthorizationPolicy) -> String {
        guard let provider = policy.provider, providers.contains(provider) else { return "" }
        return provider
    }

    private func matchingRule(_ policy: AuthorizationPolicy, _ facts: PolicyFacts) -> Int? {
        policy.rules.firstIndex { rule in
            let lenient = policy.action == .deny || policy.action == .custom
            let reader = Reader(facts: facts, missing: lenient)
            return (rule.sources.isEmpty || rule.sources.contains { reader.matches($0) })
                && (rule.operations.isEmpty || rule.operations.contains { reader.matches($0) })
                && rule.conditions.allSatisfy { reader.matches($0) }
        }
    }

    private struct Reader {
        let facts: PolicyFacts
        /// What a list about requests is on a plain connection.
        let missing: Bool

        func matches(_ source: AuthorizationPolicy.Source) -> Bool {
            strings(principal, source.principals, source.notPrincipals)
                && strings(namespace, source.namespaces, source.notNamespaces)
                && blocks(facts.sourceAddress, source.ipBlocks, source.notIPBlocks)
                && request(source.requestPrincipals, source.notRequestPrincipals) {
                    strings(requestPrincipal, source.requestPrincipals, source.notRequestPrincipals)
                }
                && request(source.remoteIPBlocks, source.notRemoteIPBlocks) {
                    blocks(facts.sourceAddress, source.remoteIPBlocks, source.notRemoteIPBlocks)
                }
        }

        func matches(_ operation: AuthorizationPolicy.Operation) -> Bool {
            ports(operation.ports, operation.notPorts)
                && request(operation.hosts, operation.notHosts) {
                    lists(operation.hosts, operation.notHosts, matchesHost)
                }
                && request(operation.methods, operation.notMethods) {
                    strings([facts.request?.method ?? ""], operation.methods, operation.notMethods)
                }
                && request(operation.paths, operation.notPaths) {
                    lists(operation.paths, operation.notPaths, matchesPath)
                }
        }

        func matches(_ condition: AuthorizationPolicy.Condition) -> Bool {
            switch condition {
            case .sourcePrincipal(let values, let others): return strings(principal, values, others)
            case .sourceNamespace(let values, let others): return strings(namespace, values, others)
            case .sourceIP(let values, let others): return blocks(facts.sourceAddress, values, others)
            case .destinationIP(let values, let others): return blocks(facts.destinationAddress, values, others)
            case .destinationPort(let values, let others): return ports(values, others)
            case .remoteIP(let values, let others):
                return request(values, others) { blocks(facts.sourceAddress, values, others) }
            case .connectionSNI(let values, let others): return request(values, others) { strings([], values, others) }
            case .requestHeader(let name, let values, let others):
                return request(values, others) {
                    let fields = facts.request?.headers.filter { $0.name.lowercased() == name } ?? []
                    if fields.isEmpty { return values.isEmpty }
                    let joined = fields.map(\.value).joined(separator: ",")
                    // For a header `*` asks whether it is there.
                    return lists(values, others) { $0 == .present || $0.matches(joined) }
                }
            case .requestPrincipal(let values, let others):
                return request(values, others) { strings(requestPrincipal, values, others) }
            case .requestAudiences(let values, let others):
                return request(values, others) { strings(claim(["aud"]), values, others) }
            case .requestPresenter(let values, let others):
                return request(values, others) { strings(claim(["azp"]), values, others) }
            case .requestClaim(let path, let values, let others):
                return request(values, others) { strings(claim(path), values, others) }
            }
        }

        // MARK: Lists

        private func request<Value>(_ values: [Value], _ others: [Value], _ body: () -> Bool) -> Bool {
            if values.isEmpty, others.isEmpty { return true }
            return facts.request == nil ? missing : body()
        }

        private func lists<Value>(_ values: [Value], _ others: [Value], _ matches: (Value) -> Bool) -> Bool {
            (values.isEmpty || values.contains(where: matches)) && !others.contains(where: matches)
        }

        private func strings(_ found: [String], _ values: [StringMatch], _ others: [StringMatch]) -> Bool {
            lists(values, others) { pattern in found.contains { pattern.matches($0) } }
        }

        private func blocks(_ address: String, _ values: [IPBlock], _ others: [IPBlock]) -> Bool {
            lists(values, others) { block in IPAddress(address).map(block.contains) ?? false }
        }

        private func ports(_ values: [UInt16], _ others: [UInt16]) -> Bool {
            lists(values, others) { $0 == facts.port }
        }

        // MARK: Attributes

        private var principal: [String] { facts.principal.map { [$0] } ?? [] }

        private var namespace: [String] {
            guard let parts = facts.principal?.split(separator: "/"), let place = parts.firstIndex(of: "ns") else {
                return []
            }
            return [String(parts[place + 1])]
        }

        private var requestPrincipal: [String] {
            guard let issuer = claim(["iss"]).first, let subject = claim(["sub"]).first else { return [] }
            return ["\(issuer)/\(subject)"]
        }

        private func claim(_ path: [String]) -> [String] {
            var value = facts.claims
            for element in path {
                guard case .object(let members)? = value else { return [] }
                value = members[element]
            }
            switch value {
            case .text(let text)?:
                return ["scope", "permission"].contains(path.last)
                    ? text.split(separator: " ").map(String.init) : [text]
            case .list(let values)?: return values.compactMap { if case .text(let text) = $0 { text } else { nil } }
            default: return []
            }
        }

        private func matchesHost(_ pattern: StringMatch) -> Bool {
            var host = (facts.request?.host ?? "").lowercased()
            var port: String?
            if let place = Self.port(in: host) {
                port = Int(host[place...].dropFirst()).map(String.init)
                host = String(host[..<place])
            }
            if host.hasSuffix(".") { host.removeLast() }
            func matches(_ text: String, _ compare: (String, String) -> Bool) -> Bool {
                let text = text.lowercased().replacing(".:", with: ":")
                if Self.port(in: text) == nil { return compare(host, text) }
                guard let port else { return false }
                return compare("\(host):\(port)", text)
            }
            switch pattern {
            case .present: return true
            case .exact(let text): return matches(text) { $0 == ($1.hasSuffix(".") ? String($1.dropLast()) : $1) }
            case .prefix(let text): return matches(text) { $0.hasPrefix($1) }
            case .suffix(let text):
                return matches(text) { $0.hasSuffix($1.hasSuffix(".") ? String($1.dropLast()) : $1) }
            }
        }

        /// The colon before a port; those of IPv6 addresses are in brackets.
        private static func port(in text: String) -> String.Index? {
            if text.hasPrefix("["), !text.contains("]") { return nil }
            let start = text.lastIndex(of: "]") ?? text.startIndex
            return text[start...].firstIndex(of: ":")
        }

        private func matchesPath(_ pattern: AuthorizationPolicy.PathMatch) -> Bool {
            let path = facts.request?.target.split(separator: "?", omittingEmptySubsequences: false).first ?? ""
            switch pattern {
            case .text(let match): return match.matches(String(path))
            case .template(let elements):
                var tokens: [Token] = []
                for element in elements {
                    tokens.append(.character("/"))
                    switch element {
                    case .literal(let text): tokens += text.map(Token.character)
                    case .one: tokens.append(.one)
                    case .any: tokens.append(.any)
                    }
                }
                return Self.matches(tokens[...], path)
            }
        }

        private enum Token { case character(Character), one, any }

        private static func matches(_ tokens: ArraySlice<Token>, _ text: Substring) -> Bool {
            guard let token = tokens.first else { return text.isEmpty }
            let rest = tokens.dropFirst()
            switch token {
            case .character(let character): return text.first == character && matches(rest, text.dropFirst())
            case .one:
                let element = text.prefix { $0 != "/" }
                return !element.isEmpty && matches(rest, text.dropFirst(element.count))
            case .any: return (0...text.count).contains { matches(rest, text.dropFirst($0)) }
            }
        }
    }
}
