/// What one probe found out about sockets whose bytes go past TCP, on this kernel.
public struct BehaviourProbe: Sendable, Hashable, Codable {
    public enum Verdict: String, Sendable, Codable, CaseIterable {
        /// As without redirect.
        case pass
        /// Wrong for such sockets in general; the guard of the redirect, or the conditions under which a socket is
        /// admitted to it, keep it from applications.
        case worksWithGuard = "works-with-guard"
        /// Wrong, and nothing keeps it from applications.
        case fail
    }

    /// One of `BehaviourProbes.names`: the `probe` label of the metric `weft_kernel_probe`.
    public let name: String
    public let verdict: Verdict
    /// What was seen and what it means, in a sentence or two.
    public let detail: String

    public init(name: String, verdict: Verdict, detail: String) {
        self.name = name
        self.verdict = verdict
        self.detail = detail
    }
}

/// What all probes found.
public struct BehaviourReport: Sendable, Hashable, Codable {
    /// Of which kernel it is true.
    public let kernel: KernelBuild
    /// Unix time in seconds.
    public let ranAt: Int64
    /// How long the probes took.
    public let milliseconds: Int
    /// In the order of `BehaviourProbes.names`.
    public let probes: [BehaviourProbe]

    public init(kernel: KernelBuild, ranAt: Int64, milliseconds: Int, probes: [BehaviourProbe]) {
        self.kernel = kernel
        self.ranAt = ranAt
        self.milliseconds = milliseconds
        self.probes = probes
    }

    /// Whether FIONREAD says how much waits on a member, by whichever path it has come.
    public var isFIONREADRight: Bool {
        let unread = probes.filter { UnreadProbes.names.contains($0.name) }
        return unread.count == UnreadProbes.names.count && unread.allSatisfy { $0.verdict == .pass }
    }

    public var failures: [BehaviourProbe] { probes.filter { $0.verdict == .fail } }

    /// Whether the accelerated lane may be used: every probe was made, and none found what nothing keeps from
    /// applications.
    public var enablesAcceleration: Bool {
        failures.isEmpty && probes.map(\.name) == BehaviourProbes.names
    }
}
