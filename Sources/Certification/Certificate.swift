/// What was found out about one program of a workload.
public struct Certificate: Codable, Sendable, Equatable {
    public var program: Program
    public var verdict: Verdict
    public var evidence: [Evidence]
    /// The kernel on which it was seen: another may do other things right.
    public var kernel: String
    /// How long it was watched: seconds.
    public var seconds: Double
    /// When the watch ended (RFC 3339, UTC).
    public var time: String

    public init(
        program: Program, verdict: Verdict, evidence: [Evidence], kernel: String, seconds: Double, time: String
    ) {
        self.program = program
        self.verdict = verdict
        self.evidence = evidence
        self.kernel = kernel
        self.seconds = seconds
        self.time = time
    }

    /// What decides, in one sentence.
    public var summary: String {
        switch verdict {
        case .yes: evidence.first { $0.weight == .supports }.map(\.what) ?? ""
        case .no, .unknown:
            evidence.first { $0.weight == .refutes || $0.weight == .unclear }
                .map { "\($0.what) (\($0.place)): \($0.why)" } ?? "no TCP connection was used while it was watched"
        }
    }
}

/// A program as it runs: what a certificate is for.
public struct Program: Codable, Sendable, Hashable {
    /// Of the executable, as the kernel shows it in the process's own file system.
    public var path: String
    /// Of everything below: `sha256:` and 64 hexadecimal digits.
    public var digest: String
    /// The executable, and the files named in its arguments that it was started with: scripts, configurations.
    public var files: [File]

    public struct File: Codable, Sendable, Hashable {
        public var path: String
        /// 64 hexadecimal digits.
        public var sha256: String

        public init(path: String, sha256: String) {
            self.path = path
            self.sha256 = sha256
        }
    }

    public init(path: String, digest: String, files: [File]) {
        self.path = path
        self.digest = digest
        self.files = files
    }

    /// Whether `text` is what `digest` is.
    static func isDigest(_ text: String) -> Bool {
        text.hasPrefix("sha256:") && text.utf8.count == 71
            && text.utf8.dropFirst(7).allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}

/// What is known of all programs of a workload together.
public struct Assessment: Sendable, Equatable {
    public var verdict: Verdict
    /// One for each program that had TCP connections.
    public var certificates: [Certificate]
    /// What could not be assigned to a program: of processes that ended too soon.
    public var evidence: [Evidence]

    public init(certificates: [Certificate], evidence: [Evidence] = []) {
        self.certificates = certificates.sorted {
            ($0.program.path, $0.program.digest) < ($1.program.path, $1.program.digest)
        }
        self.evidence = evidence
        let verdicts = certificates.map(\.verdict)
        if verdicts.contains(.no) || evidence.contains(where: { $0.weight == .refutes }) {
            verdict = .no
        } else if verdicts.isEmpty || verdicts.contains(.unknown) || evidence.contains(where: { $0.weight == .unclear })
        {
            verdict = .unknown
        } else {
            verdict = .yes
        }
    }

    /// What decides, in one sentence.
    public var summary: String {
        if let decisive = certificates.first(where: { $0.verdict == verdict }) { return decisive.summary }
        return evidence.first { $0.weight == .refutes || $0.weight == .unclear }.map { "\($0.what): \($0.why)" }
            ?? "no TCP connection was used while it was watched"
    }
}
