import CLinux
import Glibc
import Telemetry

/// Reads flow records that an agent has written to disk, and keeps the last of those that were asked for.
struct FlowFileReader {
    private let filter: FlowFilter
    /// RFC 3339 in UTC, which sorts as it is written.
    private let earliest: String?
    private let limit: Int
    private var kept: [[UInt8]] = []
    private var oldest = 0
    /// Of the first line that is no record.
    private(set) var failure: Failure?

    /// - Parameter now: in nanoseconds since 1970.
    init(_ request: FlowRequest, now: Int64) {
        filter = request.filter(now: 0)
        limit = request.limit
        earliest = request.since.map { WallClock.text(unixNanoseconds: now - Int64($0.seconds * 1e9)) }
    }

    /// The last lines that were asked for, the oldest first.
    var last: [[UInt8]] { Array(kept[oldest...] + kept[..<oldest]) }

    /// Reads a file after those that were read before; `-` is standard input.
    mutating func read(_ path: String) throws(Failure) {
        let descriptor = path == "-" ? 0 : unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unknown("cannot read \(path): \(errorText(weft_errno()))") }
        defer { if descriptor > 0 { close(descriptor) } }
        var splitter = LineSplitter()
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        var number = 0
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, weft_errno() == EINTR { continue }
            guard count >= 0 else { throw .unknown("cannot read \(path): \(errorText(weft_errno()))") }
            guard count > 0 else { return }
            for line in splitter.lines(in: Array(chunk[..<count])) {
                number += 1
                take(line, "\(path):\(number)")
            }
        }
    }

    mutating func take(_ line: [UInt8], _ place: @autoclosure () -> String) {
        do throws(Failure) {
            let record = try FlowLine(line)
            guard filter.admits(record), earliest.map({ record.time >= $0 }) ?? true else { return }
        } catch {
            failure = failure ?? .unknown("\(place()) is no flow record: \(error)")
            return
        }
        guard limit > 0 else { return }
        if kept.count < limit {
            kept.append(line)
        } else {
            kept[oldest] = line
            oldest = (oldest + 1) % limit
        }
    }
}
