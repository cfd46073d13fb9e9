internal import CLinux
internal import Glibc
internal import Synchronization

/// Where quotas are kept between starts. It is written by whoever administers the limits, never by a worker: at most what
/// was counted since the last `save` is lost when the agent is killed.
public struct QuotaFile: Sendable {
    public struct Failure: Error, Equatable, CustomStringConvertible {
        public var path: String
        public var problem: String
        public var description: String { "\(path): \(problem)" }
    }

    public let path: String
    private static let longest = 64 << 20

    public init(path: String) { self.path = path }

    /// What was saved last; nothing if there is no file.
    public func load() throws(Failure) -> QuotaRecords {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if weft_errno() == ENOENT { return QuotaRecords() }
            throw failure("cannot be opened")
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw failure("cannot be read") }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= Self.longest else { throw Failure(path: path, problem: "is too long") }
        }
        do {
            return try QuotaRecords(text: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw Failure(path: path, problem: "\(error)")
        }
    }

    /// Writes what was counted, if anything was since the last time. A reader finds the old state or the new one, whenever
    /// the machine stops.
    public func save(_ set: RateLimiterSet) throws(Failure) {
        var isDirty = false
        for limiter in set.limiters where limiter.isQuota {
            if limiter.table.reference.value.isDirty.exchange(false, ordering: .relaxed) { isDirty = true }
        }
        guard isDirty else { return }
        do {
            try write(Array(QuotaRecords(set).text.utf8))
        } catch {
            for limiter in set.limiters where limiter.isQuota {
                limiter.table.reference.value.isDirty.store(true, ordering: .relaxed)
            }
            throw error
        }
    }

    private func write(_ bytes: [UInt8]) throws(Failure) {
        let temporary = path + ".new"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot be written") }
        var start = 0
        while start < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress.map { unsafe $0 + start }, $0.count - start)
            }
            guard count > 0 else {
                let error = failure("cannot be written")
                close(descriptor)
                throw error
            }
            start += count
        }
        let isSynced = fsync(descriptor) == 0
        close(descriptor)
        guard isSynced, unsafe rename(temporary, path) == 0 else { throw failure("cannot be replaced") }
    }

    private func failure(_ problem: String) -> Failure {
        let error = weft_errno()
        return Failure(path: path, problem: unsafe "\(problem): \(String(cString: strerror(error)))")
    }
}
