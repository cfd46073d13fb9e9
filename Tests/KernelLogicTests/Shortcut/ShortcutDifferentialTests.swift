import Proxy
import Testing
import WeftABI

/// bpf/lib/shortcut.h against the proxy's own parsers: a head that the program understands is one that the proxy would have
/// sent on as it is, and means the same to it.
@Suite("Heads read by the shortcut and by the proxy")
struct ShortcutDifferentialTests {
    /// Heads that are not changed: as many as are accepted show that something is compared.
    private static let bases = 4_000
    private static let changesOfEach = 25

    @Test("Requests: 300,000 heads", arguments: [1, 2, 3]) func requests(seed: UInt64) {
        var heads = HostileHeads(seed: seed)
        let reader = ShortcutReader()
        var proxy = ProxyReading()
        var plain = 0
        var changed = 0
        for _ in 0..<Self.bases {
            let base = heads.request()
            if reader.reads(base, .request) { plain += 1 }
            for _ in 0..<Self.changesOfEach {
                let (bytes, count) = message(heads.mutated(base), &heads)
                guard reader.reads(bytes, .request, count: count) else { continue }
                changed += 1
                let message = count == bytes.count ? bytes : Array(bytes[..<count])
                if let fault = proxy.fault(message, ofRequest: reader) {
                    Issue.record("\(fault): \(String(decoding: message, as: UTF8.self).debugDescription)")
                    return
                }
            }
        }
        #expect(plain > Self.bases / 2)
        #expect(changed > Self.bases * Self.changesOfEach / 8)
    }

    @Test("Responses: 150,000 heads", arguments: [4, 5, 6]) func responses(seed: UInt64) {
        var heads = HostileHeads(seed: seed)
        let reader = ShortcutReader()
        var proxy = ProxyReading()
        var changed = 0
        for round in 0..<Self.bases / 2 {
            let base = heads.response()
            for _ in 0..<Self.changesOfEach {
                let (bytes, count) = message(heads.mutated(base), &heads)
                guard reader.reads(bytes, .response, count: count) else { continue }
                changed += 1
                let message = count == bytes.count ? bytes : Array(bytes[..<count])
                if let fault = proxy.fault(message, ofResponse: reader, to: round % 4 == 0 ? .head : .get) {
                    Issue.record("\(fault): \(String(decoding: message, as: UTF8.self).debugDescription)")
                    return
                }
            }
        }
        #expect(changed > Self.bases * Self.changesOfEach / 16)
    }

    @Test("Chunks: 100,000 bodies", arguments: [7, 8]) func chunks(seed: UInt64) {
        var bodies = HostileHeads(seed: seed)
        let reader = ShortcutReader()
        let proxy = ProxyReading()
        var taken = 0
        for _ in 0..<Self.bases / 2 {
            let base = bodies.chunks()
            for _ in 0..<Self.changesOfEach {
                var bytes = bodies.mutated(base)
                if bodies.random(8) == 0 { bytes.removeLast(min(bytes.count, bodies.random(5))) }
                guard let content = reader.content(ofChunks: bytes, from: 0) else { continue }
                taken += 1
                if let fault = proxy.fault(bytes, content: content) {
                    Issue.record("\(fault): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
                    return
                }
            }
        }
        #expect(taken > Self.bases * Self.changesOfEach / 10)
    }

    /// What a message has of these bytes: all, with a body or another request behind them; or their beginning, with the
    /// rest of them in the window all the same, from an earlier message.
    private func message(_ head: [UInt8], _ heads: inout HostileHeads) -> (bytes: [UInt8], count: Int) {
        switch heads.random(8) {
        case 0:
            let both = head + Array("GET /b HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
            return (both, both.count)
        case 1: return (head + [UInt8](repeating: 0x78, count: 5), head.count + 5)
        case 2: return (head, heads.random(head.count + 1))
        default: return (head, head.count)
        }
    }

    @Test("Every byte in every place of a head") func everyByte() {
        let reader = ShortcutReader()
        var proxy = ProxyReading()
        let request = Array(
            "POST /a/b?c=d HTTP/1.1\r\nHost: web:80\r\nConnection: keep-alive\r\nX-A: b c\r\nContent-Length: 5\r\n\r\nhello"
                .utf8)
        let response = Array("HTTP/1.1 200 OK\r\nServer: a b\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nhello".utf8)
        let chunks = Array("5\r\nhello\r\n0B\r\n, again: yo\r\n0\r\n\r\n".utf8)
        #expect(reader.reads(request, .request) && reader.reads(response, .response))
        #expect(reader.content(ofChunks: chunks, from: 0) == 16)
        for byte in UInt8.min...UInt8.max {
            for place in request.indices {
                var bytes = request
                bytes[place] = byte
                guard reader.reads(bytes, .request), let fault = proxy.fault(bytes, ofRequest: reader) else { continue }
                Issue.record("\(byte) at \(place) of the request: \(fault)")
            }
            for place in chunks.indices {
                var bytes = chunks
                bytes[place] = byte
                guard let content = reader.content(ofChunks: bytes, from: 0),
                    let fault = proxy.fault(bytes, content: content)
                else { continue }
                Issue.record("\(byte) at \(place) of the chunks: \(fault)")
            }
            for place in response.indices {
                var bytes = response
                bytes[place] = byte
                guard reader.reads(bytes, .response), let fault = proxy.fault(bytes, ofResponse: reader, to: .get)
                else {
                    continue
                }
                Issue.record("\(byte) at \(place) of the response: \(fault)")
            }
        }
    }

    /// The window is never clean: what is behind the bytes of a message must not end its head for it.
    @Test("Beginnings of heads, whatever is behind them in the window", arguments: ["\r\n", "a", ":", " ", "0", "\r"])
    func beginnings(rest: String) {
        let reader = ShortcutReader()
        let request = Array("PUT /a?b HTTP/1.1\r\nHost: web\r\nX-A: b\r\nContent-Length: 5\r\n\r\n".utf8)
        let response = Array("HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\n\r\n".utf8)
        for (head, kind) in [(request, ShortcutReader.Kind.request), (response, .response)] {
            for count in head.indices {
                reader.soil(Array(rest.utf8))
                #expect(!reader.reads(head, kind, count: count))
                // The rest of the head itself.
                _ = reader.reads(head, kind)
                #expect(!reader.reads(head, kind, count: count))
            }
            reader.soil(Array(rest.utf8))
            #expect(reader.reads(head, kind))
        }
    }
}
