import CLinux
import Glibc
import Testing

@testable import Proxy

/// Records as they are protected once the handshake is done (RFC 8446 §5), by Intel's library and by OpenSSL.
@Suite struct RecordTests {
    let library = TLSLibrary()
    /// Of the client's application data in RFC 8448 §3.
    let secret = TrafficSecret(hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"))

    private func cipher(
        _ direction: RecordCipher.Direction, _ suite: RecordSuite = .aes128GCM, secret: TrafficSecret? = nil,
        isPortable: Bool
    ) throws -> RecordCipher {
        let own = TrafficSecret((0..<suite.secretSize).map { UInt8($0) })
        let secret = secret ?? (suite == .aes128GCM ? self.secret : own)
        guard let cipher = RecordCipher(direction, suite, secret, library, isPortable: isPortable) else {
            throw TLSFailure.io
        }
        return cipher
    }

    @Test func keysAreThoseOfRFC8448() throws {
        #expect(secret.expand("key", 16, .aes128GCM, library) == hex("17422dda596ed5d9acd890e3c63f5051"))
        #expect(secret.expand("iv", 12, .aes128GCM, library) == hex("5b78923dee08579033e523d9"))
    }

    @Test(arguments: [false, true]) func recordsAreThoseOfRFC8448(isPortable: Bool) throws {
        var cipher = try cipher(.sealing, isPortable: isPortable)
        let record = seal(&cipher, (0..<50).map { UInt8($0) }, RecordKind.data)
        #expect(
            record
                == hex(
                    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e"
                        + "1f5a6292a2977014bd1e3deae63aeebb21694915e4"))
        // The alert that ends the connection has the next number.
        #expect(
            seal(&cipher, [1, 0], RecordKind.alert) == hex("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"))
    }

    @Test(arguments: RecordSuite.allCases) func bothLibrariesAgree(suite: RecordSuite) throws {
        for (sealing, opening) in [(false, true), (true, false)] {
            var sealer = try cipher(.sealing, suite, isPortable: sealing)
            var opener = try cipher(.opening, suite, isPortable: opening)
            for count in [0, 1, 15, 16, 17, 63, 64, 255, 256, 1_000, 4_095, 16_383, 16_384] {
                let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ count) }
                let record = seal(&sealer, plain, RecordKind.data)
                #expect(record.count == 5 + count + 1 + 16)
                #expect(open(&opener, record) == plain + [RecordKind.data], "\(count) bytes")
            }
        }
    }

    @Test(arguments: [false, true]) func noBitOfARecordMayDiffer(isPortable: Bool) throws {
        var sealer = try cipher(.sealing, isPortable: isPortable)
        let record = seal(&sealer, Array("secret".utf8), RecordKind.data)
        for position in record.indices {
            var changed = record
            changed[position] ^= 1
            var opener = try cipher(.opening, isPortable: isPortable)
            #expect(open(&opener, changed) == nil, "byte \(position)")
        }
        // Nor may one come twice, or be left out.
        var opener = try cipher(.opening, isPortable: isPortable)
        #expect(open(&opener, record) != nil)
        #expect(open(&opener, record) == nil)
    }

    @Test func linesOfTheKeyLogAreRead() throws {
        let found = unsafe TrafficSecret(line: "CLIENT_TRAFFIC_SECRET_0 00ff 0a0B", label: "CLIENT_TRAFFIC_SECRET_0")
        #expect(found?.count == 2)
        for line in [
            "", "CLIENT_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0 00", "CLIENT_TRAFFIC_SECRET_0 00 ",
            "CLIENT_TRAFFIC_SECRET_0 00 0", "CLIENT_TRAFFIC_SECRET_0 00 0g", "CLIENT_TRAFFIC_SECRET_00 00 0a",
            "SERVER_TRAFFIC_SECRET_0 00 0a", "CLIENT_TRAFFIC_SECRET_0 00 " + String(repeating: "0a", count: 49),
        ] {
            #expect(unsafe TrafficSecret(line: line, label: "CLIENT_TRAFFIC_SECRET_0") == nil, "\(line)")
        }
    }

    // MARK: A peer's records

    private func reader(isServer: Bool = true) throws -> RecordReader {
        guard let reader = RecordReader(isServer: isServer, .aes128GCM, secret, library) else { throw TLSFailure.io }
        return reader
    }

    /// What the reader makes of records that come one after the other.
    private func outcome(_ records: [(kind: UInt8, bytes: [UInt8])], isServer: Bool = true) throws -> String {
        var reader = try reader(isServer: isServer)
        var cipher = try cipher(.sealing, isPortable: false)
        let ends = socketPair()
        defer {
            close(ends.0)
            close(ends.1)
        }
        let bytes = records.flatMap { seal(&cipher, $0.bytes, $0.kind) }
        _ = unsafe send(ends.0, bytes, bytes.count, 0)
        return outcome(&reader, ends.1)
    }

    private func outcome(_ reader: inout RecordReader, _ descriptor: CInt) -> String {
        var target = [UInt8](repeating: 0, count: 70_000)
        return unsafe target.withUnsafeMutableBytes { target in
            switch unsafe reader.read(descriptor, into: target) {
            case .bytes(let count): "bytes \(count)"
            case .wantsRead: reader.isUpdateRequested ? "update" : "nothing"
            case .closed: "closed"
            case .alert(let number): "alert \(number)"
            case .fault(let fault): "fault \(fault)"
            case .ended: "ended"
            case .failed: "failed"
            }
        }
    }

    @Test func whatIsNoDataIsUnderstoodOrRefused() throws {
        let ticket: [UInt8] = [4, 0, 0, 3, 1, 2, 3]
        #expect(try outcome([(RecordKind.data, [])]) == "nothing")
        // Padding.
        #expect(try outcome([(0, [7, 7, RecordKind.data, 0, 0])]) == "bytes 2")
        #expect(try outcome([(0, [])]) == "fault unexpectedMessage")
        #expect(try outcome([(RecordKind.alert, [1, 0])]) == "closed")
        #expect(try outcome([(RecordKind.alert, [1, 90]), (RecordKind.alert, [1, 0])]) == "closed")
        #expect(try outcome([(RecordKind.alert, [2, 42])]) == "alert 42")
        #expect(try outcome([(RecordKind.alert, [2])]) == "fault decodeError")
        #expect(try outcome([(20, [1])]) == "fault unexpectedMessage")
        #expect(try outcome([(RecordKind.handshake, ticket)], isServer: false) == "nothing")
        #expect(try outcome([(RecordKind.handshake, ticket)]) == "fault unexpectedMessage")
        #expect(
            try outcome(
                [(RecordKind.handshake, Array(ticket[..<3])), (RecordKind.handshake, Array(ticket[3...]))],
                isServer: false) == "nothing")
        #expect(
            try outcome([(RecordKind.handshake, Array(ticket[..<3])), (RecordKind.data, [1])], isServer: false)
                == "fault unexpectedMessage")
        #expect(try outcome([(RecordKind.handshake, [])]) == "fault unexpectedMessage")
        // A certificate's request, which nobody has offered to answer.
        #expect(try outcome([(RecordKind.handshake, [13, 0, 0, 1, 0])], isServer: false) == "fault unexpectedMessage")
        #expect(try outcome([(RecordKind.handshake, [24, 0, 0, 1, 0])]) == "nothing")
        #expect(try outcome([(RecordKind.handshake, [24, 0, 0, 1, 1])]) == "update")
        #expect(try outcome([(RecordKind.handshake, [24, 0, 0, 1, 2])]) == "fault decodeError")
        #expect(try outcome([(RecordKind.handshake, [24, 0, 0, 2, 0, 0])]) == "fault decodeError")
        #expect(try outcome([(RecordKind.handshake, [24, 0, 0, 1, 0, 24])]) == "fault unexpectedMessage")
        // What comes behind a change of keys has others.
        #expect(
            try outcome([(RecordKind.handshake, [24, 0, 0, 1, 0]), (RecordKind.data, [1])]) == "fault badRecord")
    }

    @Test func recordsThatCarryNothingHaveABound() throws {
        let empty = [(kind: UInt8, bytes: [UInt8])](repeating: (RecordKind.data, []), count: 32)
        #expect(try outcome(empty) == "nothing")
        #expect(try outcome(empty + [(RecordKind.data, [1])] + empty) == "bytes 1")
        #expect(try outcome(empty + [(RecordKind.data, [])]) == "fault unexpectedMessage")
    }

    @Test func headersThatAreNoneAreRefused() throws {
        for (header, expected) in [
            ([22, 3, 3, 0, 40], "fault unexpectedMessage"), ([23, 3, 3, 0x41, 1], "fault recordOverflow"),
            ([23, 3, 3, 0, 16], "fault decodeError"), ([23, 3, 3, 0x41, 0], "nothing"), ([23, 3, 3], "nothing"),
            ([0x47, 0x45, 0x54, 0x20, 0x2f], "fault unexpectedMessage"),
        ] as [([UInt8], String)] {
            var reader = try reader()
            let ends = socketPair()
            _ = unsafe send(ends.0, header, header.count, 0)
            #expect(outcome(&reader, ends.1) == expected, "\(header)")
            // It stays so, and what is incomplete at the end is no end.
            close(ends.0)
            #expect(outcome(&reader, ends.1) == (expected == "nothing" ? "ended" : expected), "\(header)")
            close(ends.1)
        }
    }

    @Test func recordsOfTheLargestSizeAreTheLargest() throws {
        let most = [UInt8](repeating: 1, count: 16_384)
        #expect(try outcome([(RecordKind.data, most)]) == "bytes 16384")
        #expect(try outcome([(0, most + [RecordKind.data])]) == "bytes 16384")
        // One byte more fits into the record, and is too much.
        #expect(try outcome([(0, most + [1, RecordKind.data])]) == "fault recordOverflow")
    }

    @Test func bytesComeInWhateverPartsTheyAreRead() throws {
        var reader = try reader()
        var cipher = try cipher(.sealing, isPortable: false)
        let ends = socketPair()
        let plain = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
        var wire: [UInt8] = []
        var position = 0
        var random = SystemRandomNumberGenerator()
        while position < plain.count {
            let count = min(.random(in: 1...16_384, using: &random), plain.count - position)
            wire += seal(&cipher, Array(plain[position..<position + count]), RecordKind.data)
            position += count
        }
        var received: [UInt8] = []
        while received.count < plain.count {
            let count = min(.random(in: 1...20_000, using: &random), wire.count)
            _ = unsafe send(ends.0, wire, count, 0)
            wire.removeFirst(count)
            var target = [UInt8](repeating: 0, count: .random(in: 1...20_000, using: &random))
            reading: while true {
                let outcome = unsafe target.withUnsafeMutableBytes { unsafe reader.read(ends.1, into: $0) }
                switch outcome {
                case .bytes(let count): received += target[..<count]
                case .wantsRead: break reading
                default: throw TLSFailure.protocolError
                }
            }
        }
        #expect(received == plain)
        close(ends.0)
        close(ends.1)
    }

    @Test func aReaderKnowsWhenThereIsNoMore() throws {
        var reader = try reader()
        var cipher = try cipher(.sealing, isPortable: false)
        let ends = socketPair()
        let record = seal(&cipher, [1, 2, 3], RecordKind.data)
        _ = unsafe send(ends.0, record, record.count, 0)
        #expect(outcome(&reader, ends.1) == "bytes 3")
        var isDrained = reader.isDrained
        #expect(isDrained)
        // Half a record is none.
        let next = seal(&cipher, [4], RecordKind.data)
        _ = unsafe send(ends.0, next, 10, 0)
        #expect(outcome(&reader, ends.1) == "nothing")
        isDrained = reader.isDrained
        #expect(isDrained)
        let rest = Array(next[10...])
        _ = unsafe send(ends.0, rest, rest.count, 0)
        #expect(outcome(&reader, ends.1) == "bytes 1")
        close(ends.0)
        #expect(outcome(&reader, ends.1) == "ended")
        close(ends.1)
    }
}

private func seal(_ cipher: inout RecordCipher, _ plain: [UInt8], _ kind: UInt8) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: plain.count + 22) { target, count in
        guard let base = target.baseAddress else { return }
        count = unsafe plain.withUnsafeBytes { unsafe cipher.seal($0, kind: kind, to: UnsafeMutableRawPointer(base)) }
    }
}

/// The bytes and their kind; nil: they are not the peer's.
private func open(_ cipher: inout RecordCipher, _ record: [UInt8]) -> [UInt8]? {
    var record = record
    let count = record.count - 5
    var target = [UInt8](repeating: 0, count: count - 16)
    let isRight = unsafe record.withUnsafeMutableBytes { record in
        unsafe target.withUnsafeMutableBytes { target in
            guard let base = record.baseAddress, let plain = target.baseAddress else { return false }
            return unsafe cipher.open(header: base, body: base + 5, count: count, to: plain)
        }
    }
    return isRight ? target : nil
}

private func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
