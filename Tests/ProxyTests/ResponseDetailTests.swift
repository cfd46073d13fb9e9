import Proxy
import Testing

@Suite struct ResponseDetailTests {
    @Test func everyDetailHasATextOfItsOwn() {
        let texts = ResponseDetail.allCases.map(\.text)
        #expect(Set(texts).count == texts.count)
    }

    @Test func everyFlagHasANameOfItsOwn() {
        let names = ResponseFlags.names
        #expect(Set(names.map(\.name)).count == names.count)
        #expect(Set(names.map(\.flag)).count == names.count)
    }
}
