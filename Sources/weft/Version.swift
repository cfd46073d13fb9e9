/// The version that `weft --version` prints.
let weftVersion = "0.1.0"
