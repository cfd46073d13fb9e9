public import BPF
public import Mesh
import WeftABI

/// Which workload's process listens where, as the kernel knows it: for connections that came by an address of the node that
/// no workload has declared. For any thread; each question is a few system calls.
public final class ListenerDirectory: Sendable {
    private let listeners: Map<weft_listener_key, weft_listener>

    public init(_ pins: PinDirectory) throws(BPFError) {
        listeners = try Map.openPinned(pins.map("listeners"), name: "listeners")
    }

    /// The workload's identifier (see `Identifier.workload(_:)`); nil if no local workload is known to listen there.
    ///
    /// - Parameter namespace: the cookie of the network namespace.
    public func workload(at address: IPAddress, port: UInt16, namespace: UInt64) -> UInt64? {
        let family = (address.isIPv4 ? WEFT_LISTENER_IPV4 : WEFT_LISTENER_IPV6).rawValue
        for place in [address.abi, weft_address()] {
            for slot in 0..<WEFT_LISTENER_SLOTS {
                var key = weft_listener_key()
                key.netns_cookie = namespace
                key.address = place
                key.port = port.bigEndian
                key.slot = UInt8(slot)
                if let listener = try? listeners.get(key), listener.families & family != 0 { return listener.workload }
            }
        }
        return nil
    }
}
