import FoundationEssentials
import Testing

@testable import weft

@Suite struct ValueTests {
    private let value: Value = [
        "name": "shop/web", "id": .identifier(0xfe), "count": 3, "big": .unsigned(.max), "share": .number(0.5),
        "none": .null, "empty": [], "nothing": .object(Value.Object()),
        "endpoints": [["address": "10.0.0.7:8080", "ready": true], ["address": "[fd00::1]:80", "ready": false]],
        "nested": [[1, 2], []],
    ]

    @Test func writesJSONInTheOrderOfItsKeys() {
        #expect(
            value.json(indented: false)
                == #"{"name":"shop/web","id":"0x00000000000000fe","count":3,"big":18446744073709551615,"share":0.5,"#
                + #""none":null,"empty":[],"nothing":{},"endpoints":[{"address":"10.0.0.7:8080","ready":true},"#
                + #"{"address":"[fd00::1]:80","ready":false}],"nested":[[1,2],[]]}"#)
    }

    @Test func indentedJSONIsTheSameDocument() throws {
        struct Document: Decodable, Equatable {
            var name: String
            var big: UInt64
            var nested: [[Int]]
        }
        let text = value.json(indented: true)
        let decoded = try JSONDecoder().decode(Document.self, from: Data(text.utf8))
        #expect(decoded == Document(name: "shop/web", big: .max, nested: [[1, 2], []]))
        #expect(text.hasPrefix("{\n  \"name\": \"shop/web\",\n"))
    }

    @Test func escapesWhatJSONCannotHold() throws {
        let text = "a\"b\\c\n\t\u{1}\u{7f}\u{85}é店"
        let json = Value.string(text).json(indented: false)
        #expect(json == #""a\"b\\c\n\t\u0001\u007f\u0085é店""#)
        #expect(try JSONDecoder().decode([String].self, from: Data("[\(json)]".utf8)) == [text])
    }

    @Test func hasNoNumberForWhatIsNone() {
        #expect(Value.number(.infinity).json(indented: false) == "null")
    }

    @Test func writesYAMLInBlockStyle() {
        #expect(
            value.yaml() == """
                name: shop/web
                id: "0x00000000000000fe"
                count: 3
                big: 18446744073709551615
                share: 0.5
                none: null
                empty: []
                nothing: {}
                endpoints:
                - address: "10.0.0.7:8080"
                  ready: true
                - address: "[fd00::1]:80"
                  ready: false
                nested:
                -
                  - 1
                  - 2
                - []

                """)
    }

    @Test(arguments: [
        "", "true", "No", "null", "1", "0x1", "-", "- a", "a: b", "a:", "#", "*x", "&x", "!t", "a b", "~", ".5", "a\nb",
    ])
    func quotesStringsThatYAMLReadsAsSomethingElse(_ text: String) {
        #expect(Value.string(text).yaml() == Value.quoted(text) + "\n")
    }

    @Test func keepsAnObjectsKeysUnique() {
        var object: Value.Object = ["a": 1, "b": 2, "a": 3]
        #expect(object.members.map(\.key) == ["a", "b"] && object["a"] == 3)
        object["a"] = nil
        #expect(object.members.map(\.key) == ["b"])
    }
}
