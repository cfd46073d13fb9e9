import CLinux
import Glibc

// Clients' connections: taking them, and reading requests from them.
extension Worker {
    mutating func acceptConnections(_ index: UInt32) {
        guard listeners.indices.contains(Int(index)), listeners[Int(index)].isOpen else { return }
        let listener = listeners[Int(index)].descriptor
        // A bound for one turn, so that connections at hand get their share; the listener is level-triggered.
        for _ in 0..<64 {
            var peer = weft_endpoint()
            let descriptor = Sockets.accept(listener, peer: &peer)
            guard descriptor >= 0 else {
                // Level-triggered: what cannot be taken would be reported again and again.
                if Sockets.isShortage(descriptor), -descriptor != EAGAIN { rest(index) }
                return
            }
            take(descriptor, from: index, ClientAddress(peer))
        }
    }

    /// A connection of a listener goes to where its kind belongs.
    private mutating func take(_ descriptor: CInt, from listener: UInt32, _ peer: ClientAddress) {
        let downstream: Downstream
        switch listeners[Int(listener)].kind {
        case .tunnel:
            acceptTunnel(descriptor, listener, peer)
            return
        case .service(let service):
            var taken = Downstream(
                descriptor: descriptor, listener: listener, peer: peer, local: Sockets.localAddress(descriptor))
            taken.service = service
            downstream = taken
        case .captured:
            guard let origin = origins(descriptor) else {
                // None that the proxy knows the purpose of.
                statistics.add(.downstreamRefused)
                Sockets.reset(descriptor)
                return
            }
            if origin.lane == .tunnel {
                openCaptured(descriptor, origin, client: peer)
                return
            }
            var taken = Downstream(descriptor: descriptor, listener: listener, peer: peer, local: origin.destination)
            taken.service = origin.service
            taken.source = origin.source
            taken.startedAt = origin.startedAt
            taken.isInbound = origin.isInbound
            taken.shortcut.client = shortcutClient(origin)
            downstream = taken
        }
        guard let place = admit(downstream) else {
            Sockets.reset(descriptor)
            return
        }
        let client = downstream.shortcut.client
        if client != 0, shortcuts?.memory.begin(client) != true { downstreams[place].shortcut.client = 0 }
    }

    /// Gives a client's connection its place. nil: there is none left, and its descriptor is the caller's.
    mutating func admit(_ downstream: Downstream) -> UInt32? {
        guard let place = downstreams.insert(downstream) else {
            statistics.add(.downstreamRefused)
            return nil
        }
        let token = EventToken(kind: .downstream, index: place, generation: downstreams.generation(place))
        guard poller.addConnection(downstream.descriptor, token) else {
            statistics.add(.downstreamRefused)
            downstreams.remove(place)
            return nil
        }
        listeners[Int(downstream.listener)].connections += 1
        statistics.add(.downstreamOpened)
        statistics.add(.downstreamActive, 1)
        wheel.set(TimerID.downstream(place), tick + options.headTimeout)
        return place
    }

    private mutating func rest(_ index: UInt32) {
        poller.remove(listeners[Int(index)].descriptor)
        listeners[Int(index)].rests = true
        if listenersWake == 0 { listenersWake = tick + Self.listenerRest }
    }

    /// Listeners that had to rest are watched again.
    mutating func wakeListeners() {
        listenersWake = 0
        for index in listeners.indices where listeners[index].isOpen && listeners[index].rests {
            let token = EventToken(kind: .listener, index: UInt32(index), generation: 0)
            if poller.addSource(listeners[index].descriptor, token) {
                listeners[index].rests = false
            } else {
                listenersWake = tick + Self.listenerRest
            }
        }
    }

    mutating func downstreamEvent(_ index: UInt32, _ readiness: Readiness) {
        if readiness.wakesReader {
            downstreams[index].isReadable = true
            if readiness.hasEnding { downstreams[index].hasEnding = true }
            if readiness.contains(.error) { downstreams[index].hasFailed = true }
        }
        if readiness.contains(.writable) { downstreams[index].isWritable = true }
        switch downstreams[index].phase {
        case .reading: readRequest(index)
        case .exchanging:
            let exchange = downstreams[index].exchange
            if downstreams[index].hasEnding, !downstreams[index].hasFailed { noticeDeparture(exchange) }
            if downstreams[index].hasFailed {
                abandon(exchange)
            } else if exchanges[exchange].phase == .waiting {
                if tick >= exchanges[exchange].wakeup { resume(exchange) }
            } else if pumpRequest(exchange) {
                _ = pumpResponse(exchange)
            }
        case .flushing: flush(index)
        case .lingering: linger(index)
        }
    }

