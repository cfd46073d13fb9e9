import Glibc

/// What the kernel lets a process do (capabilities(7)).
enum Capabilities {
    /// The numbers of linux/capability.h.
    private static let needed: [(name: String, number: UInt64)] = [
        ("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39),
    ]

    /// Those that the agent needs and this process does not have. Root can be without them, in a container for example.
    static var missing: [String] {
        guard let effective else { return [] }
        return needed.filter { effective & 1 << $0.number == 0 }.map(\.name)
    }

    /// The effective set; nil if /proc does not tell.
    private static var effective: UInt64? {
        guard let file = unsafe fopen("/proc/self/status", "re") else { return nil }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while unsafe fgets(&line, CInt(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix("CapEff:") else { continue }
            return text.split(whereSeparator: { $0 == "\t" || $0 == "\n" }).last.flatMap { UInt64($0, radix: 16) }
        }
        return nil
    }
}
