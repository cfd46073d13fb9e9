/// A file of the dashboard, part of this binary: HTML, style sheets, scripts and pictures, all of them text.
public struct DashboardFile: Sendable {
    /// The file's name, without a directory.
    public let name: String
    /// A digest of the text, in hexadecimal digits: another text has another tag.
    public let tag: String
    private let text: StaticString

    init(name: String, tag: String, text: StaticString) {
        self.name = name
        self.tag = tag
        self.text = text
    }

    /// The text in UTF-8.
    public var bytes: [UInt8] { text.withUTF8Buffer { unsafe Array($0) } }

    /// The media type by the name's end.
    public var contentType: String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "text/plain; charset=utf-8"
        }
    }

    /// The page that a browser asks for first.
    public static let start = "index.html"

    /// The file with this name; nil if there is none.
    public static func named(_ name: String) -> DashboardFile? { all.first { $0.name == name } }
}
