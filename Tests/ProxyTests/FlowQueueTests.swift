import Glibc
import Proxy
import Testing

@Suite struct FlowQueueTests {
    private func flow(_ number: UInt64, _ event: TunnelFlow.Event = .closed) -> TunnelFlow {
        let nowhere = ClientAddress(high: 0, low: 0, port: 0)
        var flow = TunnelFlow(client: nowhere, target: nowhere, started: number, ended: number + 1)
        flow.event = event
        return flow
    }

    private func push(_ queue: FlowQueue, _ flow: TunnelFlow, peer: String = "", rule: String = "") {
        let (peer, rule) = (Array(peer.utf8), Array(rule.utf8))
        queue.push(flow, peer: unsafe peer.span.bytes, rule: unsafe rule.span.bytes)
    }

    private static func text(_ bytes: RawSpan) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    private func isAwake(_ queue: FlowQueue) -> Bool {
        var polled = pollfd(fd: queue.wakeup, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 0) == 1
    }

    @Test func recordsComeInOrderAndWhatFindsNoRoomIsCounted() {
        let queue = FlowQueue(capacity: 8)
        for round in 0..<5 as Range<UInt64> {
            for number in 0..<11 as Range<UInt64> {
                push(queue, flow(round * 100 + number), peer: "p\(number)", rule: "r\(round)")
            }
            var seen: [UInt64] = []
            let first = queue.drain(limit: 3) { entry in
                seen.append(entry.flow.started)
                #expect(Self.text(entry.peer) == "p\(entry.flow.started % 100)")
                #expect(Self.text(entry.rule) == "r\(round)")
            }
            #expect(first == 3)
            #expect(queue.drain { seen.append($0.flow.started) } == 5)
            #expect(seen == (0..<8).map { round * 100 + $0 })
            #expect(queue.lost == 3 * (round + 1))
        }
    }

    @Test func textsAreCut() {
        let queue = FlowQueue(capacity: 2)
        push(queue, flow(1), peer: String(repeating: "p", count: 5000), rule: String(repeating: "r", count: 5000))
        _ = queue.drain { entry in
            #expect(Set(Self.text(entry.peer)) == ["p"] && entry.peer.byteCount >= 600)
            #expect(Set(Self.text(entry.rule)) == ["r"] && entry.rule.byteCount >= 200)
            #expect(entry.flow.ended == 2)
        }
    }

    /// The reader looks regularly; it is woken for what does not wait.
    @Test func theReaderIsWokenForRefusalsAndWhenRoomGetsScarce() {
        let queue = FlowQueue(capacity: 8)
        for number in 0..<4 as Range<UInt64> { push(queue, flow(number)) }
        #expect(!isAwake(queue))
        push(queue, flow(4))
        #expect(isAwake(queue))
        _ = queue.drain { _ in }
        #expect(!isAwake(queue))
        push(queue, flow(5, .denied))
        #expect(isAwake(queue))
    }
}
