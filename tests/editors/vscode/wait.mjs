// Waiting for something, never for longer than it may take.

const POLL_MS = 20;
export const LIMIT_MS = 15_000;

/** Waits until `check` gives something other than undefined, null or false, and gives that. */
export async function until(what, check, limitMs = LIMIT_MS) {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== null && found !== false) {
      return found;
    }
    if (performance.now() > deadline) {
      throw new Error(`This did not come about within ${limitMs / 1000} s: ${what}.`);
    }
    await pause(POLL_MS);
  }
}

/** Watches for a time that nothing of the kind comes about. */
export async function never(what, check, durationMs) {
  const deadline = performance.now() + durationMs;
  while (performance.now() < deadline) {
    const found = await check();
    if (found !== undefined && found !== null && found !== false) {
      throw new Error(`This was not to come about: ${what} (${JSON.stringify(found)}).`);
    }
    await pause(POLL_MS);
  }
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
