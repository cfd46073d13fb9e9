import Testing
import WeftABI

/// bpf/lib/address.h, as it is compiled into the programs.
@Suite("Addresses in normal form")
struct AddressTests {
    /// The normal form of an IPv4 address, from its four bytes.
    private func v4(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) -> weft_address {
        weft_address_v4(UInt32(d) << 24 | UInt32(c) << 16 | UInt32(b) << 8 | UInt32(a))
    }

    /// An IPv6 address from its eight groups.
    private func v6(_ groups: UInt16...) -> weft_address {
        func word(_ index: Int) -> UInt32 {
            (UInt32(groups[2 * index]) << 16 | UInt32(groups[2 * index + 1])).bigEndian
        }
        return weft_address_v6(word(0), word(1), word(2), word(3))
    }

    private func bytes(_ address: weft_address) -> [UInt8] {
        [address.high, address.low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (8 * $0)) } }
    }

    private func classOf(_ address: weft_address) -> weft_address_class {
        var address = address
        return unsafe weft_address_class_of(&address)
    }

    @Test("An IPv4 address is its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)")
    func mappedForm() {
        var address = v4(192, 0, 2, 33)
        #expect(bytes(address) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 33])
        #expect(unsafe weft_address_is_v4(&address) == 1)
        #expect(unsafe weft_address_to_v4(&address) == UInt32(0xc000_0221).bigEndian)
    }

    @Test("What an AF_INET6 socket writes for a mapped address equals what an AF_INET socket writes")
    func mappedEqualsNative() {
        var native = v4(127, 96, 0, 10)
        var mapped = v6(0, 0, 0, 0, 0, 0xffff, 0x7f60, 0x000a)
        #expect(unsafe weft_address_equal(&native, &mapped) == 1)
        #expect(bytes(native) == bytes(mapped))
    }

    @Test("IPv6 bytes keep network order, and words come back as they went in")
    func wordsOfIPv6() {
        var address = v6(0x2001, 0xdb8, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6)
        #expect(bytes(address) == [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6])
        #expect(unsafe weft_address_is_v4(&address) == 0)
        let words = (0..<4).map { unsafe UInt32(bigEndian: weft_address_word(&address, UInt32($0))) }
        #expect(words == [0x2001_0db8, 0x0001_0002, 0x0003_0004, 0x0005_0006])
    }

    @Test("Deprecated IPv4-compatible addresses (::a.b.c.d) are not IPv4")
    func compatibleIsNotMapped() {
        var compatible = v6(0, 0, 0, 0, 0, 0, 0x7f60, 0x000a)
        #expect(unsafe weft_address_is_v4(&compatible) == 0)
    }

    @Test("Addresses that differ in either half differ")
    func inequality() {
        var a = v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)
        var low = v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)
        var high = v6(0x2001, 0xdb9, 0, 0, 0, 0, 0, 1)
        #expect(unsafe weft_address_equal(&a, &low) == 0)
        #expect(unsafe weft_address_equal(&a, &high) == 0)
        #expect(unsafe weft_address_equal(&a, &a) == 1)
    }

    @Test("0.0.0.0 and :: are unspecified, nothing else")
    func unspecified() {
        var addresses = [v4(0, 0, 0, 0), v6(0, 0, 0, 0, 0, 0, 0, 0), v4(0, 0, 0, 1), v6(0, 0, 0, 0, 0, 0, 0, 1)]
        let answers = addresses.indices.map { unsafe weft_address_is_unspecified(&addresses[$0]) }
        #expect(answers == [1, 1, 0, 0])
    }

    @Test("127.0.0.0/8 and ::1 are loopback")
    func loopback() {
        var addresses = [
            v4(127, 0, 0, 1), v4(127, 255, 255, 255), v6(0, 0, 0, 0, 0, 0, 0, 1),
            v4(128, 0, 0, 1), v4(126, 255, 255, 255), v6(0, 0, 0, 0, 0, 0, 0, 2), v6(0x100, 0, 0, 0, 0, 0, 0, 0),
        ]
        let answers = addresses.indices.map { unsafe weft_address_is_loopback(&addresses[$0]) }
        #expect(answers == [1, 1, 1, 0, 0, 0, 0])
    }

    @Test("Classes of IPv4 addresses have their registries' borders")
    func classesOfIPv4() {
        let expected: [(weft_address, weft_address_class)] = [
            (v4(127, 0, 0, 1), WEFT_CLASS_LOOPBACK),
            // RFC 1918.
            (v4(10, 0, 0, 0), WEFT_CLASS_PRIVATE), (v4(10, 255, 255, 255), WEFT_CLASS_PRIVATE),
            (v4(9, 255, 255, 255), WEFT_CLASS_PUBLIC), (v4(11, 0, 0, 0), WEFT_CLASS_PUBLIC),
            (v4(172, 16, 0, 0), WEFT_CLASS_PRIVATE), (v4(172, 31, 255, 255), WEFT_CLASS_PRIVATE),
            (v4(172, 15, 255, 255), WEFT_CLASS_PUBLIC), (v4(172, 32, 0, 0), WEFT_CLASS_PUBLIC),
            (v4(192, 168, 0, 0), WEFT_CLASS_PRIVATE), (v4(192, 169, 0, 0), WEFT_CLASS_PUBLIC),
            // RFC 6598.
            (v4(100, 64, 0, 0), WEFT_CLASS_PRIVATE), (v4(100, 127, 255, 255), WEFT_CLASS_PRIVATE),
            (v4(100, 63, 255, 255), WEFT_CLASS_PUBLIC), (v4(100, 128, 0, 0), WEFT_CLASS_PUBLIC),
            // RFC 3927.
            (v4(169, 254, 1, 1), WEFT_CLASS_LINK_LOCAL), (v4(169, 253, 255, 255), WEFT_CLASS_PUBLIC),
            // RFC 5771, and limited broadcast.
            (v4(224, 0, 0, 0), WEFT_CLASS_MULTICAST), (v4(239, 255, 255, 255), WEFT_CLASS_MULTICAST),
            (v4(240, 0, 0, 1), WEFT_CLASS_PUBLIC), (v4(255, 255, 255, 255), WEFT_CLASS_MULTICAST),
            (v4(192, 0, 2, 1), WEFT_CLASS_PUBLIC),
        ]
        for (address, expectedClass) in expected {
            #expect(classOf(address) == expectedClass, "\(bytes(address).suffix(4))")
        }
    }

    @Test("Classes of IPv6 addresses have their registries' borders")
    func classesOfIPv6() {
        let expected: [(weft_address, weft_address_class)] = [
            (v6(0, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_LOOPBACK),
            (v6(0xff02, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_MULTICAST),
            // fe80::/10.
            (v6(0xfe80, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_LINK_LOCAL),
            (v6(0xfebf, 0xffff, 0, 0, 0, 0, 0, 1), WEFT_CLASS_LINK_LOCAL),
            (v6(0xfec0, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_PUBLIC),
            // fc00::/7 (RFC 4193).
            (v6(0xfc00, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_PRIVATE),
            (v6(0xfdff, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_PRIVATE),
            (v6(0xfbff, 0, 0, 0, 0, 0, 0, 1), WEFT_CLASS_PUBLIC),
            (v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), WEFT_CLASS_PUBLIC),
            // A mapped address has the class of its IPv4 address.
            (v6(0, 0, 0, 0, 0, 0xffff, 0x0a00, 1), WEFT_CLASS_PRIVATE),
        ]
        for (address, expectedClass) in expected {
            #expect(classOf(address) == expectedClass, "\(bytes(address))")
        }
    }
}

@Suite("Identifiers of names")
struct IdentifierTests {
    private func identifier(_ kind: weft_name_kind, _ name: String) -> UInt64 {
        let bytes = Array(name.utf8)
        return unsafe bytes.withUnsafeBufferPointer {
            unsafe weft_id(UInt8(kind.rawValue), $0.baseAddress, UInt64($0.count))
        }
    }

    @Test("The same name has the same identifier, another kind or name another one")
    func sameNameSameIdentifier() {
        let web = identifier(WEFT_NAME_SERVICE, "shop/web:http")
        #expect(identifier(WEFT_NAME_SERVICE, "shop/web:http") == web)
        #expect(identifier(WEFT_NAME_WORKLOAD, "shop/web:http") != web)
        #expect(identifier(WEFT_NAME_SERVICE, "shop/web:https") != web)
    }

    /// Pinned maps outlive the agent: an identifier that changed with a release would orphan every entry.
    @Test("Identifiers are FNV-1a over kind and bytes, mixed: fixed for ever")
    func fixedForEver() {
        func reference(_ kind: UInt8, _ name: String) -> UInt64 {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in [kind] + Array(name.utf8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            // SplitMix64's finaliser (Stafford, variant 13).
            hash = (hash ^ hash >> 30) &* 0xbf58_476d_1ce4_e5b9
            hash = (hash ^ hash >> 27) &* 0x94d0_49bb_1331_11eb
            return hash ^ hash >> 31
        }
        for name in ["", "a", "shop/web:http", String(repeating: "x", count: 253)] {
            #expect(identifier(WEFT_NAME_SERVICE, name) == reference(1, name))
            #expect(identifier(WEFT_NAME_RULE, name) == reference(4, name))
        }
    }

    @Test("No two of 200,000 likely names share an identifier, and none is 0")
    func noCollisions() {
        var seen = Set<UInt64>()
        seen.reserveCapacity(200_000)
        for index in 0..<100_000 {
            seen.insert(identifier(WEFT_NAME_SERVICE, "namespace-\(index % 100)/service-\(index):http"))
            seen.insert(identifier(WEFT_NAME_WORKLOAD, "namespace-\(index % 100)/service-\(index):http"))
        }
        #expect(seen.count == 200_000)
        #expect(!seen.contains(0))
    }
}
