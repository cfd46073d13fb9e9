import Glibc

/// The CPU time of a process by what its threads are for.
public struct ThreadTimes: Sendable, Equatable {
    /// The main thread: configuration, maps, admin API, metrics, names.
    public var reactor = 0.0
    /// Of each worker of the proxy, in their order.
    public var workers: [Double] = []
    /// Every other thread, and those that have ended.
    public var others = 0.0

    public var total: Double { reactor + workers.reduce(0, +) + others }

    /// The parts by name: `reactor`, `workers`, `others`.
    public var parts: [(name: String, seconds: Double)] {
        [("reactor", reactor), ("workers", workers.reduce(0, +)), ("others", others)]
    }

    public init() {}

    /// Of a process now, in seconds of user and system time; nil without it.
    ///
    /// - Parameter process: nil: this one.
    public static func of(process: Int32? = nil) -> ThreadTimes? {
        let directory = "/proc/\(process.map(String.init) ?? "self")"
        guard let all = read("\(directory)/stat") else { return nil }
        var times = ThreadTimes()
        var numbered: [(number: Int, seconds: Double)] = []
        for name in entries("\(directory)/task") {
            // A thread may end while one looks.
            guard let thread = read("\(directory)/task/\(name)/stat") else { continue }
            if name == all.id {
                times.reactor = thread.seconds
            } else if thread.name.hasPrefix("proxy-"), let number = Int(thread.name.dropFirst(6)) {
                numbered.append((number, thread.seconds))
            }
        }
        times.workers = numbered.sorted { $0.number < $1.number }.map(\.seconds)
        // In whole hundredths of a second, as the kernel counts.
        times.others = max(0, ((all.seconds - times.total) * 100).rounded() / 100)
        return times
    }

    /// proc(5): the name in parentheses may have spaces and parentheses in it.
    private static func read(_ path: String) -> (id: String, name: String, seconds: Double)? {
        guard let text = contents(path), let begin = text.firstIndex(of: "("), let end = text.lastIndex(of: ")"),
            begin < end
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        let ticks = Double(max(sysconf(CInt(_SC_CLK_TCK)), 1))
        return (
            String(text[..<begin].prefix { $0 != " " }), String(text[text.index(after: begin)..<end]),
            Double(user + system) / ticks
        )
    }

    private static func contents(_ path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    private static func entries(_ path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: unsafe entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}

extension ThreadTimes {
    /// The agent's own.
    public func write(to writer: inout MetricWriter) {
        writer.family("weft_agent_cpu_seconds_total", .counter, help: "CPU time of the agent, by what its threads do.")
        for (name, seconds) in parts { writer.sample(MetricLabels([("part", name)]), seconds) }
    }
}
