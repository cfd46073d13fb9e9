import Mesh
import Testing

@Suite("SPIFFE ids")
struct SPIFFEIDTests {
    @Test(
        "what the standard allows is one",
        arguments: [
            "spiffe://cluster.local/ns/shop/sa/web", "spiffe://a", "spiffe://td_1.x-y/A.b-C_9",
            "spiffe://" + String(repeating: "a", count: 255) + "/x",
        ])
    func valid(text: String) throws {
        #expect(try #require(SPIFFEID(text)).description == text)
    }

    @Test(
        "what it forbids is none",
        arguments: [
            "", "spiffe://", "spiffe:///x", "SPIFFE://td/x", "https://td/x", "spiffe://TD/x", "spiffe://td:80/x",
            "spiffe://u@td/x", "spiffe://td/", "spiffe://td//x", "spiffe://td/x/", "spiffe://td/./x", "spiffe://td/..",
            "spiffe://td/x?q", "spiffe://td/x#f", "spiffe://td/%41", "spiffe://td/ü",
            "spiffe://" + String(repeating: "a", count: 256),
            "spiffe://td/" + String(repeating: "a", count: 2048),
        ])
    func invalid(text: String) {
        #expect(SPIFFEID(text) == nil)
    }
}
