internal import Synchronization

/// As a property it makes a large type one whose values functions only ever get the address of. Otherwise each call of a
/// function that changes nothing of such a value copies all of it first.
struct Pinned: ~Copyable, Sendable {
    // Atomics are at one address by their nature.
    private let word = Atomic<UInt8>(0)
}
