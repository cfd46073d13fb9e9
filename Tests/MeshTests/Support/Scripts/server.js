// The same answers as wsgi.py, by Node. Usage: server.js ADDRESS PORT
const http = require("http");

const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const [, kind, text] = request.url.split("/");
    const size = parseInt(text || "0");
    if (kind === "chunks") {
      response.writeHead(200);
      for (let start = 0; start < size; start += 1000) response.write("y".repeat(Math.min(1000, size - start)));
      response.end();
      return;
    }
    response.writeHead(kind === "length" || kind === "file" ? 200 : 404, { "Content-Length": size });
    response.end(request.method === "HEAD" ? "" : "y".repeat(size));
  });
});
server.listen(parseInt(process.argv[3]), process.argv[2], () => console.log("ready"));
