// The settings as VS Code has them.
import * as vscode from 'vscode';
import { expandHome } from './binary';
import { daemonSettings, languageOn, startArguments, type Reader } from './settings';

function reader(): Reader {
  const config = vscode.workspace.getConfiguration('fimd');
  return {
    get: (key) => config.get(key),
    isSet: (key) => {
      const seen = config.inspect(key);
      return [seen?.globalValue, seen?.workspaceValue, seen?.workspaceFolderValue].some(
        (value) => value !== undefined,
      );
    },
  };
}

/** The window's; with a document, that of its folder. */
export function read<T>(key: string, otherwise: T, document?: vscode.TextDocument): T {
  return vscode.workspace.getConfiguration('fimd', document).get<T>(key) ?? otherwise;
}

/** Whether ghost text is wanted in a file: its folder may have its own word, to turn it off. */
export function wantedIn(document: vscode.TextDocument): boolean {
  return read('enable', true) && read('enable', true, document) &&
    languageOn(read('languages', {}, document), document.languageId);
}

export function forDaemon(): Record<string, unknown> {
  return daemonSettings(reader());
}

export function forStart(): string[] {
  return startArguments(reader(), expandHome);
}

/** Where it was set before, so that the change is not hidden by another place; else the user's. */
export async function write(
  key: string, value: unknown, document?: vscode.TextDocument,
): Promise<void> {
  const config = vscode.workspace.getConfiguration('fimd', document);
  const seen = config.inspect(key), target = vscode.ConfigurationTarget;
  await config.update(key, value, seen?.workspaceFolderValue !== undefined ? target.WorkspaceFolder
    : seen?.workspaceValue !== undefined ? target.Workspace : target.Global);
}
