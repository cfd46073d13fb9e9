import CLinux
import Glibc

/// Whether the kernel can take the encryption over (`tls` module).
enum KernelTLS {
    private static let upperLayerProtocol: CInt = 31

    /// Asked once: with each question the kernel looks for the module, which costs a process where there is none.
    static let isAvailable: Bool = {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // ENOENT without the module; with it the socket is wrong, since it has no connection.
        let result = unsafe "tls".withCString {
            unsafe setsockopt(descriptor, CInt(IPPROTO_TCP), upperLayerProtocol, $0, 3)
        }
        return result == 0 || errno == ENOTCONN
    }()
}
