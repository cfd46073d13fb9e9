import Foundation
import Testing

/// The pure logic has to stay pure: each header compiles alone, for this host and for the kernel, without a warning.
@Suite("Headers compile for the host and for the kernel")
struct HostCompilationTests {
    private static let library = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../bpf/lib", directoryHint: .isDirectory).standardizedFileURL

    @Test("Every header of bpf/lib", arguments: ["host", "bpf"])
    func everyHeader(target: String) throws {
        let headers = try FileManager.default.contentsOfDirectory(atPath: Self.library.path)
            .filter { $0.hasSuffix(".h") }
        #expect(headers.count >= 4, "no headers found in \(Self.library.path)")
        for header in headers {
            let clang = Process()
            clang.executableURL = URL(filePath: "/usr/bin/env")
            clang.arguments =
                ["clang"] + (target == "bpf" ? ["-target", "bpf", "-I/usr/include/\(Self.multiarch)"] : [])
                + ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsyntax-only", "-x", "c"]
                + [Self.library.appending(path: header).path]
            let output = Pipe()
            clang.standardError = output
            try clang.run()
            let messages = try output.fileHandleForReading.readToEnd() ?? Data()
            clang.waitUntilExit()
            #expect(clang.terminationStatus == 0, "\(header): \(String(decoding: messages, as: UTF8.self))")
        }
    }

    /// Debian's directory of machine-dependent headers.
    private static var multiarch: String {
        #if arch(arm64)
            "aarch64-linux-gnu"
        #else
            "x86_64-linux-gnu"
        #endif
    }
}
