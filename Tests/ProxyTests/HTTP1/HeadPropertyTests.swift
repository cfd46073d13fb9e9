import Proxy
import Testing

/// Properties that hold for every input, tried with seeded random ones.
@Suite struct HeadPropertyTests {
    /// A valid request, and what the parser has to make of it.
    private struct Valid {
        var text = ""
        var method: String
        var target: String
        var fields: [(name: String, value: String)] = []

        init(using random: inout SeededGenerator) {
            let methods = ["GET", "POST", "PUT", "M-SEARCH", "PROPFIND"]
            method = methods.randomElement(using: &random) ?? "GET"
            target = "/"
            for _ in 0..<Int.random(in: 0..<40, using: &random) {
                target.unicodeScalars.append(Self.visible(using: &random, except: "#"))
            }
            fields = [("Host", "a.example")]
            for _ in 0..<Int.random(in: 0..<20, using: &random) {
                var name = "X"
                for _ in 0..<Int.random(in: 0..<30, using: &random) {
                    name.append("abcXYZ019-_.~!#$%&'*+^`|".randomElement(using: &random) ?? "a")
                }
                var value = ""
                for _ in 0..<Int.random(in: 0..<60, using: &random) {
                    let isObsText = Int.random(in: 0..<10, using: &random) == 0
                    value.unicodeScalars.append(
                        isObsText
                            ? Unicode.Scalar(UInt8.random(in: 0x80...0xff, using: &random))
                            : Self.visible(using: &random, except: " "))
                }
                fields.append((name, value))
            }
            text = "\(method) \(target) HTTP/1.1\r\n"
            for field in fields {
                let spaces = ["", " ", "\t", "  \t "]
                text += "\(field.name):\(spaces.randomElement(using: &random) ?? "")\(field.value)"
                text += (spaces.randomElement(using: &random) ?? "") + "\r\n"
            }
            text += "\r\n"
        }

        private static func visible(using random: inout SeededGenerator, except: Unicode.Scalar) -> Unicode.Scalar {
            let scalar = Unicode.Scalar(UInt8.random(in: 0x21...0x7e, using: &random))
            return scalar == except ? "a" : scalar
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func whatIsReadOfAValidHeadIsWhatWasWritten(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let valid = Valid(using: &random)
            let bytes = latin1(valid.text)
            let cuts = (0..<3).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
            for parsed in [
                parseRequest(bytes), parseRequest(bytes + latin1("rest\r\n\r\n")), parseRequest(bytes, cuts: cuts),
            ] {
                #expect(parsed.result == .complete, "\(valid.text.debugDescription)")
                #expect(parsed.method == valid.method)
                #expect(parsed.target == valid.target)
                #expect(parsed.path + (parsed.query.map { "?" + $0 } ?? "") == valid.target)
                #expect(parsed.head?.byteCount == UInt16(bytes.count))
                #expect(
                    parsed.fields
                        == valid.fields.map { "\($0.name): \($0.value) [\($0.name == "Host" ? "host" : "other")]" })
            }
        }
    }

    /// Lines, as they are forwarded, and the start line are the whole head.
    @Test(arguments: 0..<10 as Range<UInt64>)
    func theLinesAreTheHead(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let bytes = latin1(Valid(using: &random).text)
            let span = unsafe bytes.span.bytes
            var progress = HeadProgress()
            var head = RequestHead()
            var table = FieldTable()
            #expect(RequestParser.parse(span, progress: &progress, head: &head, fields: &table) == .complete)
            var position = head.target.range.upperBound + " HTTP/1.1\r\n".utf8.count
            let fields = table.fields
            for index in fields.indices {
                #expect(fields[index].line.range.lowerBound == position)
                #expect(fields[index].name.range.lowerBound == position)
                position = fields[index].line.range.upperBound
                #expect(bytes[position - 2] == 13 && bytes[position - 1] == 10)
                #expect(fields[index].value.range.upperBound <= position - 2)
            }
            #expect(position + 2 == bytes.count)
        }
    }

    /// Damaged heads never crash a parser, and nothing that is accepted has a control character, a fold or a lone line end.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func damageIsNoticedOrHarmless(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let hostile: [UInt8] = [0, 9, 10, 13, 32, 35, 37, 44, 46, 47, 58, 59, 64, 92, 127, 128, 160, 255]
        for _ in 0..<300 {
            var bytes = latin1(Valid(using: &random).text)
            for _ in 0..<Int.random(in: 1..<4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = hostile.randomElement(using: &random) ?? 0
                case 1: bytes.insert(hostile.randomElement(using: &random) ?? 0, at: place)
                default: bytes.remove(at: place)
                }
            }
            let parsed = parseRequest(bytes)
            var response = ResponseHead()
            var progress = HeadProgress()
            var table = FieldTable()
            let span = unsafe bytes.span.bytes
            _ = ResponseParser.parse(span, method: .get, progress: &progress, head: &response, fields: &table)
            guard let head = parsed.head else { continue }
            let accepted = bytes[..<Int(head.byteCount)]
            #expect(!accepted.contains { $0 < 0x20 && $0 != 9 && $0 != 10 && $0 != 13 || $0 == 0x7f })
            for (index, byte) in accepted.enumerated() where byte == 10 || byte == 13 {
                #expect(byte == 13 ? accepted[index + 1] == 10 : accepted[index - 1] == 13)
                if byte == 10, index + 1 < accepted.count {
                    #expect(accepted[index + 1] != 32 && accepted[index + 1] != 9)
                }
            }
        }
    }
}
