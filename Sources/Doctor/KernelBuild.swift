// Unsafe code of this file: the fixed strings of utsname(2).

import Glibc

/// A kernel in one of its runs: what is found out about it holds for as long as this is the same.
public struct KernelBuild: Sendable, Hashable, Codable {
    /// `uname -r`.
    public let release: String
    /// `uname -v`: the build, because distributions mend a release under its name.
    public let version: String
    /// Of this run of the kernel; a live patch comes without a new one, so the list of those is part of it.
    public let boot: String

    public init(release: String, version: String, boot: String) {
        self.release = release
        self.version = version
        self.boot = boot
    }

    /// The running one.
    public static var current: KernelBuild {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return KernelBuild(release: "", version: "", boot: "") }
        let boot = (try? readSmall("/proc/sys/kernel/random/boot_id")) ?? ""
        return KernelBuild(
            release: text(names.release), version: text(names.version),
            boot: ([boot] + livePatches).joined(separator: " "))
    }

    private static var livePatches: [String] { directoryEntries("/sys/kernel/livepatch") }

    private static func text<Characters>(_ characters: Characters) -> String {
        unsafe withUnsafeBytes(of: characters) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
