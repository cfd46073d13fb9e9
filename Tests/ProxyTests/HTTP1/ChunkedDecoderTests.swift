import Proxy
import Testing

@Suite struct ChunkedDecoderTests {
    struct Decoded: Equatable {
        var event: ChunkedDecoder.Event
        var content: [UInt8] = []
        /// Bytes of the message.
        var consumed = 0
    }

    /// Decodes `bytes` cut at `cuts`.
    static func decode(_ bytes: [UInt8], cuts: [Int] = []) -> Decoded {
        var decoder = ChunkedDecoder()
        var decoded = Decoded(event: .needMore)
        var start = 0
        for end in cuts + [bytes.count] {
            let piece = Array(bytes[start..<end])
            let span = unsafe piece.span.bytes
            var position = 0
            reading: while true {
                decoded.event = decoder.next(in: span, at: &position)
                switch decoded.event {
                case .data(let range): decoded.content += piece[range]
                case .needMore:
                    #expect(position == piece.count)
                    break reading
                case .end, .failed:
                    decoded.consumed = start + position
                    #expect(decoder.isComplete == (decoded.event == .end))
                    return decoded
                }
            }
            start = end
        }
        decoded.consumed = start
        return decoded
    }

    static func decode(_ text: String) -> Decoded { decode(latin1(text)) }

    struct Refusal: CustomTestStringConvertible {
        var text: String
        var error: ChunkError
        var testDescription: String { text.debugDescription }

        init(_ text: String, _ error: ChunkError) {
            self.text = text
            self.error = error
        }
    }

