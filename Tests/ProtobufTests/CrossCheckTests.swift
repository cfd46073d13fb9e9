import Foundation
import Protobuf
import Testing

/// What is written is read again: by this reader, and by `protoc`, which also writes what this one reads.
@Suite struct CrossCheckTests {
    static let schema = """
        syntax = "proto3";
        message Random {
          int64 signed64 = 1; int32 signed32 = 2; sint64 zigzag = 3; fixed32 fixed32 = 4; fixed64 fixed64 = 5;
          double double = 6; float float = 7; bool flag = 8; string text = 9; bytes data = 10;
          repeated uint64 numbers = 11; map<string, string> labels = 12; repeated Random children = 2000;
        }
        """

    @Test func whatIsWrittenIsReadAgain() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let message = RandomMessage(using: &random)
            #expect(try RandomMessage(message.bytes) == message)
        }
    }

    @Test(.enabled(if: Protoc.path != nil, "protoc (protobuf-compiler) is not installed"))
    func protocReadsWhatIsWrittenAndWritesTheSameMessage() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "weft-protobuf-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Self.schema.write(to: directory.appending(path: "random.proto"), atomically: true, encoding: .utf8)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            let message = RandomMessage(using: &random)
            let text = try protoc("--decode=Random", Data(message.bytes), in: directory)
            let written = try protoc("--encode=Random", text, in: directory)
            #expect(try RandomMessage(Array(written)) == message)
        }
    }

    private func protoc(_ action: String, _ input: Data, in directory: URL) throws -> Data {
        let process = Process()
        process.executableURL = URL(filePath: try #require(Protoc.path))
        process.arguments = ["--proto_path=\(directory.path)", action, "random.proto"]
        let source = directory.appending(path: "input")
        try input.write(to: source)
        process.standardInput = try FileHandle(forReadingFrom: source)
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let result = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return result
    }
}

private enum Protoc {
    static let path = ["/usr/bin/protoc", "/usr/local/bin/protoc"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
}
