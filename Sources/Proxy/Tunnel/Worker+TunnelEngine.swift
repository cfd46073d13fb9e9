import CLinux
import Glibc

/// Names a stream from outside of the tunnels.
struct TunnelReference: BitwiseCopyable {
    var index: UInt32
    var generation: UInt32

    static let none = TunnelReference(index: .max, generation: 0)
}

/// What a connection to a backend through a tunnel waits for.
enum TunnelOutcome: UInt8, BitwiseCopyable {
    /// It is none, or it stands.
    case none
    case pending, established, failed
}

// The engine's connections through tunnels: one end of a socket pair is the engine's, the other a stream's.
extension Worker {
    /// Whether a connection of `source` to an endpoint goes through a tunnel.
    func isTunnelled(_ endpoint: weft_endpoint, from source: UInt64) -> Bool {
        guard let table = tunnels.table, table.sources[source] != nil else { return false }
        return table.isTunnelled(ClientAddress(endpoint))
    }

    /// Opens a stream for the connection to a backend at `index`, which has the descriptor of its end already.
    mutating func openUpstreamTunnel(
        _ index: UInt32, _ descriptor: CInt, to endpoint: weft_endpoint, for exchange: UInt32
    ) -> TunnelOpening {
        let downstream = exchanges[exchange].downstream
        let record = exchanges[exchange].record
        return openTunnel(
            descriptor, source: upstreams[index].tunnelSource, target: ClientAddress(endpoint), service: record.service,
            destination: 0, client: downstreams[downstream].peer,
            owner: .upstream(index, generation: upstreams.generation(index)))
    }

    /// Bytes may be written to the connection.
    mutating func tunnelEstablished(_ index: UInt32, _ generation: UInt32) {
        setOutcome(.established, of: index, generation)
    }

    /// It could not be made, which counts as a connection that was refused.
    mutating func tunnelFailed(_ index: UInt32, _ generation: UInt32) { setOutcome(.failed, of: index, generation) }

    /// In the next turn, since what follows may open or close other streams.
    private mutating func setOutcome(_ outcome: TunnelOutcome, of index: UInt32, _ generation: UInt32) {
        guard upstreams.isLive(index), upstreams.generation(index) == generation,
            upstreams[index].tunnelOutcome == .pending
        else { return }
        upstreams[index].tunnelOutcome = outcome
        enqueue(upstream: index)
    }

    /// What became of the tunnel. False: the connection goes no further.
    mutating func takeOutcome(_ index: UInt32) -> Bool {
        switch upstreams[index].tunnelOutcome {
        case .none: return true
        case .pending: return false
        case .established:
            upstreams[index].tunnelOutcome = .none
            let token = EventToken(kind: .upstream, index: index, generation: upstreams.generation(index))
            guard poller.addConnection(upstreams[index].descriptor, token) else {
                upstreamTunnelFailed(index)
                return false
            }
            connected(index)
            upstreams[index].isWritable = true
            return true
        case .failed:
            upstreamTunnelFailed(index)
            return false
        }
    }

    private mutating func upstreamTunnelFailed(_ index: UInt32) {
        let exchange = upstreams[index].exchange
        if exchange == .max {
            closeUpstream(index)
        } else {
            upstreamFailed(exchange, AttemptFailure(.connectFailure))
        }
    }

    /// The stream is broken: what the engine reads as an end is none.
    mutating func tellOwner(_ index: UInt32) {
        switch tunnels.streams[index].owner {
        case .none, .caller: break
        case .downstream(let place, let generation):
            guard downstreams.isLive(place), downstreams.generation(place) == generation else { return }
            downstreams[place].hasFailed = true
        case .upstream(let place, let generation):
            guard upstreams.isLive(place), upstreams.generation(place) == generation else { return }
            upstreams[place].wasReset = true
        }
    }

    /// The engine ends a client's connection without a complete answer: the client has to see that.
    mutating func breakTunnel(_ reference: TunnelReference) {
        guard reference.index != .max, tunnels.streams.isLive(reference.index),
            tunnels.streams.generation(reference.index) == reference.generation,
            tunnels.streams[reference.index].descriptor >= 0
        else { return }
        tunnels.streams[reference.index].owner = .none
        breakStream(reference.index, .connectError)
    }
}
