import Glibc
import Mesh

// Deadlines of tunnels, and what has to be looked at again when trust or the configuration changes.
extension Worker {
    mutating func tunnelSessionExpired(_ index: UInt32) {
        guard tunnels.sessions[index].phase == .open else {
            sessionFailed(index, .io)
            return
        }
        if tunnels.sessions[index].isEnding {
            closeTunnel(index)
            return
        }
        let pingSent = tunnels.sessions[index].pingSent
        if pingSent != 0, tick >= pingSent + options.tunnelTiming.pingTimeout {
            statistics.add(.tunnelKeepAliveTimeouts)
            closeTunnel(index)
            return
        }
        let isUnused = tunnels.sessions[index].streams == 0 && !tunnels.sessions[index].isServer
        if isUnused, tick >= tunnels.sessions[index].idleSince + options.tunnelTiming.idleRelease {
            endTunnel(index, .noError)
            return
        }
        if pingSent == 0, tick >= tunnels.sessions[index].lastReceived + options.tunnelTiming.pingInterval {
            tunnels.sessions[index].pingSent = tick
            tunnels.sessions[index].http.ping()
            tunnels.sessions[index].tls.releaseBuffers()
        }
        recordBytes(ofSession: index)
        wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.pingInterval)
        enqueue(tunnelSession: index)
    }

    /// Nobody has answered in time.
    mutating func tunnelStreamExpired(_ index: UInt32) {
        guard tunnels.streams[index].descriptor >= 0 else { return }
        switch tunnels.streams[index].phase {
        case .requested: breakStream(index, .cancel)
        case .dialling: dialFailed(index, ETIMEDOUT)
        case .open, .draining: break
        }
    }

    /// New certificates and bundles: connections to peers that are not accepted any more end, those that are go on, and
    /// those whose root has been retired end with their last stream.
    mutating func adopt(_ material: TrustMaterial) {
        let old = tunnels.material?.snapshot
        tunnels.material = material
        if tunnels.contexts == nil { tunnels.contexts = TLSContexts(kernel: options.kernelTLS) }
        tunnels.contexts?.adopt(material)
        let seconds = WallClock.now()
        for index in 0..<tunnels.sessions.limit where tunnels.sessions.isLive(index) {
            guard tunnels.sessions[index].phase == .open, !tunnels.sessions[index].isEnding else { continue }
            let failure = tunnels.contexts?.stillAccepts(tunnels.sessions[index].tls, now: seconds)
            switch failure {
            // A certificate that has run out says nothing against who the peer was when the connection was made.
            case nil, .expired: break
            // Nor does a root that has been retired: what is open goes on, but nothing new does.
            case .untrusted: retireTunnel(index)
            default:
                statistics.add(.tunnelSessionsRevoked)
                endTunnel(index, .noError)
                continue
            }
            let identity = tunnels.sessions[index].identity
            let isRenewed = old?.identities[identity] != material.snapshot.identities[identity]
            // Clients' next streams come with the new certificate. Servers keep what their clients have verified, but
            // without a certificate that is valid they take nothing new.
            let hasNone = material.snapshot.identities[identity] == nil
            if isRenewed, hasNone || !tunnels.sessions[index].isServer { retireTunnel(index) }
        }
    }

    /// Other workloads, addresses and policies: streams that would not be let in now end.
    ///
    /// - Parameter next: takes the place of the table; nil: only the policies are others.
    mutating func reconsiderTunnels(_ next: TunnelTable?) {
        if let next { tunnels.table = next }
        guard let table = tunnels.table else { return }
        for index in 0..<tunnels.sessions.limit where tunnels.sessions.isLive(index) {
            guard tunnels.sessions[index].phase == .open, !tunnels.sessions[index].isEnding, !isExpectedPeer(of: index)
            else { continue }
            statistics.add(.tunnelSessionsRevoked)
            endTunnel(index, .noError)
        }
        for index in 0..<tunnels.streams.limit where tunnels.streams.isLive(index) { reconsider(index, table) }
    }

    private mutating func reconsider(_ index: UInt32, _ table: TunnelTable) {
        let stream = tunnels.streams[index]
        // The rule that has allowed it may have another place now.
        tunnels.streams[index].rule = -1
        guard stream.isServer, stream.session != .max, stream.descriptor >= 0 else { return }
        var rule: Int32 = -1
        if let inbound = table.inbound(at: stream.target) {
            let decision = authorize(TunnelPeer(principal: stream.peer, address: stream.client), inbound, stream.target)
            rule = decision.rule
            if decision.verdict == .allowed {
                tunnels.streams[index].rule = rule
                return
            }
        }
        recordRevoked(index, rule)
        statistics.add(.tunnelStreamsRevoked)
        breakStream(index, .cancel)
    }
}

enum WallClock {
    /// Seconds since 1970.
    static func now() -> Int64 { Int64(time(nil)) }
}
