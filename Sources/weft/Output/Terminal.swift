import CLinux
import Glibc

/// What standard output is.
struct Terminal: Sendable {
    /// Nil unless standard output is a terminal.
    let width: Int?
    /// Only on a terminal, and neither with NO_COLOR set (https://no-color.org) nor with TERM=dumb.
    let hasColours: Bool

    var isTerminal: Bool { width != nil }

    static let standardOutput = Terminal(descriptor: STDOUT_FILENO)

    init(descriptor: CInt) {
        guard isatty(descriptor) == 1 else {
            width = nil
            hasColours = false
            return
        }
        var size = winsize()
        let known = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        width = known ? Int(size.ws_col) : 80
        hasColours = (environment("NO_COLOR") ?? "").isEmpty && environment("TERM") != "dumb"
    }
}

/// The meaning of a piece of text, shown as a colour where there are colours.
enum Style: Sendable {
    case plain, heading, good, bad, caution, faint

    /// SGR sequences (ECMA-48 §8.3.117) with the terminal's own sixteen colours.
    private var code: String? {
        switch self {
        case .plain: nil
        case .heading: "1"
        case .good: "32"
        case .bad: "31"
        case .caution: "33"
        case .faint: "2"
        }
    }

    func apply(to text: String) -> String {
        guard let code else { return text }
        return "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }
}

/// A variable of the environment; nil if it is not set.
func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}
