import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * Moves a file over HTTP/1.1 and compares it, with the JDK's own server and client.
 *
 * Transfer serve ADDRESS PORT FILE: GET /file is the file, PUT is answered with the body's SHA-256, anything else with
 * "small". Transfer fetch ADDRESS PORT FILE N: gets and puts the file, after N small requests.
 */
public class Transfer {
    static String digest(byte[] content) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    }

    static void serve(String address, int port, byte[] content) throws Exception {
        var server = HttpServer.create(new InetSocketAddress(address, port), 128);
        server.createContext("/", exchange -> {
            try (exchange) {
                byte[] body = exchange.getRequestBody().readAllBytes();
                byte[] answer = "small".getBytes();
                if (exchange.getRequestMethod().equals("PUT")) {
                    answer = digest(body).getBytes();
                } else if (exchange.getRequestURI().getPath().equals("/file")) {
                    answer = content;
                }
                exchange.sendResponseHeaders(200, answer.length);
                exchange.getResponseBody().write(answer);
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        });
        server.start();
        System.out.println("ready");
    }

    static void fetch(String address, int port, byte[] content, int count) throws Exception {
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var base = "http://" + address + ":" + port;
        for (int i = 0; i < count; i++) {
            var request = HttpRequest.newBuilder(URI.create(base + "/small")).build();
            if (!client.send(request, BodyHandlers.ofString()).body().equals("small")) {
                throw new Exception("not the small answer");
            }
        }
        var get = HttpRequest.newBuilder(URI.create(base + "/file")).build();
        if (!Arrays.equals(client.send(get, BodyHandlers.ofByteArray()).body(), content)) {
            throw new Exception("what came is not the file");
        }
        var put = HttpRequest.newBuilder(URI.create(base + "/file"))
            .PUT(HttpRequest.BodyPublishers.ofByteArray(content)).build();
        if (!client.send(put, BodyHandlers.ofString()).body().equals(digest(content))) {
            throw new Exception("what arrived is not the file");
        }
        System.out.println("same");
    }

    public static void main(String[] arguments) throws Exception {
        byte[] content = Files.readAllBytes(Path.of(arguments[3]));
        int port = Integer.parseInt(arguments[2]);
        if (arguments[0].equals("serve")) {
            serve(arguments[1], port, content);
        } else {
            fetch(arguments[1], port, content, Integer.parseInt(arguments[4]));
        }
    }
}
