public import Mesh

/// Something in the configuration that cannot be accepted.
public struct ConfigError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Relative to the configuration directory; the directory itself if nothing of it could be read.
    public var file: String
    /// Counted from 1; 0 when the error is not of a place in the file.
    public var line: Int
    /// Of the YAML stream, counted from 1; 0 when the error is not of a document.
    public var document: Int
    /// Where in the document, for example `spec.ports[0].port`; empty for the document as a whole.
    public var path: String
    /// What is wrong and what would be right.
    public var message: String

    public init(file: String, line: Int = 0, document: Int = 0, path: String = "", message: String) {
        self.file = file
        self.line = line
        self.document = document
        self.path = path
        self.message = message
    }

    /// `file:line: document N: path: message`, without the parts that are not known.
    public var description: String {
        var text = line > 0 ? "\(file):\(line): " : "\(file): "
        if document > 0 { text += "document \(document): " }
        if !path.isEmpty { text += "\(path): " }
        return text + message
    }
}

/// What reading the configuration gave.
public struct ConfigOutcome: Sendable {
    /// The configuration in force from now on; nil when it was rejected and the last good one stays in force.
    public var snapshot: MeshSnapshot?
    /// The conditions of the objects in force.
    public var table: StatusTable
    /// Why it was rejected; by file and line.
    public var errors: [ConfigError]

    public init(snapshot: MeshSnapshot?, table: StatusTable, errors: [ConfigError]) {
        self.snapshot = snapshot
        self.table = table
        self.errors = errors
    }

    /// Every object in force with its conditions, by kind and name.
    public var statuses: [ObjectStatus] { table.statuses }
}
