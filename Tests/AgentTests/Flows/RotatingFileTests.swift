import Foundation
import Testing

@testable import Agent

@Suite struct RotatingFileTests {
    /// A directory that is removed at the end.
    private final class Directory {
        let path: String

        init() throws {
            path = NSTemporaryDirectory() + "weft-rotating-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func lines(_ name: String) -> [String] {
            let text = FileManager.default.contents(atPath: "\(path)/\(name)").map {
                String(decoding: $0, as: UTF8.self)
            }
            return (text ?? "").split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        }

        var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
    }

    private func write(_ lines: [String], to file: RotatingFile) -> Int {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for line in lines {
            bytes += Array("\(line)\n".utf8)
            ends.append(bytes.count)
        }
        return file.write(bytes, ends: ends)
    }

    @Test func isForItsOwnerAndGroupAlone() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 100, count: 2)
        #expect(write(["a"], to: file) == 0)
        let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
        // Less where the umask says so.
        #expect(try #require(mode) & 0o177 == 0o040 || mode == 0o600)
    }

    @Test func keepsSoManyFilesOfSuchASizeAndEveryLineOnce() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 100, count: 3)
        // Ten bytes each.
        let lines = (0..<57).map { "line-" + String(repeating: "0", count: $0 < 10 ? 3 : 2) + "\($0)" }
        for start in stride(from: 0, to: lines.count, by: 4) {
            #expect(write(Array(lines[start..<min(start + 4, lines.count)]), to: file) == 0)
        }
        #expect(directory.names == ["flows", "flows.1", "flows.2"])
        let kept = directory.lines("flows.2") + directory.lines("flows.1") + directory.lines("flows")
        #expect(kept == Array(lines[30...]))
        for name in directory.names { #expect(directory.lines(name).count <= 10) }
    }

    @Test func aSingleFileBeginsAnew() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 20, count: 1)
        for line in ["one", "two", "three", "four", "five", "six"] { #expect(write([line], to: file) == 0) }
        #expect(directory.names == ["flows"])
        #expect(directory.lines("flows") == ["five", "six"] || directory.lines("flows").last == "six")
    }

    @Test func aLineThatIsTooLongGetsAFileOfItsOwn() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 20, count: 3)
        let long = String(repeating: "x", count: 50)
        #expect(write(["a", long, "b"], to: file) == 0)
        #expect(directory.lines("flows.2") == ["a"])
        #expect(directory.lines("flows.1") == [long])
        #expect(directory.lines("flows") == ["b"])
    }

    @Test func goesOnWhereAnEarlierOneHasEnded() throws {
        let directory = try Directory()
        #expect(write(["one"], to: try RotatingFile("\(directory.path)/flows", maxBytes: 10, count: 2)) == 0)
        let second = try RotatingFile("\(directory.path)/flows", maxBytes: 10, count: 2)
        #expect(write(["two"], to: second) == 0)
        #expect(directory.lines("flows") == ["one", "two"])
        #expect(write(["three"], to: second) == 0)
        #expect(directory.lines("flows.1") == ["one", "two"])
    }

    @Test func aFileThatIsMovedOrRemovedIsMadeAgain() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 1000, count: 3)
        #expect(write(["one"], to: file) == 0)
        try FileManager.default.moveItem(atPath: file.path, toPath: file.path + ".old")
        #expect(write(["two"], to: file) == 0)
        try FileManager.default.removeItem(atPath: file.path)
        #expect(write(["three"], to: file) == 0)
        #expect(directory.lines("flows.old") == ["one"] && directory.lines("flows") == ["three"])
    }

    @Test func whatCannotBeWrittenIsCountedAndTriedAnew() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/below/flows", creating: "\(directory.path)/below")
        #expect(write(["one"], to: file) == 0)
        try FileManager.default.moveItem(atPath: "\(directory.path)/below", toPath: "\(directory.path)/gone")
        // It still has the file, which is elsewhere now.
        #expect(write(["two"], to: file) == 0)
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/below/flows", withIntermediateDirectories: true)
        #expect(write(["three"], to: file) == 0)
        #expect(directory.lines("gone/flows") == ["one", "two", "three"])
        #expect(throws: SystemError.self) { try RotatingFile("\(directory.path)/below/flows", maxBytes: 1, count: 1) }
    }

    @Test func aFullDiskLosesWholeLines() throws {
        let file = try RotatingFile("/dev/full", maxBytes: 4096, count: 3)
        #expect(write(["one", "two"], to: file) == 2)
        #expect(write(["three"], to: file) == 1)
    }

    @Test func aRotationThatIsNotPossibleWritesNothingMore() throws {
        let directory = try Directory()
        let file = try RotatingFile("\(directory.path)/flows", maxBytes: 8, count: 2)
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/flows.1/full", withIntermediateDirectories: true)
        #expect(write(["one", "two", "three", "four"], to: file) == 2)
        #expect(directory.lines("flows") == ["one", "two"])
        try FileManager.default.removeItem(atPath: "\(directory.path)/flows.1")
        #expect(write(["five"], to: file) == 0)
        #expect(directory.lines("flows") == ["five"])
    }

    @Test(arguments: [
        ("4096", 4096), ("100MB", 100_000_000), ("100mb", 100_000_000), ("1GiB", 1 << 30), ("512KiB", 512 << 10),
        ("5000B", 5000), ("4095", nil), ("", nil), ("MB", nil), ("-1MB", nil), ("1.5GB", nil), ("1TB", nil),
        ("9223372036854775807GB", nil), ("99999999999999999999", nil),
    ])
    func sizes(_ text: String, _ bytes: Int?) { #expect(FlowLogOptions.bytes(text) == bytes) }
}

extension RotatingFile {
    fileprivate convenience init(_ path: String, creating directory: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try self.init(path, maxBytes: 1000, count: 2)
    }
}
