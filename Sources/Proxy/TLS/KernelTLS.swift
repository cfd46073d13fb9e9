/// What the kernel does about the records of TLS 1.3 that a connection sends.
public enum KernelTLS: Sendable {
    /// Nothing: they are made here.
    case none
    /// It makes them, with the same key until the connection ends.
    case records
    /// And takes other keys (Linux 6.14).
    case updates
}
