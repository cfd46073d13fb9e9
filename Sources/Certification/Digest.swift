// Unsafe code of this file: OpenSSL's contexts, and the buffers that it reads and fills.

import CLinux
import COpenSSL
import Glibc

/// SHA-256, as 64 hexadecimal digits.
enum Digest {
    static func sha256(of bytes: [UInt8]) -> String {
        var isGiven = false
        return sha256 {
            defer { isGiven = true }
            return isGiven ? [] : bytes[...]
        } ?? ""
    }

    /// Of what the descriptor reads, to its end; nil if it cannot be read.
    static func sha256(ofFile descriptor: CInt) -> String? {
        var chunk = [UInt8](repeating: 0, count: 256 * 1024)
        return sha256 {
            while true {
                let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
                if count >= 0 { return chunk[..<count] }
                guard weft_errno() == EINTR else { return nil }
            }
        }
    }

    /// - Parameter next: the next piece; empty at the end, nil for a failure.
    private static func sha256(_ next: () -> ArraySlice<UInt8>?) -> String? {
        guard let context = unsafe EVP_MD_CTX_new() else { return nil }
        defer { unsafe EVP_MD_CTX_free(context) }
        guard unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else { return nil }
        while true {
            guard let piece = next() else { return nil }
            guard !piece.isEmpty else { break }
            let isTaken = unsafe piece.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
            guard isTaken == 1 else { return nil }
        }
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        guard unsafe EVP_DigestFinal_ex(context, &digest, &length) == 1 else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: digest[..<Int(length)].flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
