import CLinux
import Glibc
import WeftABI

/// Watches the processes of a workload for a time, and judges by what they did whether they may be accelerated.
///
/// Between `start` and `finish`, `look` is called from time to time: it sees the sockets that are open and the programs
/// that run. System calls are seen without it, where the kernel lets a program see them. For one thread; each call takes
/// some milliseconds.
public final class Certifier {
    public let processes: CgroupProcesses
    /// What the watch can see.
    public let means: WatchMeans
    private let watch: KernelWatch?
    private let started: UInt64
    private var seen: [Int32: Seen] = [:]
    private var reader = ProgramReader()
    private var ended: [ProcessObservation] = []

    private struct Seen {
        /// With its id it names a process for ever.
        var startTicks: UInt64
        var program: Program?
        var observation: ProcessObservation
    }

    /// Begins to watch.
    ///
    /// - Parameters:
    ///   - isFIONREADRight: whether FIONREAD counts what went around TCP on this kernel; nil: not known.
    ///   - tracing: whether system calls are to be seen where the kernel can show them. While they are, every system call
    ///     of the node takes longer: an empty one half as long again.
    public init(_ processes: CgroupProcesses, isFIONREADRight: Bool? = nil, tracing: Bool = true) {
        self.processes = processes
        let id = unsafe weft_cgroup_id(processes.directory)
        let level = Self.level(of: processes.directory)
        watch = level.flatMap { KernelWatch.start(cgroup: id, level: $0, tracing: tracing) }
        means = WatchMeans(
            seesCalls: watch?.seesCalls ?? false, seesUring: watch?.seesUring ?? false,
            isFIONREADRight: isFIONREADRight)
        started = Self.now()
        look()
    }

    /// Seconds since the watch began.
    public var seconds: Double { Double(Self.now() - started) / 1e9 }

    /// What was seen so far, for people who wait: connected sockets, and transfers of all processes.
    public private(set) var progress: (sockets: Int, transfers: UInt64, processes: Int) = (0, 0, 0)

    /// The programs that were seen to run.
    public var programs: Set<Program> { Set(seen.values.compactMap(\.program)) }

    /// Those of them that had TCP connections.
    public var programsUsingTCP: Set<Program> {
        Set(seen.values.filter(\.observation.usesTCP).compactMap(\.program))
    }

    /// Looks at the sockets that are open, and at processes that have come.
    public func look() {
        let running = processes.processes()
        let sockets = watch.flatMap { try? $0.sockets() }
        var tables: [String: SocketTable] = [:]
        for process in running {
            guard meet(process) else { continue }
            var found = sockets?[process] ?? []
            if sockets == nil {
                // Every namespace has a table of its own.
                let namespace = ProcFiles.link("/proc/\(process)/ns/net") ?? "\(process)"
                let table = tables[namespace] ?? SocketTable(process: process)
                tables[namespace] = table
                found = Set(table.sockets(of: process))
            }
            seen[process]?.observation.sockets.formUnion(found)
            sample(process)
        }
        let records = (try? watch?.records()) ?? []
        progress = (
            sockets?.values.reduce(0) { $0 + $1.count }
                ?? seen.values.reduce(0) { $0 + $1.observation.sockets.count },
            records.filter { EvidenceKind($0.kind) == nil }.reduce(0) { $0 &+ $1.deed.count }, running.count
        )
    }

