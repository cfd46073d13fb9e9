import Glibc
import Mesh
import Testing

@testable import Proxy

@Suite("Quotas on disk")
struct QuotaFileTests {
    private final class Directory {
        let path: String

        init() {
            var template = Array("/tmp/weft-quota-XXXXXX".utf8CString)
            path = unsafe template.withUnsafeMutableBufferPointer { buffer in
                guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/nonexistent" }
                return unsafe String(cString: made)
            }
        }

        var hasFile: Bool { unsafe access("\(path)/quotas", F_OK) == 0 }

        func empty() {
            for name in ["quotas", "quotas.new"] { unsafe unlink("\(path)/\(name)") }
        }

        func remove() {
            empty()
            unsafe rmdir(path)
        }

        var file: QuotaFile { QuotaFile(path: "\(path)/quotas") }
    }

    private static let noon: UInt64 = 1_795_262_400

    private static func set(_ quotas: QuotaRecords, previous: RateLimiterSet? = nil) -> RateLimiterSet {
        RateLimiterSet(
            [
                RateLimitConfig(
                    scope: "shop/web:80", limit: RateLimit(name: "daily", requests: 100, window: .day, key: .identity)),
                RateLimitConfig(
                    scope: "shop/web:80", limit: RateLimit(name: "rate", requests: 1, window: .bucket(milliseconds: 1))),
            ], previous: previous, quotas: quotas)
    }

    private static func remaining(_ set: RateLimiterSet, key: UInt64) -> UInt32 {
        WorkerLimiters(set)[0].check(key: key, now: second, wall: noon).remaining
    }

    @Test func whatWasSavedCountsAfterARestart() throws {
        let directory = Directory()
        defer { directory.remove() }
        let set = Self.set(try directory.file.load())
        for key in 1...3 as ClosedRange<UInt64> {
            for _ in 0..<key * 10 { _ = Self.remaining(set, key: key) }
        }
        try directory.file.save(set)
        for _ in 0..<5 { _ = Self.remaining(set, key: 1) }

        let again = Self.set(try directory.file.load())
        // Of the first key the last five requests are lost: they came after the save.
        #expect((1...3).map { Self.remaining(again, key: $0) } == [89, 79, 69])
    }

    @Test func nothingIsWrittenWithoutNeed() throws {
        let directory = Directory()
        defer { directory.remove() }
        let set = Self.set(try directory.file.load())
        try directory.file.save(set)
        #expect(!directory.hasFile)
        _ = Self.remaining(set, key: 1)
        try directory.file.save(set)
        #expect(directory.hasFile)
        directory.empty()
        try directory.file.save(set)
        #expect(!directory.hasFile)
    }

    @Test func aFailedSaveIsTriedAgain() throws {
        let directory = Directory()
        defer { directory.remove() }
        let set = Self.set(try directory.file.load())
        _ = Self.remaining(set, key: 1)
        let nowhere = QuotaFile(path: "\(directory.path)/none/quotas")
        #expect(throws: QuotaFile.Failure.self) { try nowhere.save(set) }
        try directory.file.save(set)
        #expect(Self.remaining(Self.set(try directory.file.load()), key: 1) == 98)
    }

    @Test func aDamagedFileIsNamed() throws {
        let directory = Directory()
        defer { directory.remove() }
        let file = unsafe fopen("\(directory.path)/quotas", "w")
        unsafe fputs("weft-quotas 1 0\nnonsense\n", file)
        unsafe fclose(file)
        let error = #expect(throws: QuotaFile.Failure.self) { try directory.file.load() }
        #expect(error?.description == "\(directory.path)/quotas: line 2 of the quotas' state is not understood")
    }
}
