/// What can be seen of an application that matters for connections which go around the TCP stack.
public enum EvidenceKind: String, Codable, Sendable, CaseIterable {
    // What an accelerated socket does not do right.
    case blocking, splice, waitAll, lowWater, inq, ulp, zeroCopyReceive, zeroCopySend, truncate, urgent
    /// Right on some kernels, and wrong on others.
    case fionread
    // What leaves open what the application does.
    case registeredFiles, uring, foreignArchitecture, unread
    // What it could do, and was not seen to do.
    case canSplice, goRuntime
    /// Sockets of which nothing but their existence was seen.
    case sockets
    /// Transfers with nothing odd about them.
    case transfers

    /// What evidence of a kind means for the judgement.
    public enum Weight: String, Codable, Sendable {
        /// It must not be accelerated.
        case refutes
        /// It cannot be told.
        case unclear
        /// For people; nothing follows from it.
        case hint
        /// It is as it should be.
        case supports
    }

    /// Why it matters, for people.
    public var reason: String {
        switch self {
        case .blocking: "a blocking recv() on an accelerated socket can return EAGAIN with nothing to read"
        case .splice: "splice() finds nothing of what went around TCP, although poll says there is: it waits for ever"
        case .waitAll: "a receive with MSG_WAITALL returns early, with fewer bytes than it asked for"
        case .lowWater: "what went around TCP does not count for SO_RCVLOWAT: the application is not woken"
        case .inq: "what went around TCP does not count in the answers of TCP_INQ"
        case .ulp: "a socket with an upper layer protocol, such as kTLS, cannot be accelerated"
        case .zeroCopyReceive: "what went around TCP cannot be mapped or received without a copy"
        case .zeroCopySend: "bytes are copied on their way around TCP, and their completion is never reported"
        case .truncate: "MSG_TRUNC does not throw away what went around TCP"
        case .urgent: "an urgent byte arrives among the others without its mark; a receive with MSG_OOB takes any"
        case .fionread: "FIONREAD may not count what went around TCP"
        case .registeredFiles: "which sockets requests with registered files of io_uring are about is not known"
        case .uring: "requests of io_uring cannot be watched on this kernel"
        case .foreignArchitecture: "system calls of programs for another architecture are not watched"
        case .unread: "a process that could not be looked at may do anything"
        case .canSplice: "it could splice sockets, and would not be seen to do it here"
        case .goRuntime: "Go's io.Copy between connections splices them, and would not be seen to do it here"
        case .sockets: "what is open may be used later"
        case .transfers: "they work on accelerated sockets as they do on others"
        }
    }
}

/// One thing that was seen.
public struct Evidence: Codable, Sendable, Equatable {
    public var kind: EvidenceKind
    public var weight: EvidenceKind.Weight
    /// What was seen, for people.
    public var what: String
    /// Of which process, at which descriptor, between which addresses; empty where that means nothing.
    public var place: String
    /// Why it matters.
    public var why: String
    /// How often it was seen.
    public var count: UInt64

    public init(
        kind: EvidenceKind, weight: EvidenceKind.Weight, what: String, place: String = "", why: String? = nil,
        count: UInt64 = 1
    ) {
        self.kind = kind
        self.weight = weight
        self.what = what
        self.place = place
        self.why = why ?? kind.reason
        self.count = count
    }
}

/// Whether something may be accelerated.
public enum Verdict: String, Codable, Sendable {
    case yes, no, unknown
}
