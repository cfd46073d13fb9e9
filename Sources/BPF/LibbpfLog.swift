// libbpf's messages: collected for the thread that made the call, so that they become the detail of its error.
//
// Unsafe code of this file: C strings and the variable arguments of libbpf's print function.

import CLibbpf
import CLinux
import Glibc
import Synchronization

enum LibbpfLog {
    /// The end of the messages of one call that is kept: the verifier says what is wrong in its last lines.
    private static let tailLength = 6144

    private struct State {
        var handler: (@Sendable (BPFSystem.LogLevel, String) -> Void)?
        var captures: [UInt: String] = [:]
    }

    private static let state = Mutex(State())

    /// libbpf's print function is a global without a lock: it is set once, before the first call that can print.
    private static let isInstalled: Bool = {
        unsafe libbpf_set_print { level, format, arguments in
            guard let format = unsafe format, let arguments = unsafe arguments,
                let text = unsafe weft_format(format, arguments)
            else { return 0 }
            let line = unsafe String(cString: text)
            unsafe free(text)
            LibbpfLog.receive(line, level: level)
            return 0
        }
        return true
    }()

    static func setHandler(_ handler: @escaping @Sendable (BPFSystem.LogLevel, String) -> Void) {
        _ = isInstalled
        state.withLock { $0.handler = handler }
    }

    /// Runs `body` and returns its result with the end of what libbpf printed on this thread meanwhile.
    static func capturing<Result>(_ body: () -> Result) -> (Result, String) {
        _ = isInstalled
        let thread = UInt(pthread_self())
        let outer = state.withLock { $0.captures.updateValue("", forKey: thread) }
        let result = body()
        let text = state.withLock { state in
            let text = state.captures[thread] ?? ""
            state.captures[thread] = outer
            return text
        }
        return (result, tail(of: text))
    }

    private static func receive(_ line: String, level: libbpf_print_level) {
        let thread = UInt(pthread_self())
        let handler = state.withLock { state in
            if level != LIBBPF_DEBUG, state.captures[thread] != nil { state.captures[thread]?.append(line) }
            return state.handler
        }
        guard let handler else { return }
        let severity: BPFSystem.LogLevel =
            switch level {
            case LIBBPF_WARN: .warning
            case LIBBPF_INFO: .info
            default: .debug
            }
        handler(severity, trimmed(line))
    }

    private static func tail(of text: String) -> String {
        let text = trimmed(text)
        guard text.utf8.count > tailLength else { return text }
        let end = text.utf8.suffix(tailLength)
        let start = end.firstIndex(of: UInt8(ascii: "\n")) ?? end.startIndex
        return "[…]" + String(decoding: end[start...], as: UTF8.self)
    }

    private static func trimmed(_ text: String) -> String {
        var text = Substring(text)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}

/// The text of an error number; libbpf's own numbers included.
func errorText(_ code: CInt) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    let size = buffer.count
    _ = unsafe buffer.withUnsafeMutableBufferPointer { unsafe libbpf_strerror(code, $0.baseAddress, size) }
    let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: text, as: UTF8.self)
}

/// A Swift string from a C string that may be missing.
func string(_ text: UnsafePointer<CChar>?) -> String {
    guard let text = unsafe text else { return "" }
    return unsafe String(cString: text)
}
