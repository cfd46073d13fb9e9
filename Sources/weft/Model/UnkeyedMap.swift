import BPF
import KernelPlane

/// Weft's maps that are not read by key.
enum UnkeyedMap: String, CaseIterable {
    case flows
    case connections
    case tuplePlaces = "tuple_places"
    case sockets
    case udpSockets = "udp_sockets"
    case agentSockets = "agent_sockets"
    case inboundSockets = "inbound_socks"

    var summary: String {
        switch self {
        case .flows: "Records of ended and refused connections"
        case .connections: "State of each young TCP connection"
        case .tuplePlaces: "The larger part of 'tuples'"
        case .sockets: "State of each mesh socket whose connection lasts"
        case .udpSockets: "State of each datagram socket that talks to services"
        case .agentSockets: "Original destinations of the agent's sockets"
        case .inboundSockets: "The agent's listeners for clients outside of the mesh"
        }
    }

    /// What to do instead of reading it.
    var advice: String {
        switch self {
        case .flows: "'flows' is a queue of records, not a table: read it with 'weft flows'"
        case .connections:
            "'connections' has connections by their sockets' cookies, for their first second: "
                + "'weft service show' counts open connections"
        case .tuplePlaces: "'tuple_places' is the larger part of 'tuples': 'weft map dump tuples' has both"
        case .inboundSockets: "'\(rawValue)' holds sockets, which the kernel does not give out"
        case .sockets, .udpSockets, .agentSockets:
            "'\(rawValue)' is storage inside sockets, which the kernel gives out by socket only: "
                + "'weft service show' counts open connections"
        }
    }

    func size(in directory: PinDirectory) throws -> MapSize {
        do {
            return MapSize(try AnyMap.openPinned(directory.map(rawValue), name: rawValue).info, entries: nil)
        } catch {
            throw Failure(error)
        }
    }
}