    /// Reads and starts the next request as far as there are bytes for it.
    mutating func readRequest(_ index: UInt32) {
        guard takeBack(index) else { return }
        while true {
            if downstreams[index].input.end > downstreams[index].input.start {
                var head = RequestHead()
                let input = downstreams[index].input
                let bytes = buffers.bytes(input, input.start, input.end)
                switch RequestParser.parse(
                    bytes, progress: &downstreams[index].progress, head: &head, fields: &reader.fields)
                {
                case .complete:
                    startExchange(index, head)
                    return
                case .failed(let error):
                    refuse(index, error)
                    return
                case .needMore: break
                }
            }
            guard downstreams[index].isReadable else {
                if downstreams[index].input.end == downstreams[index].input.start {
                    buffers.give(&downstreams[index].input)
                }
                return
            }
            guard makeRoomForHead(index) else {
                shed(index)
                return
            }
            let isFirst = downstreams[index].input.end == downstreams[index].input.start
            let room = buffers.room(downstreams[index].input)
            switch buffers.receive(downstreams[index].descriptor, into: &downstreams[index].input) {
            case .bytes(let count):
                if count < room, !downstreams[index].hasEnding { downstreams[index].isReadable = false }
                downstreams[index].shortcut.taken &+= UInt32(count)
                if isFirst { headStarts(index) }
            case .wouldBlock: downstreams[index].isReadable = false
            case .end, .failed:
                closeDownstream(index)
                return
            }
        }
    }

    /// The first byte of a head has come.
    private mutating func headStarts(_ index: UInt32) {
        downstreams[index].headStarted = now
        wheel.set(TimerID.downstream(index), tick + options.headTimeout)
    }

    /// False: at the ceiling of the memory.
    private mutating func makeRoomForHead(_ index: UInt32) -> Bool {
        guard downstreams[index].input.hasChunk else { return buffers.take(&downstreams[index].input) }
        guard buffers.room(downstreams[index].input) == 0 else { return true }
        if downstreams[index].input.start > 0 {
            buffers.compact(&downstreams[index].input)
            return true
        }
        // A head of the parser's limit always fits in a large chunk.
        return buffers.grow(&downstreams[index].input)
    }

    private mutating func startExchange(_ index: UInt32, _ head: RequestHead) {
        let generation = generations.current
        var exchange = Exchange(downstream: index, request: head, generation: generation, tick: tick)
        exchange.record.started = downstreams[index].headStarted
        exchange.record.minorVersion = head.minorVersion
        exchange.record.take(downstreams[index])
        // Until a cluster is chosen, which may be another service's.
        exchange.record.service = downstreams[index].service
        exchange.record.received = UInt64(downstreams[index].input.end - downstreams[index].input.start)
        exchange.closesDownstream = !head.isPersistent || isDraining
        // There are as many places as connections, and each has one request at a time.
        guard let place = exchanges.insert(exchange) else {
            shed(index)
            return
        }
        if generation >= 0 { generations[generation].users += 1 }
        downstreams[index].phase = .exchanging
        downstreams[index].exchange = place
        downstreams[index].progress = HeadProgress()
        wheel.clear(TimerID.downstream(index))
        let body = downstreams[index].input.start + UInt32(head.byteCount)
        downstreams[index].input.cursor = body
        downstreams[index].input.ready = body
        statistics.add(.requestsActive, 1)
        if downstreams[index].hasEnding { exchanges[place].departure = tick + Self.departureDelay }
        armTimer(place)
        guard receiveBody(place) else {
            reply(
                place, 400, .malformedRequest, .downstreamProtocolError, explanation: MessageBody.malformedText)
            return
        }
        route(place)
    }

    /// Counts what has arrived behind the head to the body. False: it is malformed.
    mutating func receiveBody(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        guard input.ready < input.end, !exchanges[exchange].requestBody.isComplete else { return true }
        guard let count = exchanges[exchange].requestBody.take(buffers.bytes(input, input.ready, input.end)) else {
            return false
        }
        downstreams[index].input.ready += UInt32(count)
        return true
    }
}
