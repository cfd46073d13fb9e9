import CLinux
import Glibc
import Synchronization

/// The whole terminal, for a command that redraws it: its other screen buffer, without echo and without a cursor. It is
/// given back as it was, whatever ends the command.
final class Screen {
    private var saved = termios()
    private var isTaken = false

    /// A signal that ends the command has come.
    private static let isEnded = Atomic(false)

    /// Xterm's sequences: alternate screen, hidden cursor, no wrapping of long lines.
    private static let enter = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l"
    private static let leave = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"

    /// nil unless both standard input and output are terminals that can do more than print.
    init?() {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1, environment("TERM") != "dumb",
            unsafe tcgetattr(STDIN_FILENO, &saved) == 0
        else { return nil }
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in Screen.isEnded.store(true, ordering: .relaxed) }
        }
        // Wakes the wait for a key, so that the screen is drawn for its new size.
        signal(SIGWINCH) { _ in }
        take()
    }

    deinit { giveBack() }

    var isEnded: Bool { Self.isEnded.load(ordering: .relaxed) }

    /// Columns and lines now.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    private func take() {
        guard !isTaken else { return }
        var raw = saved
        // Ctrl-C and Ctrl-Z come as keys, so that the screen is given back first.
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        raw.c_iflag &= ~tcflag_t(IXON | ICRNL)
        _ = unsafe tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw)
        Console.write(Self.enter)
        isTaken = true
    }

    func giveBack() {
        guard isTaken else { return }
        isTaken = false
        _ = unsafe tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved)
        Console.write(Self.leave)
    }

    /// Stops as Ctrl-Z does, and goes on when the shell says so.
    func suspend() {
        giveBack()
        raise(SIGSTOP)
        take()
    }

    func draw(_ lines: [String]) {
        // One write, and nothing is cleared before it is written over: no flicker.
        Console.write("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }

    /// Keys that are pressed before the time is over; none when the terminal's size changes.
    func keys(within seconds: Double) -> [TopView.Key] {
        var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&descriptor, 1, CInt(max(0, seconds) * 1000)) > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(STDIN_FILENO, $0.baseAddress, $0.count) }
        // The terminal is gone.
        if count == 0 || count < 0 && weft_errno() != EINTR && weft_errno() != EAGAIN {
            Self.isEnded.store(true, ordering: .relaxed)
        }
        return count > 0 ? KeyReader.keys(bytes[..<count]) : []
    }
}
