import CLinux
import Glibc

/// A log file of bounded size: when a line does not fit any more, `FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2`, and
/// so on; the last one is replaced.
///
/// Nothing that happens to the file stops its writer: what could not be written is counted, and every write tries anew. A
/// file that others have moved away or removed is made again. Confined to one thread.
final class RotatingFile {
    let path: String
    /// The size from which the file is not written any further; a line that is longer gets a file of its own.
    let maxBytes: Int
    /// Files that are kept, the one that is written among them.
    let count: Int
    private var descriptor: CInt
    private var size = 0
    /// Whether it is a file that can be rotated, and not a pipe or a device.
    private var isRegular = true

    /// Opens the file, or makes it (0640).
    init(_ path: String, maxBytes: Int, count: Int) throws(SystemError) {
        self.path = path
        self.maxBytes = max(maxBytes, 1)
        self.count = max(count, 1)
        descriptor = Self.open(path)
        guard descriptor >= 0 else { throw SystemError("open the log \(path)") }
        look()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Does not wait for the reader of a pipe.
    private static func open(_ path: String) -> CInt {
        unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o640)
    }

    private func look() {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return }
        isRegular = status.st_mode & S_IFMT == S_IFREG
        size = Int(status.st_size)
    }

    /// Writes lines, each with its line feed.
    ///
    /// - Parameter ends: the end of each line in `bytes`.
    /// - Returns: how many of them are not in the file.
    func write(_ bytes: [UInt8], ends: [Int]) -> Int {
        reopenIfMoved()
        var written = 0
        var start = 0
        while written < ends.count {
            guard descriptor >= 0 else { return ends.count - written }
            // As many lines as have room.
            var next = written
            while next < ends.count, !isRegular || size + ends[next] - start <= maxBytes { next += 1 }
            if next == written {
                guard size == 0 || rotate() else { return ends.count - written }
                // It is too long for any file.
                next += 1
            }
            let end = write(bytes, from: start, to: ends[next - 1])
            guard end == ends[next - 1] else {
                // A line that was cut would spoil the next one.
                while written < next, ends[written] <= end {
                    start = ends[written]
                    written += 1
                }
                takeBack(end - start)
                return ends.count - written
            }
            (written, start) = (next, end)
        }
        return 0
    }

    /// Returns where it has ended.
    private func write(_ bytes: [UInt8], from start: Int, to end: Int) -> Int {
        var place = start
        while place < end {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress.map { unsafe $0 + place }, end - place)
            }
            if count < 0 && weft_errno() == EINTR { continue }
            guard count > 0 else { break }
            place += count
            size += count
        }
        return place
    }

    private func takeBack(_ count: Int) {
        guard count > 0, isRegular, ftruncate(descriptor, off_t(size - count)) == 0 else { return }
        size -= count
    }

    private func reopenIfMoved() {
        var there = stat()
        var own = stat()
        if descriptor >= 0, unsafe fstat(descriptor, &own) == 0 {
            if unsafe stat(path, &there) == 0, there.st_ino == own.st_ino, there.st_dev == own.st_dev {
                // Others may have emptied it.
                size = Int(own.st_size)
                return
            }
        }
        let opened = Self.open(path)
        guard opened >= 0 else { return }
        if descriptor >= 0 { close(descriptor) }
        descriptor = opened
        look()
    }

    /// Makes room by moving the files on; false if that is not possible, and then nothing more is written: the disk is
    /// not filled by what was to be bounded.
    private func rotate() -> Bool {
        if count > 1 {
            for number in stride(from: count - 2, through: 1, by: -1) {
                _ = unsafe rename("\(path).\(number)", "\(path).\(number + 1)")
            }
            guard unsafe rename(path, "\(path).1") == 0 else { return false }
            let opened = Self.open(path)
            guard opened >= 0 else { return false }
            close(descriptor)
            descriptor = opened
        } else {
            guard ftruncate(descriptor, 0) == 0 else { return false }
        }
        size = 0
        return true
    }
}
