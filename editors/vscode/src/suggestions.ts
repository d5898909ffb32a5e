// What VS Code asks for as ghost text, and what it is given.
import * as vscode from 'vscode';
import {
  InlineCompletionRequest, LSPErrorCodes, ResponseError, type InlineCompletionItem,
  type InlineCompletionList, type LanguageClient,
} from 'vscode-languageclient/node';
import * as config from './config';
import type { Status, Why } from './protocol';
import { Samples } from './samples';
import type { Snooze } from './snooze';
import { Updates, type Place } from './updates';

type Answer = InlineCompletionList & { more?: boolean; token?: number };
type Shown = vscode.InlineCompletionItem[] | vscode.InlineCompletionList | null | undefined;

interface Update {
  token: number;
  items: InlineCompletionItem[];
  final: boolean;
}

const LINES_TO_COME = 'fimd.linesToCome';
/** Shorter work is not announced: the status-bar item would flicker with every key. */
const ANNOUNCE_MS = 250;
/** The daemon is asked for its own time once no further answer came for so long. */
const CALM_MS = 250;

function placeOf(document: vscode.TextDocument, at: vscode.Position): Place {
  return { uri: document.uri.toString(), version: document.version, line: at.line,
    character: at.character };
}

/** Where the cursor is, if there is one and nothing is selected. */
function cursor(): Place | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined || editor.selections.length !== 1) return undefined;
  return editor.selection.isEmpty ? placeOf(editor.document, editor.selection.active) : undefined;
}

export class Suggestions implements vscode.Disposable {
  working = false;
  lastMs: number | undefined;
  /** Of it, the daemon's own; known a little later. */
  daemonMs: number | undefined;
  reason: string | undefined;
  readonly times = new Samples();

  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly updates = new Updates<InlineCompletionItem>();
  private asked = 0;
  private announced = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly snooze: Snooze,
    private readonly log: vscode.LogOutputChannel,
    private readonly running: () => LanguageClient | undefined,
  ) {}

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }

  listen(client: LanguageClient): void {
    this.drop();
    clearTimeout(this.timer);
    this.lastMs = this.daemonMs = this.reason = undefined;
    client.onNotification('fimd/inlineCompletion/didUpdate', (u: Update) => {
      if (this.updates.update(u.token, u.items, u.final, cursor()))
        void vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
      this.tellPending();
    });
  }

  async dismiss(): Promise<void> {
    this.drop();
    await vscode.commands.executeCommand('editor.action.inlineSuggest.hide');
  }

  readonly provide = async (
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<Shown> => {
    const client = this.running();
    const place = placeOf(document, position);
    const waiting = this.updates.take(place);
    if (client === undefined || !this.wanted(document, context)) return null;
    if (waiting !== undefined)
      return client.protocol2CodeConverter.asInlineCompletionResult(waiting, token);
    this.drop();
    return this.ask(client, document, position, context, token, place);
  };

  private wanted(document: vscode.TextDocument, context: vscode.InlineCompletionContext): boolean {
    if (!config.wantedIn(document)) return false;
    const byHand = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    return byHand || !this.snooze.active;
  }

  private async ask(
    client: LanguageClient,
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
    place: Place,
  ): Promise<Shown> {
    const number = ++this.asked;
    const begun = performance.now();
    const announce = setTimeout(() => this.setWorking(true), ANNOUNCE_MS);
    try {
      const params = client.code2ProtocolConverter.asInlineCompletionParams(
        document, position, context);
      const answer = (await client.sendRequest(
        InlineCompletionRequest.type, params, token)) as Answer | null;
      if (token.isCancellationRequested || answer === null) return null;
      if (number === this.asked) {
        this.note(performance.now() - begun, answer, place);
        if (answer.items.length === 0) void this.askWhy(client, place.uri, number);
        clearTimeout(this.timer);
        this.timer = setTimeout(() => void this.askTime(client, number), CALM_MS);
      }
      return await client.protocol2CodeConverter.asInlineCompletionResult(answer, token);
    } catch (e) {
      this.noteError(e, client);
      return null;
    } finally {
      clearTimeout(announce);
      if (number === this.asked) this.setWorking(false);
    }
  }

  private note(took: number, answer: Answer, place: Place): void {
    this.reason = undefined;
    this.lastMs = took;
    this.daemonMs = undefined;
    this.times.add(took);
    if (answer.more === true && answer.token !== undefined)
      this.updates.begin(answer.token, place);
    this.tellPending();
    this.changed.fire();
  }

  private async askWhy(client: LanguageClient, uri: string, number: number): Promise<void> {
    const why = await client.sendRequest<Why | null>('fimd/why', { uri }).catch(() => null);
    if (number !== this.asked || why === null || why.outcome === 'shown') return;
    this.reason = why.reason;
    this.changed.fire();
  }

  private async askTime(client: LanguageClient, number: number): Promise<void> {
    const status = await client.sendRequest<Status>('fimd/status').catch(() => undefined);
    if (number !== this.asked || status === undefined) return;
    this.daemonMs = status.statistics.last.answerMs;
    this.changed.fire();
  }

  /** Requests that are stale, cancelled or cut off by the daemon's end are no errors. */
  private noteError(e: unknown, client: LanguageClient): void {
    if (e instanceof vscode.CancellationError || !client.isRunning()) return;
    if (e instanceof ResponseError) {
      const quiet: number[] = [LSPErrorCodes.RequestCancelled, LSPErrorCodes.ServerCancelled,
        LSPErrorCodes.ContentModified];
      if (quiet.includes(e.code)) return;
      this.log.warn(`no suggestion: ${e.message}`);
      this.reason = e.message;
      this.changed.fire();
    }
  }

  private setWorking(working: boolean): void {
    if (this.working === working) return;
    this.working = working;
    this.changed.fire();
  }

  private drop(): void {
    this.updates.drop();
    this.tellPending();
  }

  /** For the key binding that dismisses a text whose lines are still to come. */
  private tellPending(): void {
    if (this.announced === this.updates.pending) return;
    this.announced = this.updates.pending;
    void vscode.commands.executeCommand('setContext', LINES_TO_COME, this.announced);
  }
}
