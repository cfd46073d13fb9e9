import CLinux
import Glibc

/// Threads beside the engine's workers, which end before whoever they work for does.
public enum ServiceThread {
    /// Starts a thread that works for `owner`, which it keeps alive until `body` returns.
    ///
    /// - Returns: what `join` takes; or errno when there can be no further thread.
    public static func start<Owner: AnyObject & Sendable>(
        _ name: String, _ owner: Owner, _ body: @escaping @Sendable (Owner) -> Void
    ) -> Result<UInt, Failure> {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(
            Start {
                unsafe weft_name_thread(name)
                body(owner)
            })
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        guard error == 0 else {
            unsafe argument.release()
            return .failure(Failure(errno: error))
        }
        return .success(UInt(thread))
    }

    /// Waits for its end.
    public static func join(_ thread: UInt) { _ = pthread_join(pthread_t(thread), nil) }

    /// There can be no further thread.
    public struct Failure: Error { public let errno: CInt }

    private final class Start: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
