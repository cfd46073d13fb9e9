import Glibc

extension Worker {
    mutating func collectMail() {
        for item in mailbox.collect() {
            switch item {
            case .open(let id, let descriptor, let kind): openListener(id, descriptor, kind)
            case .close(let id): closeListeners { $0.id == id }
            case .drain: drain()
            case .stop: isStopping = true
            }
        }
    }

    private mutating func openListener(_ id: ListenerID, _ descriptor: CInt, _ kind: ListenerKind) {
        let index = UInt32(listeners.count)
        var pool: UInt32 = 0
        if case .relay(let endpoint) = kind {
            pool = UInt32(pools.count)
            pools.append(UpstreamPool(endpoint: endpoint))
        }
        listeners.append(WorkerListener(descriptor: descriptor, id: id, kind: kind, pool: pool))
        _ = poller.addSource(descriptor, EventToken(kind: .listener, index: index, generation: 0))
    }

    private mutating func closeListeners(where isChosen: (WorkerListener) -> Bool) {
        for index in listeners.indices where listeners[index].isOpen && isChosen(listeners[index]) {
            listeners[index].isOpen = false
            close(listeners[index].descriptor)
        }
    }

    private mutating func drain() {
        isDraining = true
        closeListeners { _ in true }
        for index in 0..<upstreams.limit where upstreams.isLive(index) && upstreams[index].isIdle {
            closeUpstream(index)
        }
        for index in 0..<downstreams.limit where downstreams.isLive(index) {
            if downstreams[index].phase == .reading, !downstreams[index].input.hasChunk { closeDownstream(index) }
        }
    }
}
