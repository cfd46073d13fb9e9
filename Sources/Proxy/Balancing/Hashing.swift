/// A bijection of 64 bits in which every bit of the result depends on every bit of the argument (SplitMix64's).
@inline(__always)
func mix64(_ value: UInt64) -> UInt64 {
    var value = value
    value ^= value >> 30
    value = value &* 0xbf58_476d_1ce4_e5b9
    value ^= value >> 27
    value = value &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
}

/// A uniform number below `count` from 32 random bits, without division (Lemire).
@inline(__always)
func scale(_ random: UInt32, _ count: Int) -> Int {
    Int(truncatingIfNeeded: (UInt64(random) &* UInt64(truncatingIfNeeded: count)) >> 32)
}

/// XXH64: what ring hash and Maglev hash keys with, equal on every node.
/// Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
public func xxHash64(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
    let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
    let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
    let prime3: UInt64 = 0x1656_67b1_9e37_79f9
    let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
    let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

    @inline(__always)
    func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 { value << bits | value >> (64 - bits) }
    @inline(__always)
    func round(_ lane: UInt64, _ input: UInt64) -> UInt64 { rotate(lane &+ input &* prime2, 31) &* prime1 }
    @inline(__always)
    func word<Word: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: Word.Type) -> Word {
        Word(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: type))
    }

    let count = bytes.byteCount
    var offset = 0
    var hash: UInt64
    if count >= 32 {
        var lanes = (seed &+ prime1 &+ prime2, seed &+ prime2, seed, seed &- prime1)
        while offset + 32 <= count {
            lanes.0 = round(lanes.0, word(offset, as: UInt64.self))
            lanes.1 = round(lanes.1, word(offset + 8, as: UInt64.self))
            lanes.2 = round(lanes.2, word(offset + 16, as: UInt64.self))
            lanes.3 = round(lanes.3, word(offset + 24, as: UInt64.self))
            offset += 32
        }
        hash = rotate(lanes.0, 1) &+ rotate(lanes.1, 7) &+ rotate(lanes.2, 12) &+ rotate(lanes.3, 18)
        hash = (hash ^ round(0, lanes.0)) &* prime1 &+ prime4
        hash = (hash ^ round(0, lanes.1)) &* prime1 &+ prime4
        hash = (hash ^ round(0, lanes.2)) &* prime1 &+ prime4
        hash = (hash ^ round(0, lanes.3)) &* prime1 &+ prime4
    } else {
        hash = seed &+ prime5
    }
    hash = hash &+ UInt64(count)
    while offset + 8 <= count {
        hash = rotate(hash ^ round(0, word(offset, as: UInt64.self)), 27) &* prime1 &+ prime4
        offset += 8
    }
    if offset + 4 <= count {
        hash = rotate(hash ^ UInt64(word(offset, as: UInt32.self)) &* prime1, 23) &* prime2 &+ prime3
        offset += 4
    }
    while offset < count {
        hash = rotate(hash ^ UInt64(word(offset, as: UInt8.self)) &* prime5, 11) &* prime1
        offset += 1
    }
    hash = (hash ^ hash >> 33) &* prime2
    hash = (hash ^ hash >> 29) &* prime3
    return hash ^ hash >> 32
}
