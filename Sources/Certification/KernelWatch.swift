import BPF
import BPFImages
import CLinux
import Mesh
import WeftABI

/// What programs of the kernel see of the processes of a cgroup. They are taken off when this goes away.
final class KernelWatch {
    /// What one process did, as the kernel counted it.
    struct Record {
        /// The process's own cgroup.
        var cgroup: UInt64
        var process: Int32
        var kind: weft_conduct_kind
        var deed: ProcessObservation.Deed
    }

    private final class Attached {
        let link: Link
        init(_ link: consuming Link) { self.link = link }
    }

    private let descriptors: Link
    private let watched: Map<weft_watched_key, weft_watched>
    /// Held for as long as the programs are to run; nil where this kernel does not have the tracepoint.
    private let entered: Attached?
    private let uring: Attached?

    var seesCalls: Bool { entered != nil }
    var seesUring: Bool { uring != nil }

    /// The most that this kernel lets a watch see; nil if not even descriptors.
    ///
    /// - Parameters:
    ///   - cgroup: the watched cgroup's id.
    ///   - level: how far it is below the root of the hierarchy.
    ///   - tracing: whether system calls are to be seen, which costs every system call of the node meanwhile.
    static func start(cgroup: UInt64, level: UInt32, tracing: Bool) -> KernelWatch? {
        let choices = tracing ? [["entered", "uring"], ["entered"], []] : [[]]
        for programs in choices {
            if let watch = try? KernelWatch(cgroup: cgroup, level: level, programs: programs) { return watch }
        }
        return nil
    }

    private init(cgroup: UInt64, level: UInt32, programs: [String]) throws(BPFError) {
        var object = try OpenObject(name: "watch", image: ObjectImage.watch.bytes)
        try object.setReadOnlyData("watched_cgroup", to: cgroup)
        try object.setReadOnlyData("watched_level", to: level)
        for name in object.programNames where name != "descriptors" && !programs.contains(name) {
            try object.setAutoload(false, ofProgram: name)
        }
        let loaded = try object.load()
        watched = try loaded.map("watched", weft_watched_key.self, weft_watched.self)
        let calls = try loaded.map("watched_calls", UInt32.self, UInt8.self)
        for (number, call) in SystemCalls.all { try calls.set(UInt32(number), call.abi) }
        descriptors = try loaded.program("descriptors").attachIterator()
        entered = programs.contains("entered") ? Attached(try loaded.program("entered").attachTracepoint()) : nil
        uring = programs.contains("uring") ? Attached(try loaded.program("uring").attachTracepoint()) : nil
    }

    /// The connected TCP sockets that are open now, by process.
    func sockets() throws(BPFError) -> [Int32: Set<SocketObservation>] {
        var found: [Int32: Set<SocketObservation>] = [:]
        for record in try descriptors.readIterator(of: weft_watched_descriptor.self)
        where SocketTable.isConnected(record.socket.state) {
            found[Int32(bitPattern: record.process), default: []].insert(SocketObservation(record.socket))
        }
        return found
    }

    /// Everything that was done so far.
    func records() throws(BPFError) -> [Record] {
        try watched.entries().map { key, value in
            let kind = weft_conduct_kind(key.kind)
            let isUring = kind == WEFT_CONDUCT_URING || value.socket.peer_port == 0
            return Record(
                cgroup: key.cgroup, process: Int32(bitPattern: key.process), kind: kind,
                deed: .init(
                    count: value.count, socket: value.socket.peer_port == 0 ? nil : SocketObservation(value.socket),
                    call: isUring ? "a request of io_uring (\(value.call))" : Self.text(kind, value)))
        }
    }

    /// Whether more was done than there was room to count.
    func isFull(_ records: [Record]) -> Bool { records.count >= watched.maxEntries }

    private static func text(_ kind: weft_conduct_kind, _ value: weft_watched) -> String {
        let call = "\(SystemCalls.name(value.call))()"
        switch kind {
        case WEFT_CONDUCT_BLOCKING: return "\(call) on a descriptor without O_NONBLOCK"
        case WEFT_CONDUCT_SPLICE: return "\(call) from a socket"
        case WEFT_CONDUCT_WAITALL: return "\(call) with MSG_WAITALL"
        case WEFT_CONDUCT_FIONREAD: return "\(call) with FIONREAD"
        case WEFT_CONDUCT_LOW_WATER: return "\(call) on a socket whose SO_RCVLOWAT is \(value.socket.low_water)"
        case WEFT_CONDUCT_INQ: return "\(call) on a socket with TCP_INQ"
        case WEFT_CONDUCT_ULP: return "\(call) on a socket with an upper layer protocol"
        case WEFT_CONDUCT_ZEROCOPY_RECEIVE: return "\(call) to receive without a copy"
        case WEFT_CONDUCT_ZEROCOPY_SEND: return "\(call) with MSG_ZEROCOPY"
        case WEFT_CONDUCT_TRUNCATE: return "\(call) with MSG_TRUNC"
        case WEFT_CONDUCT_URGENT: return "\(call) with MSG_OOB"
        default: return call
        }
    }
}

extension SocketObservation {
    init(_ socket: weft_watched_socket) {
        func place(_ address: weft_address, _ port: UInt16) -> String {
            IPAddress(high: address.high, low: address.low).place(port: UInt16(bigEndian: port))
        }
        self.init(
            descriptor: Int32(bitPattern: socket.descriptor), local: place(socket.local_address, socket.local_port),
            peer: place(socket.peer_address, socket.peer_port),
            isBlocking: UInt32(socket.traits) & WEFT_TRAIT_NONBLOCKING.rawValue == 0, lowWater: socket.low_water)
        hasINQ = UInt32(socket.traits) & WEFT_TRAIT_INQ.rawValue != 0
        hasULP = UInt32(socket.traits) & WEFT_TRAIT_ULP.rawValue != 0
    }
}

extension EvidenceKind {
    /// nil: a transfer with nothing odd about it.
    init?(_ kind: weft_conduct_kind) {
        switch kind {
        case WEFT_CONDUCT_BLOCKING: self = .blocking
        case WEFT_CONDUCT_SPLICE: self = .splice
        case WEFT_CONDUCT_WAITALL: self = .waitAll
        case WEFT_CONDUCT_FIONREAD: self = .fionread
        case WEFT_CONDUCT_LOW_WATER: self = .lowWater
        case WEFT_CONDUCT_INQ: self = .inq
        case WEFT_CONDUCT_ULP: self = .ulp
        case WEFT_CONDUCT_ZEROCOPY_RECEIVE: self = .zeroCopyReceive
        case WEFT_CONDUCT_ZEROCOPY_SEND: self = .zeroCopySend
        case WEFT_CONDUCT_TRUNCATE: self = .truncate
        case WEFT_CONDUCT_URGENT: self = .urgent
        case WEFT_CONDUCT_URING: self = .registeredFiles
        default: return nil
        }
    }
}
