import Foundation
import Testing

@testable import Doctor

struct BehaviourCacheTests {
    private let directory: URL
    private let cache: BehaviourCache
    private let kernel = KernelBuild(release: "6.18.44", version: "#1 SMP", boot: "7c0c1a1e")

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "weft-doctor-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        cache = BehaviourCache(runDirectory: directory.path)
    }

    private func report(_ change: (inout [BehaviourProbe]) -> Void = { _ in }) -> BehaviourReport {
        var probes = BehaviourProbes.names.map { BehaviourProbe(name: $0, verdict: .pass, detail: "It “holds”.") }
        change(&probes)
        return BehaviourReport(kernel: kernel, ranAt: 1_800_000_000, milliseconds: 300, probes: probes)
    }

    @Test func whatWasFoundIsKnownForAsLongAsTheKernelRuns() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        #expect(cache.read(for: kernel) == nil)
        #expect(cache.write(report()) == 0)
        #expect(cache.read(for: kernel) == report())
        let mode = try FileManager.default.attributesOfItem(atPath: cache.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["probes.json"])
    }

    @Test(arguments: [
        KernelBuild(release: "6.18.45", version: "#1 SMP", boot: "7c0c1a1e"),
        KernelBuild(release: "6.18.44", version: "#2 SMP", boot: "7c0c1a1e"),
        KernelBuild(release: "6.18.44", version: "#1 SMP", boot: "7c0c1a1f"),
        KernelBuild(release: "6.18.44", version: "#1 SMP", boot: "7c0c1a1e livepatch_tcp"),
    ])
    func anotherKernelOrAnotherRunOfItIsProbedAgain(_ other: KernelBuild) {
        defer { try? FileManager.default.removeItem(at: directory) }
        cache.write(report())
        #expect(cache.read(for: other) == nil)
    }

    @Test func aKernelWhoseRunIsNotKnownIsAlwaysProbed() {
        defer { try? FileManager.default.removeItem(at: directory) }
        let unknown = KernelBuild(release: "6.18.44", version: "#1 SMP", boot: "")
        cache.write(BehaviourReport(kernel: unknown, ranAt: 0, milliseconds: 0, probes: report().probes))
        #expect(cache.read(for: unknown) == nil)
    }

    @Test func otherProbesThanThisVersionsAreMadeAgain() {
        defer { try? FileManager.default.removeItem(at: directory) }
        cache.write(report { $0.removeLast() })
        #expect(cache.read(for: kernel) == nil)
        cache.write(report { $0.swapAt(0, 1) })
        #expect(cache.read(for: kernel) == nil)
    }

    @Test func aFileThatIsNotUnderstoodIsNone() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        cache.write(report())
        let good = try String(contentsOfFile: cache.path, encoding: .utf8)
        let bad = [
            "", "{", "null", "[]", String(good.dropLast(good.count / 2)),
            good.replacing("\"format\" : 1", with: "\"format\" : 2"),
            good.replacing("\"pass\"", with: "\"maybe\""), String(repeating: "[", count: 200_000),
            good + String(repeating: " ", count: 300_000),
        ]
        for text in bad {
            try text.write(toFile: cache.path, atomically: true, encoding: .utf8)
            #expect(cache.read(for: kernel) == nil, "\(text.prefix(40))")
        }
        #expect(cache.write(report()) == 0)
        #expect(cache.read(for: kernel) == report())
    }

    @Test func aDirectoryThatIsNotThereIsNoFailure() throws {
        try FileManager.default.removeItem(at: directory)
        #expect(cache.write(report()) == ENOENT)
        #expect(cache.read(for: kernel) == nil)
    }

    @Test func theRunningKernelIsKnown() throws {
        try FileManager.default.removeItem(at: directory)
        let current = KernelBuild.current
        #expect(!current.release.isEmpty && !current.version.isEmpty)
        #expect(
            current.boot.hasPrefix(
                try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8).dropLast()))
        #expect(current == .current)
    }
}
