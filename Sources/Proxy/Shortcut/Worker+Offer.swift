import CLinux
import Mesh
import Synchronization
import WeftABI

// Connections whose next requests the kernel's programs may decide about, until the worker takes them back:
// bpf/abi_shortcut.h has the protocol.
extension Worker {
    /// Offers in a row without a request that was taken, after which none is made for as many requests as `patience`.
    private static let fruitlessOffers: UInt8 = 8
    private static let patience: UInt8 = 8

    /// The socket of a captured connection's client, if the programs may decide about its requests; 0: they may not.
    func shortcutClient(_ origin: ConnectionOrigin) -> UInt64 {
        guard shortcuts != nil, !tracing.isOn, !origin.isInbound else { return 0 }
        return origin.shortcutClient
    }

    /// A request has been answered: finds the table for those that follow it, and whether its connection to the backend is to
    /// be one of theirs.
    mutating func prepareOffer(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        guard let shortcuts, generations.current >= 0, !requestLog.isOn else {
            downstreams[index].shortcut.generation = 0
            return
        }
        if downstreams[index].shortcut.rest > 0 {
            downstreams[index].shortcut.rest -= 1
            downstreams[index].shortcut.generation = 0
            return
        }
        // First of all: what is looked at from here on may only be newer.
        let generation = shortcuts.memory.generation
        let request = exchanges[exchange].request
        // What was taken over from the programs has no head; its table is known.
        guard request.byteCount > 0 else { return }
        let host = fingerprint(ofAuthority: exchange)
        guard downstreams[index].shortcut.generation != generation || downstreams[index].shortcut.host != host else {
            return
        }
        downstreams[index].shortcut.generation = 0
        guard generations[generations.current].serial == shortcutSeat.serial.load(ordering: .sequentiallyConsistent),
            request.form == .origin,
            let place = findTable(exchange, shortcuts, generation)
        else { return }
        downstreams[index].shortcut.table = place.number
        downstreams[index].shortcut.generation = generation
        downstreams[index].shortcut.host = host
        arrangeLegs(index, place)
    }

    private func fingerprint(ofAuthority exchange: UInt32) -> UInt64 {
        let input = downstreams[exchanges[exchange].downstream].input
        let bytes = buffers.bytes(input, input.start, input.end)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for place in exchanges[exchange].request.authority.range {
            hash = (hash ^ UInt64(bytes[place])) &* 0x100_0000_01b3
        }
        return hash
    }

    private mutating func findTable(
        _ exchange: UInt32, _ shortcuts: ShortcutTables, _ generation: UInt32
    ) -> ShortcutTables.Place? {
        let index = exchanges[exchange].downstream
        let current = generations.current
        let input = downstreams[index].input
        let bytes = buffers.bytes(input, input.start, input.end)
        let host = exchanges[exchange].request.authority.range.map { bytes[$0] }
        let key = ShortcutTables.Key(
            service: downstreams[index].service, source: downstreams[index].source, host: host)
        var spread: [Int: Int] = [:]
        for cluster in 0..<generations[current].clusters.count {
            spread[cluster] = generations[current].clusters[cluster].evenEndpoints(now: now)
        }
        return shortcuts.place(
            for: key, generation: generation, now: now, counts: generations[current].policyCounts
        ) { () throws(CompiledShortcuts.Refusal) in
            try ShortcutCompiler.compile(
                generations[current].table, generations[current].authorization, service: key.service,
                source: key.source, host: key.host, groups: { generations[current].groups(ofCluster: $0) },
                endpoints: { spread[$0] })
        }
    }

    /// Lets the programs take the requests that follow, if nothing is under way.
    mutating func offer(_ index: UInt32) {
        guard let shortcuts, !isDraining, downstreams[index].shortcut.generation != 0,
            downstreams[index].shortcut.legCount > 0, !downstreams[index].hasEnding,
            downstreams[index].output.unsent == 0, !requestLog.isOn
        else { return }
        if !downstreams[index].shortcut.isHeld || !downstreams[index].shortcut.areLegsHeld { keepBeyondAgent(index) }
        downstreams[index].shortcut.isOffered = true
        shortcuts.memory.offer(
            downstreams[index].shortcut.client, table: downstreams[index].shortcut.table,
            generation: downstreams[index].shortcut.generation, taken: downstreams[index].shortcut.taken)
        statistics.add(.shortcutOffers)
    }

