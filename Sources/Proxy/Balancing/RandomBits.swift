/// Random numbers for balancing, jitter and shares (SplitMix64): fast, of good quality, and no secret.
public struct RandomBits: RandomNumberGenerator, BitwiseCopyable, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        return mix64(state)
    }
}
