import FoundationEssentials

/// What the probes found, kept for as long as the kernel runs: `<run-dir>/probes.json`.
public struct BehaviourCache: Sendable {
    public let path: String

    /// - Parameter runDirectory: the agent's; only root may be able to write there.
    public init(runDirectory: String) { path = runDirectory + "/probes.json" }

    private struct Content: Codable {
        /// Another version of Weft may probe for other things.
        var format: Int
        var names: [String]
        var report: BehaviourReport
    }

    /// Raised when a probe's meaning changes.
    private static let format = 1

    /// What was found on this very kernel, by these very probes; nil if nothing was, or the file is not understood.
    public func read(for kernel: KernelBuild = .current) -> BehaviourReport? {
        guard !kernel.boot.isEmpty, let text = try? readSmall(path),
            let content = try? JSONDecoder().decode(Content.self, from: Data(text.utf8)),
            content.format == Self.format, content.names == BehaviourProbes.names, content.report.kernel == kernel,
            content.report.probes.map(\.name) == content.names
        else { return nil }
        return content.report
    }

    /// - Returns: errno of what kept it from being written; 0 if nothing did. A report that is not kept is made again.
    @discardableResult
    public func write(_ report: BehaviourReport) -> CInt {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let content = Content(format: Self.format, names: BehaviourProbes.names, report: report)
        guard let bytes = try? encoder.encode(content) else { return 0 }
        do throws(FileProblem) {
            try replaceFile(path, with: Array(bytes) + [UInt8(ascii: "\n")])
            return 0
        } catch {
            return error.errno
        }
    }
}
