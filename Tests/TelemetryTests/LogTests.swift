import Glibc
import Logging
import Testing

@testable import Telemetry

@Suite struct LogTests {
    /// What a logger with this format writes.
    private func lines(_ format: LogFormat, _ body: (inout Logger) -> Void) -> String {
        var pipes: [Int32] = [-1, -1]
        guard unsafe pipe(&pipes) == 0 else { return "" }
        let handler = LineLogHandler(label: "weft.test", format: format, descriptor: pipes[1])
        var logger = Logger(label: "weft.test") { _ in handler }
        body(&logger)
        close(pipes[1])
        defer { close(pipes[0]) }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe read(pipes[0], &buffer, buffer.count)
        return String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
    }

    @Test func jsonLinesAreOneObjectEach() {
        let text = lines(.json) { logger in
            logger[metadataKey: "node"] = "a"
            logger.debug("not this")
            logger.warning("a \"b\"\n\u{1}", metadata: ["file": "x.yaml", "level": "own"])
        }
        #expect(text.hasPrefix(#"{"time":"20"#))
        #expect(
            text.hasSuffix(
                #"Z","level":"warning","logger":"weft.test","message":"a \"b\"\n\u0001","file":"x.yaml","_level":"own","node":"a"}"#
                    + "\n"))
        #expect(text.utf8.filter { $0 == 0x0a }.count == 1)
    }

    @Test func textLinesStayOneLine() {
        let text = lines(.text) { $0.error("two\nlines\u{1b}[31m", metadata: ["path": "a b", "n": "1"]) }
        #expect(text.hasSuffix("Z error weft.test: two lines [31m n=1 path=\"a b\"\n"))
    }

    @Test func repeatedMessagesAreHeldBackAndCounted() {
        var limiter = LogLimiter(interval: .seconds(10))
        #expect(limiter.admit("a", now: 0) == 0)
        for time in UInt64(1)...5 { #expect(limiter.admit("a", now: time * second) == nil) }
        #expect(limiter.admit("b", now: 5 * second) == 0)
        #expect(limiter.admit("a", now: 10 * second) == 5)
        #expect(limiter.admit("a", now: 20 * second) == 0)
    }
}
