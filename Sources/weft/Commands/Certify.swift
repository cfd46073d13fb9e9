import ArgumentParser
import CLinux
import Certification
import Glibc
import KernelPlane
import Mesh

struct Certify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch a running workload, and say whether its connections may be accelerated.",
        discussion: """
            Connections between two workloads of one node can go around the TCP stack. Applications that block in recv(), \
            splice sockets or ask for MSG_WAITALL, SO_RCVLOWAT, TCP_INQ or zero-copy transfers must not be accelerated: \
            this command watches what every process of the workload does with its TCP sockets, while they are used, and \
            prints yes, no or unknown with what it saw. What it finds out is kept for the agent, by the digest of the \
            program: the executable and the files that it was started with.

            While it watches, every system call of the node takes longer (an empty one half as long again). It needs \
            root, and no agent: with --cgroup not even the node's maps. Exit status: 0 yes, 1 no, 3 unknown.

            EXAMPLES
              weft certify shop/web
              weft certify shop/web --for 60s -o json | jq '.programs[].evidence'
              weft certify --cgroup /system.slice/redis.service     a cgroup that is no workload; nothing is kept
              weft certify shop/web --forget                        after an application was repaired in place
            """)

    @Argument(help: ArgumentHelp("The workload.", valueName: "namespace/name"))
    var workload: String?

    @Option(help: ArgumentHelp("How long to watch.", valueName: "duration"))
    var `for` = "10s"

    @Option(
        help: ArgumentHelp(
            "Watch this cgroup instead of a workload: a path below the cgroup v2 root.", valueName: "path"))
    var cgroup: String?

    @Flag(help: "Only forget what is known of the workload.")
    var forget = false

    @OptionGroup var pins: PinOptions
    @OptionGroup var state: StateOptions
    @OptionGroup var format: OutputOptions

    func validate() throws {
        guard (workload == nil) != (cgroup == nil) else {
            throw ValidationError("Name a workload, such as shop/web, or a --cgroup.")
        }
        if let workload, Self.name(workload) == nil {
            throw ValidationError("'\(workload)' is not the name of a workload, such as shop/web.")
        }
        guard let time = parseDuration(self.for), (0.1...3600).contains(time.seconds) else {
            throw ValidationError("'\(self.for)' is not a duration between 100ms and 1h, such as 60s.")
        }
        if forget, workload == nil { throw ValidationError("--forget needs a workload.") }
    }

    private static func name(_ text: String) -> ObjectName? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        return ObjectName(namespace: String(parts[0]), name: String(parts[1]))
    }

    func run() throws {
        guard geteuid() == 0 else { throw Failure.unknown("watching other processes needs root: run it with sudo") }
        if forget { return try forgetCertificates() }
        let (processes, subject) = try place()
        guard !processes.processes().isEmpty else {
            throw Failure.unknown("no process runs in \(subject): start it, and let it be used while it is watched")
        }
        let assessment = try watch(processes, subject)
        if let name = workload.flatMap(Self.name) {
            do throws(CertificateStoreError) {
                try CertificateStore.update(state.path) { $0.record(assessment, of: name) }
            } catch {
                throw Failure.unknown("what was found out cannot be kept: \(error)")
            }
        }
        show(assessment, subject)
        switch assessment.verdict {
        case .yes: return
        case .no: throw end(with: .no)
        case .unknown: throw end(with: .unknown)
        }
    }

    private func forgetCertificates() throws {
        guard let workload, let name = Self.name(workload) else { return }
        var isForgotten = false
        do throws(CertificateStoreError) {
            try CertificateStore.update(state.path) { isForgotten = $0.forget(name) }
        } catch {
            throw Failure.unknown("\(error)")
        }
        guard isForgotten else { throw Failure.no("nothing is known of \(workload)") }
        format.print(["workload": .string(workload), "forgotten": true]) { _ in "forgot what was known of \(workload)\n"
        }
    }

    /// Where the processes are, and what they are called.
    private func place() throws -> (CgroupProcesses, String) {
        guard let root = CgroupRoot.find() else { throw Failure.unknown("no cgroup v2 hierarchy is mounted") }
        if let cgroup {
            let path = cgroup.hasPrefix(root + "/") ? cgroup : root + (cgroup.hasPrefix("/") ? cgroup : "/" + cgroup)
            guard CgroupRoot.isCgroup(path) else { throw Failure.no("there is no cgroup \(cgroup) below \(root)") }
            return (CgroupProcesses(directory: path), "the cgroup \(cgroup)")
        }
        let maps = try pins.open()
        let name = workload ?? ""
        let id = try Resolver(maps).id(name, .workload)
        let enrolled = try maps.cgroups.entries()
        guard let own = enrolled.first(where: { $0.value == id })?.key else {
            throw Failure.no("workload \(name) has no cgroup on this node, so there is nothing to watch here")
        }
        guard let path = CgroupPaths.shared.path(of: own) else {
            throw Failure.unknown("the cgroup of workload \(name) is gone, or cannot be seen from here")
        }
        let others = Set(enrolled.filter { $0.value != id }.map(\.key))
        return (CgroupProcesses(directory: root + path, others: others), "workload \(name)")
    }

    private func watch(_ processes: CgroupProcesses, _ subject: String) throws -> Assessment {
        let certifier = Certifier(processes)
        var progress = ProgressLine()
        defer { progress.finish() }
        let duration = parseDuration(self.for)?.seconds ?? 10
        if !certifier.means.seesCalls {
            Console.error("weft: this kernel does not show system calls: what samples of /proc show has to do")
        }
        while certifier.seconds < duration {
            let left = formatWholeSeconds((duration - certifier.seconds).rounded(.up))
            let seen = certifier.progress
            if Terminal(descriptor: STDERR_FILENO).isTerminal {
                progress.show(
                    "watching \(subject): \(seen.processes) processes, \(seen.sockets) connections, "
                        + "\(seen.transfers) transfers; \(left) left")
            }
            pause(.seconds(min(0.25, max(0.01, duration - certifier.seconds))))
            certifier.look()
        }
        return certifier.finish(time: time(now()))
    }

    // MARK: - The answer

    private func show(_ assessment: Assessment, _ subject: String) {
        var answer: Value.Object = [:]
        if let workload { answer["workload"] = .string(workload) }
        if let cgroup { answer["cgroup"] = .string(cgroup) }
        answer["verdict"] = .string(assessment.verdict.rawValue)
        answer["summary"] = .string(assessment.summary)
        answer["programs"] = .array(assessment.certificates.map(\.value))
        answer["evidence"] = .array(assessment.evidence.map(\.value))
        format.print(.object(answer)) { terminal in
            var page = Page(terminal)
            page.marked(
                assessment.verdict.rawValue, assessment.verdict.style, "  \(subject): \(assessment.summary)")
            for certificate in assessment.certificates {
                page.blank()
                page.facts([
                    ("program", certificate.program.files.map(\.path).joined(separator: " "), .plain),
                    ("digest", certificate.program.digest, .faint),
                    ("verdict", certificate.verdict.rawValue, certificate.verdict.style),
                ])
                page.table("evidence", certificate.evidence.map(\.record))
            }
            page.table("of processes that ended", assessment.evidence.map(\.record))
            return page.text
        }
    }
}

