import Mesh

/// The TCP sockets of a network namespace, from /proc/PID/net/tcp and tcp6: for kernels on which no program of the kernel
/// can look at descriptors.
struct SocketTable {
    struct Entry: Equatable {
        var local: String
        var peer: String
        /// The kernel's TCP states.
        var state: UInt8
    }

    /// By inode.
    private(set) var entries: [UInt64: Entry] = [:]

    /// Source: proc_net_tcp.txt of the kernel's documentation: `sl local_address rem_address st ... inode`.
    mutating func add(_ text: String) {
        for line in text.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ")
            guard fields.count > 9, let local = Self.place(fields[1]), let peer = Self.place(fields[2]),
                let state = UInt8(fields[3], radix: 16), let inode = UInt64(fields[9]), inode != 0
            else { continue }
            entries[inode] = Entry(local: local, peer: peer, state: state)
        }
    }

    /// The table of a process's namespace.
    init(process: Int32) {
        for name in ["tcp", "tcp6"] { add(ProcFiles.text("/proc/\(process)/net/\(name)") ?? "") }
    }

    init(_ text: String) { add(text) }

    /// Words of an address as the machine has them, `:` and the port.
    private static func place(_ text: Substring) -> String? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1], radix: 16), parts[0].utf8.count % 8 == 0 else { return nil }
        var bytes: [UInt8] = []
        var rest = parts[0]
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            bytes += [
                UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8),
                UInt8(truncatingIfNeeded: word >> 16), UInt8(truncatingIfNeeded: word >> 24),
            ]
            rest = rest.dropFirst(8)
        }
        switch bytes.count {
        case 4: return "\(IPAddress(v4: bytes[0], bytes[1], bytes[2], bytes[3])):\(port)"
        case 16: return IPAddress(bytes: bytes).place(port: port)
        default: return nil
        }
    }

    /// The connected sockets of a process.
    func sockets(of process: Int32) -> [SocketObservation] {
        var found: [SocketObservation] = []
        for name in ProcFiles.entries("/proc/\(process)/fd") ?? [] {
            guard let descriptor = Int32(name), let target = ProcFiles.link("/proc/\(process)/fd/\(name)"),
                target.hasPrefix("socket:["), let inode = UInt64(target.dropFirst(8).dropLast()),
                let entry = entries[inode], SocketTable.isConnected(entry.state),
                let flags = Self.flags(ProcFiles.text("/proc/\(process)/fdinfo/\(name)") ?? "")
            else { continue }
            found.append(
                SocketObservation(
                    descriptor: descriptor, local: entry.local, peer: entry.peer, isBlocking: flags & 0o4000 == 0))
        }
        return found
    }

    /// `flags:` of fdinfo, which is octal.
    static func flags(_ text: String) -> UInt32? {
        text.split(separator: "\n").first { $0.hasPrefix("flags:") }
            .flatMap { UInt32($0.dropFirst(6).drop { $0 == " " || $0 == "\t" }, radix: 8) }
    }

    /// Neither listening nor closed, and not on the way to being connected.
    static func isConnected(_ state: UInt8) -> Bool { ![0, 2, 3, 7, 10, 12].contains(state) }
}

extension IPAddress {
    /// `address:port` or `[address]:port`.
    func place(port: UInt16) -> String { isIPv4 ? "\(self):\(port)" : "[\(self)]:\(port)" }
}
