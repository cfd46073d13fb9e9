/// Who claims what, where a thing can belong to one claimant only: addresses, cgroups, names.
///
/// The claimants come in an order of precedence (the older object first). One of them loses, as a whole, when a
/// claimant before it that did not lose claims the same thing.
struct Claims<Claim: Hashable & Sendable & CustomStringConvertible, Claimant: Hashable & Sendable>: Sendable {
    struct Loss: Equatable, Sendable {
        var claim: Claim
        var winner: Claimant
    }

    private var owners: [Claim: Claimant] = [:]
    /// Claims of more than one claimant. They have an entry in `owners` too: anyone of them.
    private var contested: [Claim: Set<Claimant>] = [:]
    private(set) var losses: [Claimant: Loss] = [:]

    var isEmpty: Bool { owners.isEmpty }

    mutating func add(_ claim: Claim, for claimant: Claimant) {
        guard let owner = owners[claim], owner != claimant else {
            owners[claim] = claimant
            return
        }
        contested[claim, default: [owner]].insert(claimant)
    }

    mutating func remove(_ claim: Claim, for claimant: Claimant) {
        guard var rivals = contested[claim] else {
            if owners[claim] == claimant { owners[claim] = nil }
            return
        }
        rivals.remove(claimant)
        owners[claim] = rivals.first
        contested[claim] = rivals.count > 1 ? rivals : nil
    }

    /// Decides who loses, after claims have changed. Returns the claimants for which that is news.
    mutating func settle(by precedes: (Claimant, Claimant) -> Bool) -> Set<Claimant> {
        guard !contested.isEmpty || !losses.isEmpty else { return [] }
        var claims: [Claimant: [Claim]] = [:]
        for (claim, rivals) in contested {
            for rival in rivals { claims[rival, default: []].append(claim) }
        }
        var winners: [Claim: Claimant] = [:]
        var new: [Claimant: Loss] = [:]
        for claimant in claims.keys.sorted(by: precedes) {
            let own = claims[claimant] ?? []
            let lost = own.compactMap { claim in winners[claim].map { Loss(claim: claim, winner: $0) } }
            let first = lost.min { a, b in
                a.winner == b.winner ? a.claim.description < b.claim.description : precedes(a.winner, b.winner)
            }
            if let loss = first {
                new[claimant] = loss
            } else {
                for claim in own { winners[claim] = claimant }
            }
        }
        let changed = Set(new.keys).union(losses.keys).filter { new[$0] != losses[$0] }
        losses = new
        for claim in contested.keys {
            owners[claim] = winners[claim] ?? owners[claim]
        }
        return changed
    }

    /// Whose it is; nil if nobody claims it, or only those who lost.
    func owner(of claim: Claim) -> Claimant? {
        guard let owner = owners[claim], losses[owner] == nil else { return nil }
        return owner
    }
}

/// What a service claims.
struct ServiceClaim: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    var port: UInt16
    var transport: TransportProtocol

    var description: String { "\(address) port \(port)/\(transport.rawValue)" }
}

/// What a workload claims.
enum WorkloadClaim: Hashable, Sendable, CustomStringConvertible {
    case endpoint(IPAddress, UInt16, TransportProtocol)
    /// Every port that nobody claims by number.
    case address(IPAddress)
    case cgroup(String)
    /// Pods and Workloads share one space of names.
    case name(ObjectName)

    var description: String {
        switch self {
        case .endpoint(let address, let port, let transport): "\(address) port \(port)/\(transport.rawValue)"
        case .address(let address): "every port of \(address)"
        case .cgroup(let path): "the cgroup \(path)"
        case .name(let name): "the name \(name)"
        }
    }
}
