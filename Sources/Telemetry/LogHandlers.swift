import Glibc
public import Logging

/// How the agent writes its log.
public enum LogFormat: String, Sendable, CaseIterable {
    case text, json
}

/// A log handler that writes one line per message to standard error, as text for people or as JSON for programs.
///
/// JSON has the keys `time`, `level`, `logger`, `message`, then the metadata's in alphabetical order (prefixed with `_`
/// where one would be of the same name).
public struct LineLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: LogFormat
    private let descriptor: Int32

    /// - Parameter descriptor: where lines are written; standard error by default.
    public init(label: String, format: LogFormat, level: Logger.Level = .info, descriptor: Int32 = 2) {
        self.label = label
        self.format = format
        self.descriptor = descriptor
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        let time = WallClock.text(unixNanoseconds: WallClock.unixNanoseconds())
        var line =
            switch format {
            case .json: json(event, all, time)
            case .text: text(event, all, time)
            }
        line.append(UInt8(ascii: "\n"))
        // One write for one line, so that lines of several threads do not mix.
        var start = 0
        while start < line.count {
            let written = unsafe line.withUnsafeBytes { bytes in
                unsafe write(descriptor, bytes.baseAddress?.advanced(by: start), bytes.count - start)
            }
            guard written > 0 else { return }
            start += written
        }
    }

    private static let ownKeys: Set<String> = ["time", "level", "logger", "message"]

    private func json(_ event: LogEvent, _ metadata: Logger.Metadata, _ time: String) -> [UInt8] {
        var object = JSONObjectWriter()
        object.add("time", time)
        object.add("level", event.level.rawValue)
        object.add("logger", label)
        object.add("message", event.message.description)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            object.add(Self.ownKeys.contains(key) ? "_" + key : key, value.description)
        }
        return object.finished()
    }

    private func text(_ event: LogEvent, _ metadata: Logger.Metadata, _ time: String) -> [UInt8] {
        var line = Array("\(time) \(event.level.rawValue) \(label): ".utf8)
        Self.append(plain: event.message.description, to: &line)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line.append(UInt8(ascii: " "))
            Self.append(plain: key, to: &line)
            line.append(UInt8(ascii: "="))
            let text = value.description
            if text.isEmpty || text.utf8.contains(where: { $0 <= 0x20 || $0 == UInt8(ascii: "\"") || $0 == 0x7f }) {
                JSONObjectWriter.append(quoted: text, to: &line)
            } else {
                line.append(contentsOf: text.utf8)
            }
        }
        return line
    }

    /// Control characters are replaced: a message may quote what a client or a file said, and must stay one line.
    private static func append(plain text: String, to line: inout [UInt8]) {
        for byte in text.utf8 { line.append(byte < 0x20 || byte == 0x7f ? UInt8(ascii: " ") : byte) }
    }
}

/// Lets a repeated message through once per interval, and says how many were held back.
public struct LogLimiter: Sendable {
    private let interval: UInt64
    private var entries: [String: (last: UInt64, held: UInt64)] = [:]
    /// Different messages that are told apart; the state of more is forgotten.
    private static let limit = 1024

    public init(interval: Duration = .seconds(60)) {
        self.interval = UInt64(max(interval.components.seconds, 0)) * 1_000_000_000
    }

    /// Nil if a message with this key was let through less than an interval ago; else how many were held back since.
    ///
    /// - Parameter now: CLOCK_MONOTONIC in nanoseconds.
    public mutating func admit(_ key: String, now: UInt64 = WallClock.monotonic()) -> UInt64? {
        guard let entry = entries[key] else {
            if entries.count >= Self.limit { entries = [:] }
            entries[key] = (now, 0)
            return 0
        }
        guard now >= entry.last, now - entry.last >= interval else {
            entries[key]?.held += 1
            return nil
        }
        entries[key] = (now, 0)
        return entry.held
    }
}
