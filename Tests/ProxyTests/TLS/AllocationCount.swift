import CAllocations
import CLinux
import COpenSSL
import Foundation

@testable import Proxy

/// Counts what reads and writes allocate, in a thread whose allocations are its own.
final class AllocationCount: @unchecked Sendable {
    private let pair: TLSPair
    private let finish: @Sendable ((allocations: Int, records: Int)) -> Void

    /// - Parameter pair: used by the thread alone from now on.
    init(_ pair: TLSPair, _ finish: @escaping @Sendable ((allocations: Int, records: Int)) -> Void) {
        self.pair = pair
        self.finish = finish
    }

    func run() {
        Thread.detachNewThread { [self] in
            unsafe weft_name_thread("tls-alloc")
            let bytes = [UInt8](repeating: 7, count: 40_000)
            var target = [UInt8](repeating: 0, count: 65_536)
            _ = exchange(100, bytes, &target)
            let before = unsafe weft_allocations_of_thread("tls-alloc")
            let records = exchange(10_000, bytes, &target)
            let after = unsafe weft_allocations_of_thread("tls-alloc")
            finish((before < 0 ? -1 : after - before, records))
        }
    }

    /// Writes on one side and reads on the other until there is no more; the number of records.
    private func exchange(_ count: Int, _ bytes: [UInt8], _ target: inout [UInt8]) -> Int {
        var records = 0
        for round in 0..<count {
            let (from, to) = round & 1 == 0 ? (pair.client, pair.server) : (pair.server, pair.client)
            let size = round % 7 == 0 ? 40_000 : 100
            records += round % 7 == 0 ? 3 : 1
            unsafe bytes.withUnsafeBytes {
                _ = unsafe from.connection.write(UnsafeRawBufferPointer(rebasing: $0[..<size]))
            }
            unsafe target.withUnsafeMutableBytes { target in
                while case .bytes = unsafe to.connection.read(into: target) {}
            }
        }
        return records
    }
}

/// The thread's error queue of OpenSSL.
enum ErrorQueue {
    /// As code does that calls OpenSSL and does not clear it.
    static func leaveError() {
        var position: UnsafePointer<UInt8>?
        let bytes: [UInt8] = [0x30, 0x05, 1, 2, 3]
        unsafe bytes.withUnsafeBufferPointer {
            unsafe position = $0.baseAddress
            let none = unsafe d2i_X509(nil, &position, 5)
            precondition(unsafe none == nil && ERR_peek_error() != 0)
        }
    }
}