    /// Ends the watch.
    ///
    /// - Parameter time: of the certificates (RFC 3339, UTC).
    public func finish(time: String) -> Assessment {
        look()
        var leftovers = ended
        let records = (try? watch?.records()) ?? []
        let own = Set(processes.cgroups().keys)
        for record in records where own.contains(record.cgroup) {
            if seen[record.process] != nil {
                seen[record.process]?.observation.take(record)
            } else {
                let index =
                    leftovers.firstIndex { $0.process == record.process }
                    ?? {
                        leftovers.append(ProcessObservation(process: record.process, name: "a process that ended"))
                        return leftovers.count - 1
                    }()
                leftovers[index].take(record)
            }
        }
        var programs: [Program: [ProcessObservation]] = [:]
        for entry in seen.values {
            if let program = entry.program {
                programs[program, default: []].append(entry.observation)
            } else {
                leftovers.append(entry.observation)
            }
        }
        let kernel = Self.kernel
        let seconds = seconds
        let certificates = programs.compactMap { program, observations -> Certificate? in
            // What has no connections needs no certificate.
            guard observations.contains(where: \.usesTCP) else { return nil }
            let judgement = Judgement(observations, means: means)
            return Certificate(
                program: program, verdict: judgement.verdict, evidence: judgement.evidence, kernel: kernel,
                seconds: seconds, time: time)
        }
        var evidence = Judgement(leftovers.filter(\.usesTCP), means: means).evidence.filter { $0.weight != .supports }
        if let watch, watch.isFull(records) {
            evidence.append(
                Evidence(
                    kind: .unread, weight: .unclear, what: "more processes used sockets than could be watched"))
        }
        return Assessment(certificates: certificates, evidence: evidence)
    }

    /// Learns what a process is; false if it has ended already.
    private func meet(_ process: Int32) -> Bool {
        guard let ticks = ProcFiles.startTicks(of: process) else { return false }
        if let known = seen[process], known.startTicks != ticks {
            // Another process has its id now.
            seen[process] = nil
            ended.append(known.observation)
        }
        let name = (ProcFiles.text("/proc/\(process)/comm") ?? "").split(separator: "\n").first.map(String.init) ?? "?"
        var entry =
            seen[process]
            ?? Seen(startTicks: ticks, program: nil, observation: ProcessObservation(process: process, name: name))
        entry.observation.name = name
        if let (program, traits) = reader.program(of: process) {
            entry.program = program
            entry.observation.traits = traits
        }
        seen[process] = entry
        return true
    }

    /// What threads of it wait for in the kernel now, and rings that it has.
    private func sample(_ process: Int32) {
        var rings = 0
        guard let descriptors = ProcFiles.entries("/proc/\(process)/fd") else {
            if ProcFiles.startTicks(of: process) != nil {
                seen[process]?.observation.problem = "its descriptors cannot be read"
            }
            return
        }
        if !means.seesUring {
            for name in descriptors where ProcFiles.link("/proc/\(process)/fd/\(name)") == "anon_inode:[io_uring]" {
                rings += 1
            }
        }
        seen[process]?.observation.uringDescriptors = rings
        for thread in ProcFiles.entries("/proc/\(process)/task") ?? [] {
            guard let line = ProcFiles.text("/proc/\(process)/task/\(thread)/syscall"),
                let conduct = SystemCalls.Sample(line)?.conduct,
                let socket = seen[process]?.observation.sockets.first(where: { $0.descriptor == conduct.descriptor })
            else { continue }
            seen[process]?.observation.add(conduct.kind, .init(socket: socket, call: conduct.call))
        }
    }

    /// How far a cgroup's directory is below the root of its hierarchy; nil if it is none.
    private static func level(of directory: String) -> UInt32? {
        guard ProcFiles.identity("\(directory)/cgroup.procs") != nil else { return nil }
        // The root has no cgroup.type (cgroups(7)), and nothing above it has cgroup.procs of this hierarchy.
        var level: UInt32 = 0
        var path = directory
        while ProcFiles.identity("\(path)/cgroup.type") != nil {
            level += 1
            guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { break }
            path = String(path[..<slash])
        }
        return level
    }

    /// Name, release and build of the running kernel: what else is right or wrong may differ with any of them.
    public static var kernel: String {
        var name = utsname()
        guard unsafe uname(&name) == 0 else { return "" }
        func text<Value>(_ value: Value) -> String {
            unsafe withUnsafeBytes(of: value) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
        return "\(text(name.sysname)) \(text(name.release)) \(text(name.version))"
    }

    private static func now() -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension ProcessObservation {
    /// Whether it has, or had, a TCP connection.
    var usesTCP: Bool { !sockets.isEmpty || !conduct.isEmpty || receives > 0 || sends > 0 }

    mutating func take(_ record: KernelWatch.Record) {
        if let kind = EvidenceKind(record.kind) {
            add(kind, record.deed)
        } else if record.kind == WEFT_CONDUCT_SENT {
            sends = record.deed.count
        } else {
            receives = record.deed.count
        }
    }
}
