/// What a file may ask for before it is refused: far beyond any real configuration, well within memory.
struct YAMLLimits: Sendable {
    /// Bytes of one file.
    var fileSize = 64 << 20
    /// Documents of one file.
    var documents = 250_000
    /// Mappings and sequences inside each other.
    var depth = 64
    /// Values of one object.
    var values = 1_000_000
    /// Aliases in one document.
    var aliases = 500
    /// Values that the aliases of one document stand for, taken together.
    var aliasedValues = 100_000
}
