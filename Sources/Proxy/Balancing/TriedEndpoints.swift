/// An endpoint of a cluster, by its place in the generation of the configuration that the request began with.
public struct EndpointIndex: BitwiseCopyable, Hashable, Sendable {
    public let rawValue: UInt16

    public init(_ rawValue: UInt16) { self.rawValue = rawValue }

    @inline(__always)
    init(_ index: Int) { rawValue = UInt16(truncatingIfNeeded: index) }

    public var index: Int { Int(rawValue) }
}

/// The endpoints that a request was tried on: its retries avoid the last eight of them.
public struct TriedEndpoints: BitwiseCopyable, Sendable {
    private var places = SIMD8<UInt16>(repeating: 0)
    private var count: UInt8 = 0

    public init() {}

    public var isEmpty: Bool { count == 0 }

    public mutating func insert(_ endpoint: EndpointIndex) {
        guard !contains(endpoint) else { return }
        places[Int(count & 7)] = endpoint.rawValue
        // Past eight the place is still taken modulo 8, so the oldest goes.
        count = count < 16 ? count + 1 : 9
    }

    public func contains(_ endpoint: EndpointIndex) -> Bool {
        for place in 0..<min(Int(count), 8) where places[place] == endpoint.rawValue { return true }
        return false
    }
}
