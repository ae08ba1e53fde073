/** Lets tasks run one after the other, in the order in which they came. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    // What goes wrong in one task is its caller's business, and no reason for the next not to run.
    this.#last = result.catch(() => undefined);
    return result;
  }
}
