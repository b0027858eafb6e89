import jakarta.servlet.http.*;
import java.io.IOException;
import java.lang.management.*;

/** Uses WORK_MS milliseconds of the CPU for each request, by its clock. */
public class Work extends HttpServlet {
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final long NS = (long) (Double.parseDouble(System.getenv("WORK_MS")) * 1e6);

    static int compute() {
        int sum = 0;
        for (long end = THREADS.getCurrentThreadCpuTime() + NS; THREADS.getCurrentThreadCpuTime() < end;)
            for (int number = 0; number < 20000; number++) sum = (int) ((sum * 31L + number) % 1000003);
        return sum;
    }

    @Override protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        byte[] body = (compute() + "\n").getBytes();
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }
}
