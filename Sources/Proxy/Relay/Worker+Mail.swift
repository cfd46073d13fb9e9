import Glibc

// What other threads want.
extension Worker {
    mutating func collectMail() {
        for item in mailbox.collect() {
            switch item {
            case .open(let id, let descriptor, let kind): openListener(id, descriptor, kind)
            case .close(let id): closeListeners { $0.id == id }
            case .adopt(let configuration): pendingConfiguration = configuration
            case .adoptTunnels(let table): pendingTunnels = table
            case .dial(let descriptor, let endpoint, let isProbe):
                dialTunnel(descriptor, endpoint, isProbe: isProbe)
            case .adoptTrust(let material): pendingTrust = material
            case .checked(let reply): conclude(reply)
            case .inherit(let inheritance): inherit(inheritance)
            case .drain(let leavesShortcuts): drain(leavesShortcuts: leavesShortcuts)
            case .stop: isStopping = true
            }
        }
    }

    mutating func adoptPending() {
        let isNewPolicy = pendingConfiguration != nil
        if let configuration = pendingConfiguration {
            pendingConfiguration = nil
            adopt(configuration)
        }
        if let material = pendingTrust {
            pendingTrust = nil
            adopt(material)
        }
        guard isNewPolicy || pendingTunnels != nil else { return }
        reconsiderTunnels(pendingTunnels)
        pendingTunnels = nil
    }

    private mutating func openListener(_ id: ListenerID, _ descriptor: CInt, _ kind: ListenerKind) {
        let listener = WorkerListener(descriptor: descriptor, id: id, kind: kind)
        let index: UInt32
        if let free = listeners.firstIndex(where: { !$0.isOpen && $0.connections == 0 }) {
            listeners[free] = listener
            index = UInt32(free)
        } else {
            index = UInt32(listeners.count)
            listeners.append(listener)
        }
        guard poller.addSource(descriptor, EventToken(kind: .listener, index: index, generation: 0)) else {
            // Closed, so that the kernel gives its connections to the other workers.
            statistics.add(.downstreamRefused)
            listeners[Int(index)].isOpen = false
            close(descriptor)
            return
        }
    }

    private mutating func closeListeners(where isChosen: (WorkerListener) -> Bool) {
        for index in listeners.indices where listeners[index].isOpen && isChosen(listeners[index]) {
            listeners[index].isOpen = false
            close(listeners[index].descriptor)
        }
    }

    private mutating func drain(leavesShortcuts: Bool) {
        isDraining = true
        closeListeners { _ in true }
        for index in 0..<upstreams.limit where upstreams.isLive(index) && upstreams[index].isIdle {
            closeUpstream(index)
        }
        drainTunnels()
        for index in 0..<downstreams.limit where downstreams.isLive(index) {
            guard downstreams[index].phase == .reading, downstreams[index].isBetweenRequests else { continue }
            if leavesShortcuts, leaveToNext(index) { continue }
            if takeBack(index) { closeDownstream(index) }
        }
    }
}
