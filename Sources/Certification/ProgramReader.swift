// Unsafe code of this file: buffers that system calls fill.

import CLinux
import Glibc

/// Identifies the programs of processes. Files that are known and unchanged are not read again.
struct ProgramReader {
    /// Of arguments: more are not looked at, nor larger files.
    private static let maxFiles = 4
    private static let maxFileSize: Int64 = 16 << 20

    private struct Known {
        var sha256: String
        var traits: ExecutableTraits
    }

    private var known: [ProcFiles.Identity: Known] = [:]

    /// The program of a process, and what it can do; nil if the process has ended, or has none (kernel threads).
    mutating func program(of process: Int32) -> (program: Program, traits: ExecutableTraits)? {
        let executable = "/proc/\(process)/exe"
        guard let path = ProcFiles.link(executable), let own = content(of: executable, limit: .max) else { return nil }
        var files = [Program.File(path: path, sha256: own.sha256)]
        for argument in argumentFiles(of: process) {
            guard let content = content(of: argument.path, limit: Self.maxFileSize) else { continue }
            files.append(Program.File(path: argument.name, sha256: content.sha256))
        }
        let text = files.map { "\($0.sha256)\n" }.joined()
        return (
            Program(path: path, digest: "sha256:" + Digest.sha256(of: Array(text.utf8)), files: files), own.traits
        )
    }

    /// The files that a process was started with: those named in its arguments that have not changed since. What a script
    /// or a configuration tells an interpreter or a proxy to do is not in its executable.
    private func argumentFiles(of process: Int32) -> [(name: String, path: String)] {
        guard let bytes = ProcFiles.bytes("/proc/\(process)/cmdline", limit: 64 * 1024),
            let started = Self.startTime(of: process)
        else { return [] }
        var found: [(name: String, path: String)] = []
        for argument in bytes.split(separator: 0).dropFirst() {
            let name = String(decoding: argument, as: UTF8.self)
            guard !name.hasPrefix("-"), found.count < Self.maxFiles else { continue }
            // As the process sees it: its root is not always this one.
            let path = name.hasPrefix("/") ? "/proc/\(process)/root\(name)" : "/proc/\(process)/cwd/\(name)"
            guard let identity = ProcFiles.identity(path), identity.isRegular, identity.changed <= started else {
                continue
            }
            found.append((name, path))
        }
        return found
    }

    /// When a process was started: nanoseconds since 1970.
    private static func startTime(of process: Int32) -> Int64? {
        guard let ticks = ProcFiles.startTicks(of: process) else { return nil }
        var (wall, boot) = (timespec(), timespec())
        guard unsafe clock_gettime(CLOCK_REALTIME, &wall) == 0, unsafe clock_gettime(CLOCK_BOOTTIME, &boot) == 0 else {
            return nil
        }
        let booted =
            (Int64(wall.tv_sec) - Int64(boot.tv_sec)) * 1_000_000_000 + Int64(wall.tv_nsec) - Int64(boot.tv_nsec)
        // The ticks are cut.
        return booted + Int64(clamping: ticks + 1) * (1_000_000_000 / Int64(sysconf(CInt(_SC_CLK_TCK))))
    }

    private mutating func content(of path: String, limit: Int64) -> Known? {
        guard let identity = ProcFiles.identity(path), identity.isRegular, identity.size <= limit else { return nil }
        if let known = known[identity] { return known }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard let sha256 = Digest.sha256(ofFile: descriptor) else { return nil }
        let traits = ExecutableTraits.of { offset, length in Self.read(descriptor, offset, length) }
        let found = Known(sha256: sha256, traits: traits ?? [])
        if known.count > 256 { known.removeAll() }
        known[identity] = found
        return found
    }

    private static func read(_ descriptor: CInt, _ offset: UInt64, _ length: Int) -> [UInt8] {
        guard let offset = Int(exactly: offset), length > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: length)
        var count = 0
        while count < length {
            let read = unsafe bytes.withUnsafeMutableBytes { bytes in
                unsafe pread(descriptor, bytes.baseAddress.map { unsafe $0 + count }, length - count, offset + count)
            }
            guard read > 0 else { break }
            count += read
        }
        return Array(bytes[..<count])
    }
}

extension ProcFiles {
    /// When a process was started, in ticks since boot: with its id it names the process for ever.
    static func startTicks(of process: Int32) -> UInt64? {
        guard let text = text("/proc/\(process)/stat"), let name = text.lastIndex(of: ")") else { return nil }
        // Field 22; the name is field 2, and may have spaces.
        let fields = text[text.index(after: name)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}
