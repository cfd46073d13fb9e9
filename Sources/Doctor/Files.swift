// Unsafe code of this file: buffers and names for the duration of one system call.

import CLinux
import Glibc

/// Why a file could not be read or written.
struct FileProblem: Error { let errno: CInt }

/// The text of a file of at most 256 KiB, without a line feed at its end.
func readSmall(_ path: String) throws(FileProblem) -> String {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileProblem(errno: weft_errno()) }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16384)
    while true {
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count == 0 { break }
        guard count > 0 else {
            if weft_errno() == EINTR { continue }
            throw FileProblem(errno: weft_errno())
        }
        content += chunk[..<count]
        guard content.count <= 256 * 1024 else { throw FileProblem(errno: EFBIG) }
    }
    if content.last == UInt8(ascii: "\n") { content.removeLast() }
    return String(decoding: content, as: UTF8.self)
}

/// Replaces a file by a new one, so that a reader sees all of it or all of what was there before. Only its owner can read
/// it.
func replaceFile(_ path: String, with content: [UInt8]) throws(FileProblem) {
    let new = "\(path).\(getpid())"
    let descriptor = unsafe open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw FileProblem(errno: weft_errno()) }
    let written = unsafe write(descriptor, content, content.count)
    let code = written == content.count ? 0 : written < 0 ? weft_errno() : ENOSPC
    close(descriptor)
    guard code == 0, unsafe rename(new, path) == 0 else {
        let problem = FileProblem(errno: code != 0 ? code : weft_errno())
        unsafe unlink(new)
        throw problem
    }
}

/// The names in a directory, sorted; empty if it cannot be read.
func directoryEntries(_ path: String) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafeBytes(of: unsafe entry.pointee.d_name) { buffer in
            unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}
