internal import Mesh

/// Where ring hash and Maglev find what they hash.
enum HashSource: BitwiseCopyable, Sendable {
    case none
    case header(SharedTableView<UInt8>)
    case query(SharedTableView<UInt8>)
    case sourceAddress
    case cookie(name: SharedTableView<UInt8>, path: SharedTableView<UInt8>, lifetime: UInt32)
}

/// The names of a `HashSource`, which a cluster owns.
struct HashSourceNames: Sendable {
    let source: HashSource
    private let owners: [SharedTable<UInt8>]

    init(_ key: HTTPBalancer.HashKey?) {
        func table(_ text: String) -> SharedTable<UInt8> { SharedTable(Array(text.utf8)) }
        switch key {
        case nil:
            source = .none
            owners = []
        case .header(let name):
            owners = [table(name.lowercased())]
            source = .header(owners[0].view)
        case .query(let name):
            owners = [table(name)]
            source = .query(owners[0].view)
        case .sourceAddress:
            source = .sourceAddress
            owners = []
        case .cookie(let name, let path, let lifetime):
            // It is written into heads.
            guard HeaderEditBuilder.isToken(name) else {
                source = .none
                owners = []
                return
            }
            let isSafe = HeaderEditBuilder.isValue(path) && !path.contains(";")
            owners = [table(name), table(isSafe ? path : "")]
            source = .cookie(name: owners[0].view, path: owners[1].view, lifetime: lifetime)
        }
    }
}

/// What a cluster's balancer hashes of a request.
public enum RequestHash: BitwiseCopyable, Sendable, Equatable {
    /// Nothing: the algorithm does not hash, or the request has no such value.
    case none
    case hash(UInt64)
    /// The client has no cookie yet. It is to get one, made of a random number that is the hash, too: see `HashSource.writeCookie`.
    case needsCookie

    var value: UInt64? {
        if case .hash(let hash) = self { hash } else { nil }
    }
}

extension ClusterState {
    /// Whether it wants the hash of anything.
    var hashes: Bool {
        if case .none = hashSource { false } else { true }
    }

    public func hash(of view: borrowing RequestView) -> RequestHash {
        switch hashSource {
        case .none: return .none
        case .sourceAddress: return .hash(mix64(mix64(view.client.high) ^ view.client.low))
        case .header(let name): return hash(view.header(name.bytes), of: view.bytes)
        case .query(let name): return hash(view.query(name.bytes), of: view.bytes)
        case .cookie(let name, _, _):
            guard let slice = view.cookie(name.bytes), !slice.isEmpty else { return .needsCookie }
            return .hash(xxHash64(view.bytes[slice]))
        }
    }

    private func hash(_ slice: HeadSlice?, of bytes: RawSpan) -> RequestHash {
        slice.map { .hash(xxHash64(bytes[$0])) } ?? .none
    }
}

extension RequestHash {
    /// The hash that a cookie made of this random number will have.
    static func hashOfCookie(_ random: UInt64) -> UInt64 {
        var digits = InlineArray<16, UInt8>(repeating: 0)
        for index in 0..<16 { digits[index] = hexDigit(random, index) }
        return unsafe xxHash64(digits.span.bytes)
    }
}

extension HashSource {
    /// Writes the `Set-Cookie` line for a client that had none.
    func writeCookie(_ random: UInt64, into scratch: inout Scratch) {
        guard case .cookie(let name, let path, let lifetime) = self else { return }
        scratch.append("Set-Cookie: ")
        scratch.append(name.bytes)
        scratch.append("=")
        for index in 0..<16 { scratch.append(byte: hexDigit(random, index)) }
        if path.count > 0 {
            scratch.append("; Path=")
            scratch.append(path.bytes)
        }
        if lifetime > 0 {
            scratch.append("; Max-Age=")
            scratch.append(decimal: UInt64(lifetime))
        }
        scratch.append("; HttpOnly\r\n")
    }
}

/// Digit `index` of the 16 of a number, highest first, lower-case.
func hexDigit(_ value: UInt64, _ index: Int) -> UInt8 {
    let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index)) & 15
    return digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
}
