import Mesh
import WeftABI

/// What one rule of a NetworkPolicy allows.
struct NetworkClause {
    enum Identity {
        case any
        /// Workloads, by what policies can tell of them (`weft_workload.peer`), and what they are chosen by.
        case known(Set<UInt64>, String)
        /// Nobody that is known: the address has to say whose it is.
        case unknown
    }

    struct Block {
        var block: IPBlock
        var except: [IPBlock]
    }

    var rule: String
    var identity: Identity
    /// nil: every address.
    var blocks: [Block]?
    /// nil: every port of every protocol.
    var ports: [PortRange]?

    var asksForIdentity: Bool { if case .any = identity { false } else { true } }

    /// What the policies say, whatever workloads there are.
    fileprivate var content: String {
        let peers =
            switch identity {
            case .any: "\(blocks.map { "\($0)" } ?? "all")"
            case .known(_, let choice): "known \(choice) \(blocks.map { "\($0)" } ?? "")"
            case .unknown: "unknown"
            }
        return "\(rule) \(peers) \(ports.map { "\($0)" } ?? "")"
    }
}

struct PortRange: Hashable {
    var transport: TransportProtocol
    var ports: ClosedRange<UInt16>

    /// The ports whose first `length` bits are those of `port`.
    struct Prefix: Hashable {
        var transport: TransportProtocol
        var port: UInt16
        var length: UInt8

        var ports: ClosedRange<UInt16> { port...(port | UInt16(truncatingIfNeeded: 0xffff >> UInt32(length))) }
    }

    /// The fewest prefixes that are the range together.
    var prefixes: [Prefix] {
        var result: [Prefix] = []
        var next = UInt32(ports.lowerBound)
        let end = UInt32(ports.upperBound) + 1
        while next < end {
            var size = next == 0 ? 0x10000 : next & (~next + 1)
            while next + size > end { size >>= 1 }
            result.append(
                Prefix(
                    transport: transport, port: UInt16(next), length: UInt8(16 - size.trailingZeroBitCount)))
            next += size
        }
        return result
    }

    func covers(_ prefix: Prefix) -> Bool {
        transport == prefix.transport && ports.lowerBound <= prefix.ports.lowerBound
            && prefix.ports.upperBound <= ports.upperBound
    }
}

extension CompiledPolicy {
    /// A group of NetworkPolicies: every clause allows, and what none of them allows is denied.
    ///
    /// - Parameters:
    ///   - clauses: at most `WEFT_POLICY_CLAUSES`.
    ///   - policies: their names.
    ///   - peers: of all workloads. They are not a part of the group's identifier: it stays itself when they come and go.
    init(
        network clauses: [NetworkClause], direction: NetworkPolicyCompiler.Direction, policies: String,
        peers: Set<UInt64>
    ) {
        var hash = ContentHash()
        for clause in clauses { hash.add(clause.content) }
        let description = "NetworkPolicy \(direction.rawValue) \(policies)"
        id = Identifier.of(WEFT_NAME_POLICY, "\(description)#\(hash.value)")
        names.append(CompiledName(id, WEFT_NAME_POLICY, description))
        header.clause_count = UInt32(clauses.count)
        header.flags = WEFT_POLICY_OF_NETWORK.rawValue | WEFT_POLICY_HAS_ALLOW.rawValue
        let implicit = "NetworkPolicy \(policies) (no rule matched)"
        header.implicit_rule = Identifier.rule(implicit)
        names.append(CompiledName(header.implicit_rule, WEFT_NAME_RULE, implicit))
        for (index, clause) in clauses.enumerated() {
            header.allow.insert(index)
            let rule = Identifier.rule(clause.rule)
            var key = weft_policy_rule_key()
            key.policy = id
            key.clause = UInt32(index)
            rules.append((key, rule))
            names.append(CompiledName(rule, WEFT_NAME_RULE, clause.rule))
        }
        compilePeers(clauses, peers)
        compileRanges(clauses)
        compileBlocks(clauses)
    }

    private mutating func compilePeers(_ clauses: [NetworkClause], _ peers: Set<UInt64>) {
        /// - Parameter peer: nil: whoever has no identity; 0: a workload of which nothing is known here.
        func satisfied(by peer: UInt64?) -> weft_clauses {
            weft_clauses(clauses) { clause in
                switch clause.identity {
                case .any: true
                case .known(let known, _): peer.map(known.contains) ?? false
                case .unknown: peer == nil
                }
            }
        }
        header.identity_unknown = satisfied(by: nil)
        header.identity_default = satisfied(by: 0)
        guard clauses.contains(where: \.asksForIdentity) else { return }
        header.flags |= WEFT_POLICY_BY_IDENTITY.rawValue
        for peer in peers {
            let bitmap = satisfied(by: peer)
            guard bitmap.array != header.identity_default.array else { continue }
            var key = weft_policy_identity_key()
            key.policy = id
            key.identity = peer
            identities.append((key, bitmap))
        }
    }

    private mutating func compileRanges(_ clauses: [NetworkClause]) {
        header.port_default = weft_clauses(clauses) { $0.ports == nil }
        let listed = Set(clauses.flatMap { $0.ports ?? [] }).reduce(into: Set<PortRange.Prefix>()) {
            $0.formUnion($1.prefixes)
        }
        if !listed.isEmpty { header.flags |= WEFT_POLICY_BY_PORT.rawValue }
        for prefix in listed {
            var key = weft_policy_range_key()
            key.prefix_length = UInt32(WEFT_POLICY_RANGE_BASE) + UInt32(prefix.length)
            key.policy_words = (UInt32(truncatingIfNeeded: id), UInt32(truncatingIfNeeded: id >> 32))
            key.protocol = prefix.transport.number
            key.port = prefix.port.bigEndian
            let value = weft_clauses(clauses) { clause in
                clause.ports.map { ranges in ranges.contains { $0.covers(prefix) } } ?? true
            }
            ranges.append((key, value))
        }
    }

    private mutating func compileBlocks(_ clauses: [NetworkClause]) {
        let constraints = clauses.map(\.blocks)
        header.address_default = .init(indices: constraints.indices.filter { constraints[$0] == nil })
        // An address that is not known yet satisfies no constraint.
        header.address_unknown = header.address_default
        guard constraints.contains(where: { $0 != nil }) else { return }
        header.flags |= WEFT_POLICY_BY_ADDRESS.rawValue
        addPrefixes(Set(constraints.compactMap(\.self).joined().flatMap { [$0.block] + $0.except })) {
            index, isCovering in
            guard let blocks = constraints[index] else { return true }
            return blocks.contains { isCovering($0.block) && !$0.except.contains(where: isCovering) }
        }
    }
}

extension weft_clauses {
    fileprivate init(indices: [Int]) {
        self.init()
        for index in indices { insert(index) }
    }
}
