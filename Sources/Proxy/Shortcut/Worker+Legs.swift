import CLinux
import WeftABI

// The connections to backends that belong to one client's connection, for the programs to send requests on.
extension Worker {
    /// How long a leg that has ended, or speaks unasked, may be ahead of the program that has sent the response, in
    /// milliseconds.
    private static let suspicion: UInt64 = 10

    /// The leg of a request's connection to the endpoint of a pool; `.max`: it has none.
    func leg(to pool: UInt32, of exchange: UInt32) -> UInt32 {
        let index = exchanges[exchange].downstream
        guard downstreams[index].shortcut.legCount > 0 else { return .max }
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            if upstream != .max, upstreams[upstream].pool == pool { return upstream }
        }
        return .max
    }

    /// Keeps a connection, on which a response has ended cleanly, for its client's next requests. False: it cannot be.
    mutating func attachLeg(_ upstream: UInt32, to index: UInt32) -> Bool {
        let pool = Int(upstreams[upstream].pool)
        let cluster = pools[pool].cluster
        guard let shortcuts, !isDraining, !pools[pool].isRetired, cluster >= 0,
            upstreams[upstream].tunnelSource == 0, downstreams[index].shortcut.legCount < DownstreamShortcut.capacity,
            let place = shortcuts.place(downstreams[index].shortcut.table, downstreams[index].shortcut.generation),
            let ordinal = place.clusters.firstIndex(of: cluster),
            legCount(of: index, to: cluster) < ClusterState.spread
        else { return false }
        if upstreams[upstream].isReadable {
            guard Sockets.isQuiet(upstreams[upstream].descriptor) else { return false }
            upstreams[upstream].isReadable = false
        }
        if upstreams[upstream].cookie == 0 {
            upstreams[upstream].cookie = weft_socket_cookie(upstreams[upstream].descriptor)
            guard upstreams[upstream].cookie != 0 else { return false }
        }
        var number = 0
        while downstreams[index].shortcut.legs[number] != .max { number += 1 }
        upstreams[upstream].leg = UInt8(number)
        guard
            shortcuts.memory.attach(
                shortcutLeg(upstream, cluster: cluster, ordinal: UInt8(ordinal)),
                to: downstreams[index].shortcut.client)
        else { return false }
        upstreams[upstream].served &+= 1
        upstreams[upstream].exchange = .max
        upstreams[upstream].progress = HeadProgress()
        upstreams[upstream].client = index
        upstreams[upstream].straightResponses = 0
        buffers.give(&upstreams[upstream].input)
        downstreams[index].shortcut.legs[number] = upstream
        downstreams[index].shortcut.legCount += 1
        if !upstreams[upstream].isHeld { downstreams[index].shortcut.areLegsHeld = false }
        return true
    }

    private func legCount(of index: UInt32, to cluster: Int) -> Int {
        var count = 0
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            if upstream != .max, pools[Int(upstreams[upstream].pool)].cluster == cluster { count += 1 }
        }
        return count
    }

    private func shortcutLeg(_ upstream: UInt32, cluster: Int, ordinal: UInt8) -> ShortcutLeg {
        let generation = generations.current
        return ShortcutLeg(
            cookie: upstreams[upstream].cookie, number: Int(upstreams[upstream].leg), cluster: ordinal,
            service: generations[generation].clusterFacts[cluster].service,
            destination: endpoint(of: upstreams[upstream].pool, in: cluster)
                .map { generations[generation].destination(cluster, $0) } ?? 0,
            taken: upstreams[upstream].taken)
    }

    /// The endpoint of the current generation that a pool is of.
    private func endpoint(of pool: UInt32, in cluster: Int) -> EndpointIndex? {
        let generation = generations.current
        let identity = pools[Int(pool)].identity
        return generations[generation].clusters.set.clusters[cluster].endpoints
            .firstIndex { $0.identity == identity }.map { EndpointIndex($0) }
    }

    /// Makes a leg a connection like others. The word is the worker's, or nothing is awaited from the leg.
    mutating func detachLeg(_ upstream: UInt32) {
        let index = upstreams[upstream].client
        guard index != .max else { return }
        let number = Int(upstreams[upstream].leg)
        creditResponses(upstream)
        shortcuts?.memory.detach(number, upstreams[upstream].cookie, from: downstreams[index].shortcut.client)
        downstreams[index].shortcut.legs[number] = .max
        downstreams[index].shortcut.legCount -= 1
        upstreams[upstream].client = .max
    }

    /// Tells the balancer of the responses that went straight over a leg.
    private mutating func creditResponses(_ upstream: UInt32) {
        guard let memory = shortcuts?.memory else { return }
        let (count, latency) = memory.responses(upstreams[upstream].cookie)
        guard count > upstreams[upstream].straightResponses else { return }
        upstreams[upstream].straightResponses = count
        let pool = upstreams[upstream].pool
        let cluster = pools[Int(pool)].cluster
        guard cluster >= 0, let endpoint = endpoint(of: pool, in: cluster) else { return }
        let generation = generations.current
        generations[generation].clusters[cluster].began(endpoint)
        generations[generation].clusters[cluster].finished(
            endpoint, EndpointOutcome(status: 200, latency: latency / count), now: now)
    }

    /// Gives a connection's legs their places in another table; those that have none in it are closed.
    mutating func arrangeLegs(_ index: UInt32, _ place: ShortcutTables.Place) {
        guard let memory = shortcuts?.memory else { return }
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            guard upstream != .max else { continue }
            let pool = Int(upstreams[upstream].pool)
            let cluster = pools[pool].cluster
            if !pools[pool].isRetired, cluster >= 0, let ordinal = place.clusters.firstIndex(of: cluster),
                let endpoint = endpoint(of: upstreams[upstream].pool, in: cluster),
                generations[generations.current].clusters[cluster].isUsable(endpoint)
            {
                creditResponses(upstream)
                upstreams[upstream].straightResponses = 0
                // Its place is its own already.
                _ = memory.attach(
                    shortcutLeg(upstream, cluster: cluster, ordinal: UInt8(ordinal)),
                    to: downstreams[index].shortcut.client)
            } else {
                detachLeg(upstream)
                park(upstream)
            }
        }
    }

    /// Closes legs to endpoints that the current configuration does not have.
    mutating func dropLegs() {
        guard shortcuts != nil else { return }
        for upstream in 0..<upstreams.limit where upstreams.isLive(upstream) {
            let index = upstreams[upstream].client
            guard index != .max, pools[Int(upstreams[upstream].pool)].isRetired else { continue }
            // What is under way ends by itself; the next request is the worker's.
            guard takeBack(index) else { continue }
            closeUpstream(upstream)
        }
    }

    /// Closes legs that are of no use to the programs; others are opened in their place.
    mutating func closeUnfitLegs(_ index: UInt32) {
        guard let memory = shortcuts?.memory, downstreams[index].shortcut.legCount > 0 else { return }
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            if upstream != .max, memory.isUnfit(upstreams[upstream].cookie) { closeUpstream(upstream) }
        }
    }

    /// Leaves out endpoints that a request's connection has legs to already, as long as there are more that answer: so it
    /// soon has them all.
    func leaveOutLegs(_ excluded: inout TriedEndpoints, of exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let cluster = exchanges[exchange].cluster
        guard downstreams[index].shortcut.legCount > 0, exchanges[exchange].generation == generations.current,
            let endpoints = generations[generations.current].clusters[cluster].evenEndpoints(now: now),
            legCount(of: index, to: cluster) < endpoints
        else { return }
        var known = excluded
        for number in 0..<DownstreamShortcut.capacity {
            let upstream = downstreams[index].shortcut.legs[number]
            guard upstream != .max, pools[Int(upstreams[upstream].pool)].cluster == cluster,
                let endpoint = endpoint(of: upstreams[upstream].pool, in: cluster)
            else { continue }
            known.insert(endpoint)
        }
        if generations[generations.current].clusters[cluster].hasOther(than: known, now: now) { excluded = known }
    }

    // MARK: What legs say

    /// A leg can be read from: a response that the programs have left to the worker, or its end.
    mutating func legSpeaks(_ upstream: UInt32) {
        let index = upstreams[upstream].client
        guard let memory = shortcuts?.memory else { return }
        // An event may be about what was read before.
        if !upstreams[upstream].hasEnding, Sockets.isQuiet(upstreams[upstream].descriptor) {
            upstreams[upstream].isReadable = false
            return
        }
        let client = downstreams[index].shortcut.client
        let leg = upstreams[upstream].leg
        guard downstreams[index].shortcut.isOffered else {
            closeUpstream(upstream)
            return
        }
        let word = memory.word(client)
        if word.isAwaiting, word.isLeft, memory.progress(client).leg == Int(leg) {
            takeOver(index, upstream)
        } else if !word.isAwaiting, takeBack(index) {
            closeUpstream(upstream)
        } else if memory.progress(client).leg == Int(leg) {
            // The program that has sent the last of a response may not have said so yet.
            downstreams[index].shortcut.suspect = leg
            wheel.set(TimerID.downstream(index), tick + Self.suspicion)
        } else {
            // Another leg answers.
            closeUpstream(upstream)
        }
    }

    /// Looks again at a connection one of whose legs has spoken while its response was awaited.
    mutating func judgeLeg(_ index: UInt32) {
        let leg = downstreams[index].shortcut.suspect
        downstreams[index].shortcut.suspect = DownstreamShortcut.none
        guard let memory = shortcuts?.memory else { return }
        let client = downstreams[index].shortcut.client
        wheel.set(TimerID.downstream(index), tick + options.keepAliveTimeout)
        let upstream = downstreams[index].shortcut.legs[Int(leg) & (DownstreamShortcut.capacity - 1)]
        let word = memory.word(client)
        let isAwaited = word.isAwaiting && memory.progress(client).leg == Int(leg)
        guard upstream != .max, upstreams[upstream].hasEnding || !Sockets.isQuiet(upstreams[upstream].descriptor) else {
            return
        }
        if !isAwaited {
            // It had answered, and has ended since then.
            if word.isAwaiting || takeBack(index) { closeUpstream(upstream) }
        } else if word.isLeft {
            takeOver(index, upstream)
        } else if word.isAnswering {
            // A FIN would make a response that ends with the connection look complete.
            downstreams[index].hasFailed = true
            closeDownstream(index)
        } else if memory.change(client, from: word, to: .ofAgent) {
            takeOver(index, upstream)
        } else {
            downstreams[index].shortcut.suspect = leg
            wheel.set(TimerID.downstream(index), tick + Self.suspicion)
        }
    }

    /// Goes on with a request that the programs have sent, and whose response comes here from its first byte on, if one
    /// comes.
    private mutating func takeOver(_ index: UInt32, _ upstream: UInt32) {
        guard let memory = shortcuts?.memory, generations.current >= 0 else { return }
        let client = downstreams[index].shortcut.client
        let progress = memory.progress(client)
        let word = memory.word(client)
        _ = memory.change(client, from: word, to: .ofAgent)
        downstreams[index].shortcut.isOffered = false
        downstreams[index].shortcut.isWaiting = false
        downstreams[index].shortcut.suspect = DownstreamShortcut.none
        countTakenOver(index, progress)
        let pool = upstreams[upstream].pool
        let cluster = pools[Int(pool)].cluster
        detachLeg(upstream)
        var head = RequestHead()
        if progress.isHead { head.method = .head }
        let generation = generations.current
        var exchange = Exchange(downstream: index, request: head, generation: generation, tick: tick)
        exchange.record.take(downstreams[index])
        exchange.record.service = downstreams[index].service
        exchange.record.started = progress.started
        exchange.record.attempts = 1
        exchange.decision = RouteDecision(.forward)
        exchange.attemptStarted = progress.started
        exchange.hasSent = true
        exchange.requestBody = MessageBody(received: progress.requestBody)
        exchange.keepsBody = false
        exchange.isAdmitted = true
        guard let place = exchanges.insert(exchange) else {
            closeUpstream(upstream)
            downstreams[index].hasFailed = true
            closeDownstream(index)
            return
        }
        generations[generation].users += 1
        if cluster >= 0, let endpoint = endpoint(of: pool, in: cluster) {
            exchanges[place].cluster = cluster
            exchanges[place].endpoint = endpoint
            exchanges[place].record.service = generations[generation].clusterFacts[cluster].service
            exchanges[place].record.destination = generations[generation].destination(cluster, endpoint)
            generations[generation].clusters[cluster].began(endpoint)
        } else {
            // Nothing is learnt of an endpoint that is gone.
            exchanges[place].cluster = max(0, cluster)
        }
        downstreams[index].phase = .exchanging
        downstreams[index].exchange = place
        downstreams[index].progress = HeadProgress()
        wheel.clear(TimerID.downstream(index))
        exchanges[place].upstream = upstream
        upstreams[upstream].exchange = place
        statistics.add(.requestsActive, 1)
        armTimer(place)
        _ = pumpResponse(place)
    }

    /// The programs have taken the request, and the worker counts it.
    private mutating func countTakenOver(_ index: UInt32, _ progress: ShortcutProgress) {
        let fresh = progress.requests &- downstreams[index].shortcut.requests
        downstreams[index].shortcut.requests = progress.requests
        guard fresh > 0 else { return }
        downstreams[index].shortcut.fruitless = 0
        downstreams[index].requests.count &+= UInt32(truncatingIfNeeded: fresh - 1)
        statistics.add(.shortcutRequests, Int64(fresh - 1))
    }
}
