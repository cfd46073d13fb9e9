import CLinux
import Glibc

/// One line that says how far something is: rewritten on a terminal, a new line for each change elsewhere. It goes to
/// standard error, so that the answer alone is on standard output.
struct ProgressLine {
    private let terminal = Terminal(descriptor: STDERR_FILENO)
    private var shown = ""

    mutating func show(_ text: String) {
        guard text != shown else { return }
        shown = text
        if let width = terminal.width {
            Console.write("\r\u{1b}[K" + cut(printable(text), to: width - 1), to: STDERR_FILENO)
        } else {
            Console.error(text)
        }
    }

    /// Leaves the terminal at the beginning of an empty line.
    mutating func finish() {
        guard terminal.isTerminal, !shown.isEmpty else { return }
        Console.write("\r\u{1b}[K", to: STDERR_FILENO)
        shown = ""
    }
}
