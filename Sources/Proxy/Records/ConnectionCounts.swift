/// What a worker has counted of connections that came through tunnels.
public struct ConnectionCounts: Sendable, Equatable {
    public var opened: UInt64 = 0
    public var closed: UInt64 = 0
    /// Payload that the server has sent, and received.
    public var sent: UInt64 = 0
    public var received: UInt64 = 0

    public init() {}

    /// In this order in a table, after each other.
    static let size = 4

    /// What was counted since `earlier`.
    public func since(_ earlier: Self) -> Self {
        var change = ConnectionCounts()
        change.opened = opened &- earlier.opened
        change.closed = closed &- earlier.closed
        change.sent = sent &- earlier.sent
        change.received = received &- earlier.received
        return change
    }
}

extension WorkerStatistics {
    /// What connections through tunnels are told apart by: identifiers as in the kernel's maps, 0: unknown.
    public struct ConnectionKey: Hashable, Sendable {
        public var source: UInt64
        public var service: UInt64
        public var destination: UInt64
        /// The client's identity: a number in the worker's `PeerNames`.
        public var peer: UInt32

        public init(source: UInt64, service: UInt64, destination: UInt64, peer: UInt32) {
            self.source = source
            self.service = service
            self.destination = destination
            self.peer = peer
        }

        fileprivate init(_ words: CounterKey) {
            self.init(
                source: words[0], service: words[1], destination: words[2],
                peer: UInt32(truncatingIfNeeded: words[3]))
        }

        fileprivate var words: CounterKey { [source, service, destination, UInt64(peer), 0, 0] }
    }

    /// One entry as it was read.
    public struct ConnectionReading: Sendable {
        /// nil: what found no room.
        public var key: ConnectionKey?
        /// Another one in the same place: the entry stands for something else now, and counts from 0.
        public var generation: UInt64
        public var counts: ConnectionCounts
    }

    // MARK: The worker's side

    /// Counts a connection that stands.
    ///
    /// - Returns: where its bytes and its end are to be counted.
    public func connectionOpened(_ key: ConnectionKey) -> Int {
        let place = connections.values(for: key.words)
        connections.add(1, at: place)
        return place
    }

    public func connectionMoved(_ place: Int, sent: UInt64, received: UInt64) {
        connections.add(sent, at: place &+ 2)
        connections.add(received, at: place &+ 3)
    }

    /// The place is void afterwards.
    public func connectionClosed(_ place: Int) { connections.add(1, at: place &+ 1) }

    // MARK: The reader's side

    /// The number of entries of connections there are to read, the overflow's among them.
    public var connectionEntryCount: Int { connections.entryCount }

    /// Reads an entry: the overflow's is at 0.
    ///
    /// - Returns: nil if it is not in use, or not any more.
    public func connections(at position: Int) -> ConnectionReading? {
        guard position > 0 else {
            let counts = counts(at: connections.overflow)
            return counts.opened == 0 ? nil : ConnectionReading(key: nil, generation: 0, counts: counts)
        }
        guard let (key, generation, counts) = connections.read(at: position, counts) else { return nil }
        return ConnectionReading(key: ConnectionKey(key), generation: generation, counts: counts)
    }

    private func counts(at values: Int) -> ConnectionCounts {
        var counts = ConnectionCounts()
        // The end first, so that no reader sees more ends than beginnings.
        counts.closed = connections.load(values + 1)
        counts.opened = connections.load(values)
        counts.sent = connections.load(values + 2)
        counts.received = connections.load(values + 3)
        return counts
    }

    /// Lets the worker use an entry's room for something else, once it has none left, if the entry still is as it was
    /// read and none of its connections is open.
    public func retire(_ reading: ConnectionReading, at position: Int) {
        connections.retire(at: position, count: reading.counts.opened)
    }
}