    static let refusals = [
        // Sizes.
        Refusal("0x5\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("+5\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("-5\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("5_0\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("_5\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal(" 5\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("5 \r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("5\t\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("5 ;a=b\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal(";a\r\nabcde\r\n0\r\n\r\n", .invalidSize),
        Refusal("g\r\n", .invalidSize),
        Refusal("5h\r\n", .invalidSize),
        Refusal("\u{0}5\r\n", .invalidSize),
        Refusal("5\u{0}\r\n", .invalidSize),
        Refusal("5\u{a0}\r\n", .invalidSize),
        Refusal("8000000000000000\r\n", .sizeTooLarge),
        Refusal("ffffffffffffffff\r\n", .sizeTooLarge),
        Refusal("10000000000000005\r\n", .sizeTooLarge),
        Refusal("00000000000000005\r\n", .sizeTooLarge),
        Refusal("5\nabcde\r\n0\r\n\r\n", .bareLineFeed),
        Refusal("5\rabcde\r\n0\r\n\r\n", .bareCarriageReturn),
        Refusal("5\r\r\nabcde\r\n0\r\n\r\n", .bareCarriageReturn),
        // Extensions.
        Refusal("5;a\nabcde\r\n0\r\n\r\n", .bareLineFeed),
        Refusal("5;a\rb\r\nabcde\r\n0\r\n\r\n", .bareCarriageReturn),
        Refusal("5;a=\"\r\n\"\r\nabcde\r\n0\r\n\r\n", .missingLineEnd),
        Refusal("5;\u{0}\r\n", .invalidExtension),
        Refusal("5;\u{7f}\r\n", .invalidExtension),
        Refusal("5;" + String(repeating: "a", count: 4096) + "\r\n", .extensionsTooLarge),
        Refusal(
            String(repeating: "1;" + String(repeating: "a", count: 99) + "\r\nx\r\n", count: 41), .extensionsTooLarge),
        // The end of a chunk's content.
        Refusal("5\r\nabcdef\r\n0\r\n\r\n", .missingLineEnd),
        Refusal("5\r\nabcde0\r\n\r\n", .missingLineEnd),
        Refusal("5\r\nabcde\n0\r\n\r\n", .missingLineEnd),
        Refusal("5\r\nabcde\r0\r\n\r\n", .missingLineEnd),
        Refusal("5\r\nabcd\r\n0\r\n\r\n", .missingLineEnd),
        // Trailers.
        Refusal("0\r\nA\r\n\r\n", .invalidTrailer),
        Refusal("0\r\n: b\r\n\r\n", .invalidTrailer),
        Refusal("0\r\n A: b\r\n\r\n", .invalidTrailer),
        Refusal("0\r\nA : b\r\n\r\n", .invalidTrailer),
        Refusal("0\r\nA: b\r\n c\r\n\r\n", .invalidTrailer),
        Refusal("0\r\nA: \u{0}\r\n\r\n", .invalidTrailer),
        Refusal("0\r\nA\u{e9}: b\r\n\r\n", .invalidTrailer),
        Refusal("0\r\nA: b\n\r\n", .bareLineFeed),
        Refusal("0\r\n\n", .bareLineFeed),
        Refusal("0\n\r\n", .bareLineFeed),
        Refusal("0\r\nA: b\rc\r\n\r\n", .bareCarriageReturn),
        Refusal("0\r\n\rGET", .bareCarriageReturn),
        Refusal("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer),
        Refusal("0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n", .forbiddenTrailer),
        Refusal("0\r\nHOST: a\r\n\r\n", .forbiddenTrailer),
        Refusal("0\r\nAuthorization: a\r\n\r\n", .forbiddenTrailer),
        Refusal("0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n", .forbiddenTrailer),
        Refusal("0\r\nA: " + String(repeating: "b", count: 9000), .trailersTooLarge),
        Refusal("0\r\n" + String(repeating: "A: b\r\n", count: 1400), .trailersTooLarge),
    ]

    @Test(arguments: refusals)
    func isRefused(_ refusal: Refusal) {
        let bytes = latin1(refusal.text)
        #expect(Self.decode(bytes).event == .failed(refusal.error))
        #expect(Self.decode(bytes, cuts: Array(1..<bytes.count)).event == .failed(refusal.error))
    }

    @Test(arguments: [
        ("0\r\n\r\n", ""), ("5\r\nabcde\r\n0\r\n\r\n", "abcde"), ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n00000\r\n\r\n", "0123456789"), ("00000001\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
        ("3;a;b=c;d=\"e f\"\r\n\r\n\n\r\n0;x\r\n\r\n", "\r\n\n"), ("2\r\n0\r\r\n0\r\n\r\n", "0\r"),
        ("1\r\na\r\n0\r\nDigest: x\r\nServer-Timing:\u{e9}\t \r\n\r\n", "a"),
    ])
    func isDecodedHoweverItIsCut(_ text: String, _ content: String) {
        let bytes = latin1(text)
        let expected = ChunkedDecoderTests.Decoded(event: .end, content: latin1(content), consumed: bytes.count)
        #expect(Self.decode(bytes) == expected)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                #expect(Self.decode(bytes, cuts: [first, second]) == expected)
            }
        }
        // What follows belongs to the next message.
        for rest in ["GET / HTTP/1.1\r\n", "\r\n", "0\r\n\r\n", "\0"] {
            #expect(Self.decode(bytes + latin1(rest)) == expected)
        }
        // Nothing less is the whole.
        for length in 0..<bytes.count {
            #expect(Self.decode(Array(bytes[..<length])).event == .needMore)
        }
    }

    @Test func contentIsNotCopied() {
        var decoder = ChunkedDecoder()
        let bytes = latin1("5\r\nabcde\r\n0\r\n\r\n")
        var position = 0
        let span = unsafe bytes.span.bytes
        #expect(decoder.next(in: span, at: &position) == .data(3..<8))
        #expect(decoder.next(in: span, at: &position) == .end)
        #expect(decoder.next(in: span, at: &position) == .end)
        #expect(position == bytes.count)
    }

    @Test func hugeChunksAreNotTrusted() {
        #expect(Self.decode("7fffffffffffffff\r\nabc").content == latin1("abc"))
    }

}