    /// Takes a connection back, before anything is read from it. False: the programs have a request of it under way, and it
    /// is looked at again in a while.
    mutating func takeBack(_ index: UInt32) -> Bool {
        guard downstreams[index].shortcut.isOffered, let memory = shortcuts?.memory else { return true }
        let client = downstreams[index].shortcut.client
        while true {
            let word = memory.word(client)
            guard !word.isAwaiting else {
                waitForResponse(index)
                return false
            }
            if memory.change(client, from: word, to: .ofAgent) { break }
        }
        downstreams[index].shortcut.isOffered = false
        downstreams[index].shortcut.isWaiting = false
        downstreams[index].shortcut.suspect = DownstreamShortcut.none
        countStraightRequests(index)
        closeUnfitLegs(index)
        return true
    }

    private mutating func waitForResponse(_ index: UInt32) {
        guard !downstreams[index].hasFailed else {
            closeDownstream(index)
            return
        }
        downstreams[index].shortcut.isWaiting = true
        wheel.set(TimerID.downstream(index), tick + 1)
    }

    /// Takes over into the records what the programs have done with a connection's requests.
    private mutating func countStraightRequests(_ index: UInt32) {
        guard let memory = shortcuts?.memory else { return }
        let progress = memory.progress(downstreams[index].shortcut.client)
        let fresh = progress.requests &- downstreams[index].shortcut.requests
        guard fresh > 0 else {
            downstreams[index].shortcut.fruitless &+= 1
            if downstreams[index].shortcut.fruitless >= Self.fruitlessOffers {
                downstreams[index].shortcut.fruitless = 0
                downstreams[index].shortcut.rest = Self.patience
            }
            return
        }
        downstreams[index].shortcut.fruitless = 0
        downstreams[index].shortcut.requests = progress.requests
        downstreams[index].requests.count &+= UInt32(truncatingIfNeeded: fresh)
        if downstreams[index].requests.firstClass == 0 { downstreams[index].requests.firstClass = progress.firstClass }
        connectionRequests.set(downstreams[index].requests, started: downstreams[index].startedAt)
        statistics.add(.shortcutRequests, Int64(fresh))
    }

    /// The connection ends.
    mutating func endShortcut(_ index: UInt32) {
        guard let memory = shortcuts?.memory else { return }
        let client = downstreams[index].shortcut.client
        var busy = -1
        while true {
            let word = memory.word(client)
            if word.isAwaiting {
                busy = memory.progress(client).leg
                break
            }
            if memory.change(client, from: word, to: .ofAgent) { break }
        }
        if downstreams[index].shortcut.isOffered { countStraightRequests(index) }
        memory.end(client)
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            guard upstream != .max else { continue }
            detachLeg(upstream)
            if number == busy || upstreams[upstream].hasEnding { closeUpstream(upstream) } else { park(upstream) }
        }
        downstreams[index].shortcut.client = 0
        downstreams[index].shortcut.isOffered = false
    }

    /// The timer of a connection that is offered.
    mutating func shortcutExpired(_ index: UInt32) {
        guard let memory = shortcuts?.memory else { return }
        if downstreams[index].shortcut.suspect != DownstreamShortcut.none {
            judgeLeg(index)
            return
        }
        let progress = memory.progress(downstreams[index].shortcut.client)
        if downstreams[index].shortcut.isWaiting {
            let word = memory.word(downstreams[index].shortcut.client)
            let isForgotten = word.isAwaiting && downstreams[index].shortcut.legs[progress.leg & 7] == .max
            if isForgotten || now > progress.started + options.streamIdleTimeout * 1_000_000 {
                downstreams[index].hasFailed = true
                closeDownstream(index)
            } else if isDraining, takeBack(index) {
                closeDownstream(index)
            } else {
                readRequest(index)
            }
            return
        }
        let last = max(progress.started, progress.ended) / 1_000_000
        if last + options.keepAliveTimeout > tick {
            wheel.set(TimerID.downstream(index), last + options.keepAliveTimeout)
        } else if takeBack(index) {
            closeDownstream(index)
        }
    }
}