extension Verdict {
    var style: Style {
        switch self {
        case .yes: .good
        case .no: .bad
        case .unknown: .caution
        }
    }
}

extension Certificate {
    var value: Value {
        [
            "path": .string(program.path), "digest": .string(program.digest),
            "files": .array(program.files.map { ["path": .string($0.path), "sha256": .string($0.sha256)] }),
            "verdict": .string(verdict.rawValue), "evidence": .array(evidence.map(\.value)),
            "kernel": .string(kernel), "seconds": .number((seconds * 10).rounded() / 10), "time": .string(time),
        ]
    }
}

extension Evidence {
    var value: Value { record.value }

    var record: Record {
        let style: Style =
            switch weight {
            case .refutes: .bad
            case .unclear: .caution
            case .supports: .good
            case .hint: .faint
            }
        return Record([
            .hidden("kind", .string(kind.rawValue)),
            Field("weight", .string(weight.rawValue), title: "SAYS", text: weight.text, style: style),
            Field("count", Value(count), title: "TIMES"),
            Field("what", .string(what), title: "SEEN"),
            Field("place", .string(place), title: "WHERE"),
            Field("why", .string(why), title: "WHY IT MATTERS"),
        ])
    }
}

extension EvidenceKind.Weight {
    fileprivate var text: String {
        switch self {
        case .refutes: "no"
        case .unclear: "unclear"
        case .supports: "yes"
        case .hint: "-"
        }
    }
}
