public import Mesh
public import WeftABI

/// The identifiers that the maps use for names: hashes, so that a name has the same one on every node and in every run
/// (see `weft_id` in bpf/lib/address.h).
public enum Identifier {
    static func of(_ kind: weft_name_kind, _ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { bytes in
            unsafe weft_id(UInt8(truncatingIfNeeded: kind.rawValue), bytes.baseAddress, UInt64(bytes.count))
        }
    }

    public static func workload(_ name: ObjectName) -> UInt64 { of(WEFT_NAME_WORKLOAD, name.description) }

    /// Of a SPIFFE id.
    public static func identity(_ spiffeID: String) -> UInt64 { of(WEFT_NAME_IDENTITY, spiffeID) }

    /// Of one port of a service, for one address family: a service with addresses of both families is two services to
    /// the kernel, because a backend has to be of the family that the application's socket speaks.
    public static func service(
        _ name: ObjectName, port: UInt16, transport: TransportProtocol, isIPv4: Bool
    ) -> UInt64 {
        of(WEFT_NAME_SERVICE, "\(name):\(port)/\(transport.rawValue)/\(isIPv4 ? 4 : 6)")
    }

    public static func rule(_ text: String) -> UInt64 { of(WEFT_NAME_RULE, text) }

    /// What refusals of plaintext are counted for.
    static let strictRuleName = "PeerAuthentication STRICT"
    static var strictRule: UInt64 { rule(strictRuleName) }

    /// Of the text that says why a service is in the proxy lane.
    public static func reason(service: UInt64) -> UInt64 {
        weft_mix(service ^ UInt64(WEFT_NAME_REASON.rawValue))
    }

    /// Of an endpoint of a service.
    public static func backend(service: UInt64, address: IPAddress, port: UInt16) -> UInt64 {
        let hash = weft_mix(weft_mix(weft_mix(service ^ address.high) ^ address.low) ^ UInt64(port))
        return hash == 0 ? 1 : hash
    }
}

/// What a rule is called in counters, flow records and the CLI: `namespace/policy[index]`.
public func ruleName(_ policy: ObjectName, _ index: Int) -> String { "\(policy)[\(index)]" }

extension IPAddress {
    /// The address as the maps hold it.
    public var abi: weft_address { weft_address(high: high, low: low) }

    public init(_ abi: weft_address) { self.init(high: abi.high, low: abi.low) }
}

/// An entry of the `names` map.
struct CompiledName: Hashable {
    var id: UInt64
    var kind: UInt8
    var text: String

    init(_ id: UInt64, _ kind: weft_name_kind, _ text: String) {
        self.id = id
        self.kind = UInt8(truncatingIfNeeded: kind.rawValue)
        self.text = text
    }

    var abi: weft_name {
        var name = weft_name()
        name.kind = kind
        unsafe withUnsafeMutableBytes(of: &name.text) { buffer in
            // A longer name is cut at a character, so that what is left is still UTF-8.
            var room = buffer.count - 1
            var offset = 0
            for character in text {
                let bytes = character.utf8
                guard bytes.count <= room else { break }
                for byte in bytes {
                    unsafe buffer[offset] = byte
                    offset += 1
                }
                room -= bytes.count
            }
        }
        return name
    }
}

extension weft_name {
    /// The name itself.
    public var string: String {
        unsafe withUnsafeBytes(of: text) { buffer in
            unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
