// The language client: vscode-languageclient with our answers to what it asks.
import type * as vscode from 'vscode';
import {
  CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn,
  type ConfigurationParams, type Middleware, type WorkDoneProgressBegin,
  type WorkDoneProgressEnd, type WorkDoneProgressReport,
} from 'vscode-languageclient/node';
import * as config from './config';

export type Progress = WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd;

export interface Wishes {
  command: string;
  log: vscode.LogOutputChannel;
  provide: NonNullable<Middleware['provideInlineCompletionItems']>;
  onProgress: (progress: Progress) => void;
  /** The daemon ended though nobody asked it to. */
  onEnd: () => void;
}

export function newClient(wishes: Wishes): LanguageClient {
  const server = { command: wishes.command, args: config.forStart() };
  wishes.log.info(`starting ${server.command} ${server.args.join(' ')}`);
  return new LanguageClient('fimd', 'fimd', server, {
    documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
    outputChannel: wishes.log,
    revealOutputChannelOn: RevealOutputChannelOn.Never, // messages are ours, each said once
    initializationOptions: () => ({ fimd: config.forDaemon() }),
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        wishes.onEnd();
        return { action: CloseAction.DoNotRestart, handled: true, message: 'The daemon ended.' };
      },
    },
    middleware: {
      provideInlineCompletionItems: wishes.provide,
      handleWorkDoneProgress: (_token, progress) => wishes.onProgress(progress),
      workspace: {
        configuration: (params: ConfigurationParams) =>
          params.items.map((i) => (i.section === 'fimd' ? config.forDaemon() : null)),
      },
    },
  });
}
