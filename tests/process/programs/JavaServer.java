import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.Executors;

/** The JDK's own HTTP server: JavaServer FOLDER HOST PORT THREADS (0: its default, one thread for everything). */
public class JavaServer {
    static Path folder;

    static void send(HttpExchange exchange, int status, byte[] body) throws java.io.IOException {
        boolean head = exchange.getRequestMethod().equals("HEAD");
        if (head)
            exchange.getResponseHeaders().set("Content-Length", String.valueOf(body.length));
        exchange.sendResponseHeaders(status, head || body.length == 0 ? -1 : body.length);
        if (!head && body.length > 0)
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        exchange.close();
    }

    static void chunked(HttpExchange exchange) throws java.io.IOException {
        exchange.sendResponseHeaders(200, 0);
        try (OutputStream out = exchange.getResponseBody()) {
            for (int number = 0; number < 7; number++) {
                byte[] piece = new byte[9000];
                java.util.Arrays.fill(piece, (byte) (65 + number));
                out.write(piece);
            }
        }
        exchange.close();
    }

    /** What this server takes for a request is noted where a test wants to know it. */
    static synchronized void note(HttpExchange exchange) throws java.io.IOException {
        String log = System.getenv("REQUEST_LOG");
        if (log != null)
            Files.writeString(Path.of(log), exchange.getRequestMethod() + " " + exchange.getRequestURI() + "\n",
                              StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    static void handle(HttpExchange exchange) {
        try {
            note(exchange);
            byte[] body = exchange.getRequestBody().readAllBytes();
            String path = exchange.getRequestURI().getPath();
            if (path.equals("/chunked")) {
                chunked(exchange);
            } else if (exchange.getRequestMethod().equals("POST")) {
                send(exchange, 200, body);
            } else if (path.equals("/slow")) {
                Thread.sleep(Integer.parseInt(exchange.getRequestURI().getQuery().split("=")[1]));
                send(exchange, 200, "slow\n".getBytes());
            } else if (path.equals("/held")) {
                while (!Files.exists(folder.resolve("release." + exchange.getRequestURI().getQuery())))
                    Thread.sleep(10);
                send(exchange, 200, "held\n".getBytes());
            } else if (path.equals("/error")) {
                send(exchange, 500, "error\n".getBytes());
            } else {
                Path file = folder.resolve(path.substring(1).replace('/', '_'));
                boolean found = Files.isRegularFile(file);
                send(exchange, found ? 200 : 404, found ? Files.readAllBytes(file) : "nothing\n".getBytes());
            }
        } catch (Exception error) {
            exchange.close();
        }
    }

    public static void main(String[] arguments) throws Exception {
        folder = Path.of(arguments[0]);
        HttpServer server = HttpServer.create(
            new InetSocketAddress(arguments[1], Integer.parseInt(arguments[2])), 256);
        server.createContext("/", JavaServer::handle);
        int threads = Integer.parseInt(arguments[3]);
        if (threads > 0)
            server.setExecutor(Executors.newFixedThreadPool(threads));
        server.start();
    }
}
