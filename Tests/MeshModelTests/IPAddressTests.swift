import Glibc
import Mesh
import Testing

@Suite("IPAddress and IPBlock")
struct IPAddressTests {
    static let texts = [
        "0.0.0.0", "127.0.0.1", "255.255.255.255", "10.0.0.7", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4",
        "1.2.3.04",
        "1..2.3", ".1.2.3", "1.2.3.", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4/8", "0x1.2.3.4", "1.2.3.a", "", "+1.2.3.4",
        "::", "::1", "1::", "2001:db8::1", "2001:DB8:0:0:8:800:200C:417A", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":::", "::1:", "12345::", "g::",
        "::ffff:10.0.0.7", "::ffff:a00:7", "::10.0.0.7", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3",
        "::1.2.3.4:5", "1::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "fe80::1%eth0", "[::1]", ":", "1:",
        "::ffff:1.2.3.256", "1:2::3.4.5.6",
    ]

    @Test("parses exactly what inet_pton does, to the same address", arguments: texts)
    func parsing(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        var expected: [UInt8]?
        if unsafe inet_pton(AF_INET6, text, &bytes) == 1 {
            expected = bytes
        } else if unsafe inet_pton(AF_INET, text, &bytes) == 1 {
            expected = [UInt8](repeating: 0, count: 10) + [255, 255] + bytes[..<4]
        }
        #expect(IPAddress(text)?.bytes == expected)
    }

    @Test(
        "writes the canonical form (RFC 5952)",
        arguments: [
            ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("::ffff:a00:7", "10.0.0.7"), ("10.0.0.7", "10.0.0.7"),
        ])
    func writing(_ text: String, _ canonical: String) throws {
        #expect(try #require(IPAddress(text)).description == canonical)
    }

    @Test(
        "blocks",
        arguments: [
            ("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"), ("::1", "::1/128"), ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ])
    func blocks(_ text: String, _ canonical: String) throws {
        #expect(try #require(IPBlock(text)).description == canonical)
    }

    @Test(
        "what is no block",
        arguments: ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "/8", "::/129", "a/8", ""])
    func noBlocks(_ text: String) {
        #expect(IPBlock(text) == nil)
    }

    @Test("a block holds the addresses of its family only")
    func contains() throws {
        func contains(_ block: String, _ address: String) throws -> Bool {
            try #require(IPBlock(block)).contains(try #require(IPAddress(address)))
        }
        #expect(try contains("10.0.0.0/8", "10.255.0.1"))
        #expect(try !contains("10.0.0.0/8", "11.0.0.1"))
        #expect(try contains("0.0.0.0/0", "11.0.0.1"))
        #expect(try !contains("0.0.0.0/0", "2001:db8::1"))
        #expect(try contains("::/0", "2001:db8::1"))
        #expect(try !contains("::/0", "11.0.0.1"))
        #expect(try contains("2001:db8::/33", "2001:db8:7fff::1"))
        #expect(try !contains("2001:db8::/33", "2001:db8:8000::1"))
    }
}
