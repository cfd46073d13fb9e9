import Foundation

// What an administrator carries from the node with the root to the one that has its intermediate from files.
extension Cluster {
    var authorityOfB: String { "\(sandbox.directory)/authority-b" }

    /// Gives node b the bundle of node a's CA, and waits until its peers are checked by it.
    func distributeBundle() throws {
        let bundle = try a.weft("ca", "bundle")
        guard bundle.succeeded else { throw TestFailure("weft ca bundle: \(bundle.errors)") }
        let before = try generation(b)
        try replace("bundle.pem", bundle.output)
        try eventually("node b has the bundle") { try generation(b) > before }
    }

    /// Gives node b an intermediate that ends so many seconds from now, and waits until its certificates come from there.
    func distributeIntermediate(lifetime: Double) throws {
        let before = try serial(b, "web")
        let made = try PeerCertificates(sandbox, of: a, isRoot: true).issue(.authority(lifetime: lifetime))
        let text = try ["leaf", "key"].map { try String(contentsOfFile: "\(made)/\($0).pem", encoding: .utf8) }.joined()
        try replace("node.pem", text)
        try eventually("node b's certificates come from the new intermediate") { try serial(b, "web") != before }
    }

    /// Gives node b an intermediate and a bundle, and waits until its certificates come from there.
    func distributeIntermediate() throws {
        let before = try serial(b, "web")
        let issued = try a.weft("ca", "issue-node", "node-b", "--out", authorityOfB)
        guard issued.succeeded else { throw TestFailure("weft ca issue-node: \(issued.errors)") }
        try eventually("node b's certificates come from the new intermediate") { try serial(b, "web") != before }
    }

    private func replace(_ name: String, _ text: String) throws {
        let file = "\(authorityOfB)/\(name)"
        try text.write(toFile: "\(file).new", atomically: false, encoding: .utf8)
        guard unsafe rename("\(file).new", file) == 0 else { throw TestFailure("rename: \(Command.message(errno))") }
    }

    /// Of a service account's certificate.
    func serial(_ node: Node, _ account: String) throws -> String {
        guard let serial = try node.weftJSON("identity", "show", "shop/\(account)")["serial"].string else {
            throw TestFailure("\(account) has no certificate")
        }
        return serial
    }

    private func generation(_ node: Node) throws -> Int {
        guard let text = node.get("http://127.0.0.1:\(node.adminPort)/v1/ca"),
            let generation = try JSON(text)["generation"].int
        else { throw TestFailure("no answer from \(node.name)'s admin API") }
        return generation
    }
}
