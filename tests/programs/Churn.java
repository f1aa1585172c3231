// SPDX-License-Identifier: MIT
// A program whose garbage collector moves, maps and unmaps its memory by itself. Threads replace objects in tables, and look whether
// those that they find are what was made. Prints "ready", and when standard input ends, "ok", if nothing was wrong.
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

public class Churn {
	static final int THREADS = 2, SLOTS = 20000;
	static final AtomicBoolean ending = new AtomicBoolean();
	static final AtomicLong made = new AtomicLong();
	static final CountDownLatch begun = new CountDownLatch(THREADS);

	static long[] make(long seed) {
		long[] object = new long[16 + (int) (seed % 200)];
		for (int i = 0; i < object.length; i++)
			object[i] = seed * 0x9e3779b97f4a7c15L + i;
		return object;
	}

	static void check(long[] object, long seed) {
		if (object.length != 16 + (int) (seed % 200))
			throw new IllegalStateException("the length of an object is wrong");
		for (int i = 0; i < object.length; i++)
			if (object[i] != seed * 0x9e3779b97f4a7c15L + i)
				throw new IllegalStateException("a word of an object is wrong");
	}

	static void churn(long seed) {
		long[][] objects = new long[SLOTS][];
		long[] seeds = new long[SLOTS];
		for (int round = 0; !ending.get(); round++) {
			if (round * 10000 == 2 * SLOTS)
				begun.countDown();
			for (int n = 0; n < 10000; n++) {
				seed++;
				int slot = (int) ((seed * 0x9e3779b97f4a7c15L >>> 20) % SLOTS);
				if (objects[slot] != null)
					check(objects[slot], seeds[slot]);
				objects[slot] = make(seed);
				seeds[slot] = seed;
			}
			made.addAndGet(10000);
		}
		for (int slot = 0; slot < SLOTS; slot++)
			if (objects[slot] != null)
				check(objects[slot], seeds[slot]);
	}

	public static void main(String[] arguments) throws Exception {
		Thread[] threads = new Thread[THREADS];
		Thread.setDefaultUncaughtExceptionHandler((thread, wrong) -> {
			System.err.println("WRONG: " + wrong);
			Runtime.getRuntime().halt(1);
		});
		for (int t = 0; t < THREADS; t++) {
			long seed = 1000000000L * t;
			threads[t] = new Thread(() -> churn(seed));
			threads[t].start();
		}
		begun.await();
		System.out.println("ready");
		while (System.in.read() != -1)
			continue;
		ending.set(true);
		for (Thread thread : threads)
			thread.join();
		System.out.println("ok, " + made.get() + " objects");
	}
}
