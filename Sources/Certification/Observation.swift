/// What was seen of one process in one watch.
public struct ProcessObservation: Sendable, Equatable {
    public var process: Int32
    /// Of /proc/PID/comm.
    public var name: String
    public var sockets: Set<SocketObservation> = []
    /// What it did, and where it did so first.
    public var conduct: [EvidenceKind: Deed] = [:]
    public var receives: UInt64 = 0
    public var sends: UInt64 = 0
    public var uringDescriptors = 0
    public var traits: ExecutableTraits = []
    /// Why it could not be looked at, for people.
    public var problem: String?

    public init(process: Int32, name: String) {
        self.process = process
        self.name = name
    }

    /// Something done at a socket.
    public struct Deed: Sendable, Equatable {
        public var count: UInt64
        /// nil: not known which.
        public var socket: SocketObservation?
        /// What did it, for people: a system call or a request of io_uring, with flags.
        public var call: String

        public init(count: UInt64 = 1, socket: SocketObservation? = nil, call: String) {
            self.count = count
            self.socket = socket
            self.call = call
        }
    }

    mutating func add(_ kind: EvidenceKind, _ deed: Deed) {
        guard let known = conduct[kind] else {
            conduct[kind] = deed
            return
        }
        conduct[kind]?.count = max(known.count, deed.count)
    }
}

/// A connected TCP socket that a process has open.
public struct SocketObservation: Sendable, Hashable {
    public var descriptor: Int32
    /// `address:port`, or `[address]:port`.
    public var local: String
    public var peer: String
    public var isBlocking: Bool
    /// SO_RCVLOWAT; 1 where it is not known.
    public var lowWater: UInt32
    public var hasINQ = false
    public var hasULP = false

    public init(descriptor: Int32, local: String, peer: String, isBlocking: Bool, lowWater: UInt32 = 1) {
        self.descriptor = descriptor
        self.local = local
        self.peer = peer
        self.isBlocking = isBlocking
        self.lowWater = lowWater
    }
}

/// What this kernel lets a watch see, and does right.
public struct WatchMeans: Sendable, Equatable {
    /// Whether every system call was seen, or only what samples of /proc show.
    public var seesCalls: Bool
    /// Whether requests of io_uring were seen.
    public var seesUring: Bool
    /// Whether FIONREAD counts what went around TCP; nil: not known.
    public var isFIONREADRight: Bool?

    public init(seesCalls: Bool, seesUring: Bool, isFIONREADRight: Bool? = nil) {
        self.seesCalls = seesCalls
        self.seesUring = seesUring
        self.isFIONREADRight = isFIONREADRight
    }
}
