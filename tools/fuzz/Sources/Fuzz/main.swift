import CFuzzer
import Glibc

/// `Fuzz TARGET [libFuzzer's own arguments]`.
let targets: [(name: String, test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt)] = unsafe [
    ("RequestHead", fuzzRequestHead), ("ResponseHead", fuzzResponseHead), ("ChunkedBody", fuzzChunkedBody),
    ("Path", fuzzPath), ("KernelReading", fuzzKernelReading), ("ShortcutHead", fuzzShortcutHead),
]
guard CommandLine.argc > 1, let target = unsafe targets.first(where: { unsafe $0.name == CommandLine.arguments[1] })
else {
    print("usage: Fuzz \(unsafe targets.map { unsafe $0.name }.joined(separator: "|")) [ARGUMENT...]")
    exit(2)
}
exit(unsafe weft_fuzz(CommandLine.argc - 1, CommandLine.unsafeArgv + 1, target.test))
