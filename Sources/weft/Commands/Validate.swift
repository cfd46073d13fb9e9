import ArgumentParser
import CLinux
import ConfigSources
import Glibc
import Mesh

struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration directory without an agent and without root.",
        discussion: """
            Errors go to standard error as 'file:line: path: message'; exit status 1 if there is one, or an object \
            with a condition that says something is wrong.

            EXAMPLES
              weft validate /etc/weft/mesh.d
              weft validate . -o json | jq '.objects[].kind'
            """)

    @Argument(help: ArgumentHelp("The directory with the YAML files.", valueName: "dir"))
    var directory: String

    @OptionGroup var format: OutputOptions

    func run() throws {
        var information = stat()
        guard unsafe stat(directory, &information) == 0 else {
            throw Failure.unknown("cannot read \(directory): \(errorText(weft_errno()))")
        }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw Failure.usage("\(directory) is not a directory: name the one with the YAML files")
        }
        let outcome = ConfigSources.validate(directory: directory, options: MeshOptions(node: ""))
        let list = ObjectList(outcome.statuses)
        let answer: Value = [
            "valid": .bool(outcome.errors.isEmpty && !list.isTroubled),
            "errors": .array(outcome.errors.map { $0.value }),
            "objects": list.value,
        ]
        format.print(answer) { Table(list.records).text(width: $0.width, colours: $0.hasColours) }
        for error in outcome.errors { Console.error("\(error)") }
        if !outcome.errors.isEmpty || list.isTroubled { throw end(with: .no) }
        if format.output == .table { Console.error("\(list.objects.count) objects are valid") }
    }
}

extension ConfigError {
    fileprivate var value: Value {
        [
            "file": .string(file), "line": line > 0 ? Value(line) : .null,
            "document": document > 0 ? Value(document) : .null,
            "path": path.isEmpty ? .null : .string(path), "message": .string(message),
        ]
    }
}
