// Unsafe code of this file: bytes for the duration of a comparison.

import Glibc

/// The bytes of one direction: each depends on its place, so that a byte that is lost, doubled or out of order shows.
struct ProbeStream {
    /// Made once and repeated: its length is that of no message, nor a multiple or a part of one.
    private static let pattern: [UInt8] = (0..<period * 2).map { place in
        UInt8(truncatingIfNeeded: UInt64(place % period) &* 0x9e37_79b9_7f4a_7c15 >> 40)
    }
    private static let period = 65_521

    private let seed: Int
    /// Bytes sent, and bytes received, so far.
    private(set) var sent = 0
    private(set) var received = 0
    /// In which message a byte was not what had been sent there, as the place of its first byte.
    private(set) var firstWrong: Int?

    init(seed: Int) { self.seed = seed }

    /// At most `period` of the bytes from a place on.
    private func bytes(_ count: Int, from place: Int) -> ArraySlice<UInt8> {
        let start = (place + seed) % Self.period
        return Self.pattern[start..<start + min(count, Self.period)]
    }

    /// The next bytes to be sent.
    func next(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count { bytes += self.bytes(count - bytes.count, from: sent + bytes.count) }
        return bytes
    }

    /// As many of them were taken.
    mutating func take(_ count: Int) { sent += count }

    mutating func check(_ bytes: [UInt8]) {
        var place = 0
        while place < bytes.count, firstWrong == nil {
            let wanted = self.bytes(bytes.count - place, from: received + place)
            let found = bytes[place..<place + wanted.count]
            let count = wanted.count
            let isEqual = unsafe wanted.withUnsafeBytes { wanted in
                unsafe found.withUnsafeBytes { found in
                    guard let wanted = wanted.baseAddress, let found = found.baseAddress else { return false }
                    return unsafe memcmp(wanted, found, count) == 0
                }
            }
            if !isEqual { firstWrong = received + place }
            place += count
        }
        received += bytes.count
    }

    var isWhole: Bool { firstWrong == nil && sent == received }

    /// What is wrong with it.
    var fault: String {
        if let firstWrong { return "among the bytes from \(firstWrong) on there are others than were sent" }
        return sent == received ? "nothing is wrong" : "\(received) of \(sent) bytes arrive"
    }
}

/// Numbers that look random and are the same in every run (xorshift).
struct ProbeDice {
    private var state: UInt64 = 0x2545_f491_4f6c_dd1d

    mutating func roll(_ range: ClosedRange<Int>) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return range.lowerBound + Int(state >> 11) % range.count
    }
}
