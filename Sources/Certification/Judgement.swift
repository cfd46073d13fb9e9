/// What follows from what was seen of the processes of one program.
public struct Judgement: Sendable, Equatable {
    public var verdict: Verdict
    /// What decides comes first.
    public var evidence: [Evidence]

    /// - Parameter observations: all that the program's processes were seen to do.
    public init(_ observations: [ProcessObservation], means: WatchMeans) {
        var evidence: [Evidence] = []
        for process in observations.sorted(by: { $0.process < $1.process }) {
            evidence += Self.evidence(of: process, means)
        }
        let receives = observations.reduce(0) { $0 &+ $1.receives }
        let sends = observations.reduce(0) { $0 &+ $1.sends }
        let sockets = observations.reduce(0) { $0 + $1.sockets.count }
        if receives > 0 || sends > 0 {
            evidence.append(
                Evidence(
                    kind: .transfers, weight: .supports,
                    what: "\(receives) receives and \(sends) sends on non-blocking sockets", count: receives &+ sends))
        }
        if sockets > 0 {
            evidence.append(
                Evidence(
                    kind: .sockets, weight: means.seesCalls ? .hint : .supports,
                    what: "\(sockets) connected \(sockets == 1 ? "socket" : "sockets") seen open",
                    count: UInt64(sockets)))
        }
        // Their order is that of the weights, and within one that of the processes.
        self.evidence = [.refutes, .unclear, .supports, .hint].flatMap { weight in
            evidence.filter { $0.weight == weight }
        }
        if evidence.contains(where: { $0.weight == .refutes }) {
            verdict = .no
        } else if evidence.contains(where: { $0.weight == .unclear }) {
            verdict = .unknown
        } else {
            verdict = evidence.contains { $0.weight == .supports } ? .yes : .unknown
        }
    }

    private static func evidence(of process: ProcessObservation, _ means: WatchMeans) -> [Evidence] {
        let place = "\(process.name)[\(process.process)]"
        var evidence: [Evidence] = []
        if let problem = process.problem {
            evidence.append(Evidence(kind: .unread, weight: .unclear, what: problem, place: place))
        }
        for kind in EvidenceKind.allCases {
            guard let deed = process.conduct[kind] else { continue }
            evidence.append(
                Evidence(
                    kind: kind, weight: weight(of: kind, means), what: deed.call,
                    place: deed.socket.map { "\(place) \($0.place)" } ?? place,
                    why: kind == .fionread ? fionread(means) : nil, count: deed.count))
        }
        evidence += Self.evidence(ofSockets: process, place)
        if process.uringDescriptors > 0, !means.seesUring {
            evidence.append(
                Evidence(
                    kind: .uring, weight: .unclear, what: "it has a ring of io_uring", place: place,
                    count: UInt64(process.uringDescriptors)))
        }
        if process.traits.contains(.otherArchitecture) {
            evidence.append(
                Evidence(
                    kind: .foreignArchitecture, weight: .unclear, what: "its program is for another architecture",
                    place: place))
        }
        // Only what lags behind is asked for, so that a watch may not see it.
        if process.traits.contains(.asksFIONREAD), process.conduct[.fionread] == nil {
            evidence.append(
                Evidence(
                    kind: .fionread, weight: weight(of: .fionread, means), what: "its program has FIONREAD in its code",
                    place: place, why: fionread(means)))
        }
        let hint: EvidenceKind.Weight = means.seesCalls ? .hint : .unclear
        if process.traits.contains(.go) {
            evidence.append(
                Evidence(
                    kind: .goRuntime, weight: hint, what: "a program of Go", place: place,
                    why: means.seesCalls ? "Go's io.Copy between connections splices them; it would be seen" : nil))
        } else if process.traits.contains(.importsSplice) {
            evidence.append(
                Evidence(
                    kind: .canSplice, weight: hint, what: "its program imports splice()", place: place,
                    why: means.seesCalls ? "it could splice sockets; it would be seen" : nil))
        }
        return evidence
    }

    /// What sockets show by themselves, whether or not they were used.
    private static func evidence(ofSockets process: ProcessObservation, _ place: String) -> [Evidence] {
        let sockets = process.sockets.sorted { ($0.descriptor, $0.peer) < ($1.descriptor, $1.peer) }
        let traits: [(EvidenceKind, (SocketObservation) -> Bool, (SocketObservation) -> String)] = [
            (.blocking, \.isBlocking, { _ in "a descriptor without O_NONBLOCK" }),
            (.lowWater, { $0.lowWater > 1 }, { "SO_RCVLOWAT is \($0.lowWater)" }),
            (.inq, \.hasINQ, { _ in "TCP_INQ is on" }),
            (.ulp, \.hasULP, { _ in "it has an upper layer protocol" }),
        ]
        return traits.compactMap { kind, shows, text in
            guard process.conduct[kind] == nil, let first = sockets.first(where: shows) else { return nil }
            return Evidence(
                kind: kind, weight: .refutes, what: text(first), place: "\(place) \(first.place)",
                count: UInt64(sockets.filter(shows).count))
        }
    }

    private static func weight(of kind: EvidenceKind, _ means: WatchMeans) -> EvidenceKind.Weight {
        switch kind {
        case .blocking, .splice, .waitAll, .lowWater, .inq, .ulp, .zeroCopyReceive, .zeroCopySend, .truncate, .urgent:
            .refutes
        case .fionread:
            switch means.isFIONREADRight {
            case true?: .hint
            case false?: .refutes
            case nil: .unclear
            }
        case .registeredFiles, .uring, .foreignArchitecture, .unread: .unclear
        case .canSplice, .goRuntime, .sockets: .hint
        case .transfers: .supports
        }
    }

    private static func fionread(_ means: WatchMeans) -> String {
        switch means.isFIONREADRight {
        case true?: "on this kernel FIONREAD counts what went around TCP"
        case false?: "on this kernel FIONREAD does not count what went around TCP"
        case nil: "whether this kernel's FIONREAD counts what went around TCP is not known: see `weft check`"
        }
    }
}

extension SocketObservation {
    /// For people.
    var place: String { "descriptor \(descriptor), \(local) – \(peer)" }
}
