import CLinux
import Glibc
import WeftABI

/// A client's connection of an earlier agent, with its legs.
struct Inheritance: Sendable {
    var client: HeldSocket
    var legs: [HeldSocket]

    func closeAll() {
        weft_abort_connection(client.descriptor)
        for socket in [client] + legs { close(socket.descriptor) }
    }
}

// Connections that the programs decide about outlive the agent: a standby process has their sockets too.
extension Worker {
    /// Gives the standby process what it does not have yet of a connection that is about to be offered.
    mutating func keepBeyondAgent(_ index: UInt32) {
        guard let line = shortcutSeat.line else { return }
        var legs: [HeldSocket] = []
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            guard upstream != .max, !upstreams[upstream].isHeld else { continue }
            legs.append(
                HeldSocket(
                    descriptor: upstreams[upstream].descriptor, cookie: upstreams[upstream].cookie, isClient: false))
        }
        let client: HeldSocket? =
            downstreams[index].shortcut.isHeld
            ? nil
            : HeldSocket(
                descriptor: downstreams[index].descriptor, cookie: downstreams[index].shortcut.client, isClient: true)
        guard line.hold(client: client, legs: legs) else { return }
        downstreams[index].shortcut.isHeld = true
        downstreams[index].shortcut.areLegsHeld = true
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            if upstream != .max { upstreams[upstream].isHeld = true }
        }
    }

    /// Leaves a connection to the programs and to the next agent. False: it is this one's to end.
    mutating func leaveToNext(_ index: UInt32) -> Bool {
        let shortcut = downstreams[index].shortcut
        guard shortcut.isOffered, shortcut.isHeld, shortcut.areLegsHeld, shortcutSeat.line != nil,
            !downstreams[index].hasFailed
        else { return false }
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = shortcut.legs[number]
            guard upstream != .max else { continue }
            // Without a word to the programs, which go on using it.
            upstreams[upstream].client = .max
            upstreams[upstream].isHeld = false
            closeUpstream(upstream)
        }
        downstreams[index].shortcut = DownstreamShortcut()
        closeDownstream(index)
        return true
    }

    /// Takes over a connection of an earlier agent. Its legs serve what is under way, and are closed then.
    mutating func inherit(_ inheritance: Inheritance) {
        let client = inheritance.client.cookie
        guard let memory = shortcuts?.memory, memory.isHeld(by: client),
            let origin = origins(inheritance.client.descriptor), origin.lane == .proxy, origin.shortcutClient == client
        else {
            shortcuts?.memory.end(client)
            inheritance.closeAll()
            return
        }
        let descriptor = inheritance.client.descriptor
        var downstream = Downstream(
            descriptor: descriptor, listener: listenerOfInherited(), peer: Sockets.peerAddress(descriptor),
            local: origin.destination)
        let progress = memory.progress(client)
        downstream.service = origin.service
        downstream.source = origin.source
        downstream.startedAt = origin.startedAt
        downstream.requests = .init(
            firstClass: progress.firstClass, count: UInt32(truncatingIfNeeded: progress.requests))
        downstream.shortcut.client = client
        downstream.shortcut.taken = memory.taken(client)
        downstream.shortcut.isOffered = true
        downstream.shortcut.requests = progress.requests
        downstream.shortcut.isHeld = true
        guard let index = admit(downstream) else {
            memory.end(client)
            inheritance.closeAll()
            return
        }
        for leg in inheritance.legs { inherit(leg: leg, of: index, memory) }
        // Of this agent's own rules, from the next offer on.
        if takeBack(index) {
            wheel.set(TimerID.downstream(index), tick + options.keepAliveTimeout)
            closeLegs(index)
        } else if downstreams[index].shortcut.legs[progress.leg & (DownstreamShortcut.capacity - 1)] == .max {
            // Its backend is gone, and nobody can answer.
            downstreams[index].hasFailed = true
            closeDownstream(index)
        }
    }

    private mutating func inherit(leg: HeldSocket, of index: UInt32, _ memory: ShortcutMemory) {
        let position = memory.position(ofLeg: leg.cookie)
        guard position.number < DownstreamShortcut.capacity,
            downstreams[index].shortcut.legs[position.number] == .max
        else {
            close(leg.descriptor)
            return
        }
        var upstream = Upstream(descriptor: leg.descriptor, pool: poolOfInherited(), isConnecting: false)
        upstream.client = index
        upstream.leg = UInt8(position.number)
        upstream.cookie = leg.cookie
        upstream.taken = position.taken
        upstream.straightResponses = memory.responses(leg.cookie).count
        upstream.isHeld = true
        guard let place = upstreams.insert(upstream) else {
            memory.detach(position.number, leg.cookie, from: downstreams[index].shortcut.client)
            Sockets.endHeld(leg.descriptor)
            return
        }
        pools[Int(upstream.pool)].openCount += 1
        statistics.add(.upstreamOpened)
        statistics.add(.upstreamActive, 1)
        downstreams[index].shortcut.legs[position.number] = place
        downstreams[index].shortcut.legCount += 1
        let token = EventToken(kind: .upstream, index: place, generation: upstreams.generation(place))
        if !poller.addConnection(leg.descriptor, token) { closeUpstream(place) }
    }

    private mutating func closeLegs(_ index: UInt32) {
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            if upstream != .max { closeUpstream(upstream) }
        }
    }

    /// No endpoint's: what is learnt on its connections is credited to nobody, and none is used again.
    private mutating func poolOfInherited() -> UInt32 {
        let identity = UInt64.max
        if let place = poolPlaces[identity] { return place }
        var pool = UpstreamPool(endpoint: weft_endpoint(), identity: identity, cluster: -1)
        pool.isRetired = true
        pools.append(pool)
        poolPlaces[identity] = UInt32(pools.count - 1)
        return UInt32(pools.count - 1)
    }

    /// A listener that inherited connections count at: one that captures, or one that is closed already.
    private mutating func listenerOfInherited() -> UInt32 {
        for index in listeners.indices {
            if case .captured = listeners[index].kind { return UInt32(index) }
        }
        listeners.append(
            WorkerListener(descriptor: -1, id: ListenerID(number: 0), kind: .captured, isOpen: false))
        return UInt32(listeners.count - 1)
    }
}
