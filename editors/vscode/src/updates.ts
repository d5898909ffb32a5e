// The later lines of an answer. The daemon answers with the first line, "more": true and a token,
// then sends fimd/inlineCompletion/didUpdate with that token until "final". VS Code asks for texts
// and cannot be handed one, so an update waits here until VS Code, told to ask again, asks at the
// same place.
// No VS Code in here.

export interface Place {
  uri: string;
  version: number;
  line: number;
  character: number;
}

function samePlace(a: Place, b: Place): boolean {
  return a.uri === b.uri && a.version === b.version && a.line === b.line &&
    a.character === b.character;
}

export class Updates<Item> {
  private live: { token: number; place: Place } | undefined;
  private waiting: { place: Place; items: Item[] } | undefined;

  /** An answer that is not whole was shown. */
  begin(token: number, place: Place): void {
    this.live = { token, place };
    this.waiting = undefined;
  }

  /** Whether lines are still to come. */
  get pending(): boolean {
    return this.live !== undefined;
  }

  /** Whether VS Code should ask again: the update is of what is shown, and the cursor there. */
  update(token: number, items: Item[], final: boolean, cursor: Place | undefined): boolean {
    const live = this.live;
    if (live === undefined || live.token !== token) return false;
    if (cursor === undefined || !samePlace(cursor, live.place)) {
      this.drop();
      return false;
    }
    if (final) this.live = undefined;
    if (items.length === 0) return false;
    this.waiting = { place: live.place, items };
    return true;
  }

  /** What waits for this place; it is given once. */
  take(place: Place): Item[] | undefined {
    const waiting = this.waiting;
    this.waiting = undefined;
    return waiting !== undefined && samePlace(waiting.place, place) ? waiting.items : undefined;
  }

  /** The text is gone, or another is asked for. */
  drop(): void {
    this.live = undefined;
    this.waiting = undefined;
  }
}
