/** Decides whether a server that has died is started again. */

/** So many deaths within this time are no accident. */
const MAX_DEATHS = 4;
const WITHIN_MS = 3 * 60_000;

export class Deaths {
  #times: number[] = [];

  /** Notes a death at a time in milliseconds. Gives whether another start is worth it. */
  note(time: number): boolean {
    this.#times = this.#times.filter((earlier) => time - earlier < WITHIN_MS);
    this.#times.push(time);
    return this.#times.length < MAX_DEATHS;
  }

  /** Forgets them all, because somebody has asked for a new start. */
  forget(): void {
    this.#times = [];
  }
}
