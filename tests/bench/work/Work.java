import jakarta.servlet.http.*;
import java.io.IOException;
import java.lang.management.*;

/** Computes WORK_MS milliseconds for each request. */
public class Work extends HttpServlet {
    private static int rounds;

    static int compute(int rounds) {
        int sum = 0;
        for (int number = 0; number < rounds; number++) sum = (int) ((sum * 31L + number) % 1000003);
        return sum;
    }

    @Override public void init() {
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long best = Long.MAX_VALUE, seen = 0;
        for (int turn = 0; turn < 200; turn++) {
            long before = threads.getCurrentThreadCpuTime();
            seen += compute(200000);
            best = Math.min(best, threads.getCurrentThreadCpuTime() - before);
        }
        rounds = (int) (200000 * Double.parseDouble(System.getenv("WORK_MS")) * 1e6 / best + seen * 0);
    }

    @Override protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        byte[] body = (compute(rounds) + "\n").getBytes();
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }
}
