// Starts `archforge lsp` for files of YAML; the server itself leaves those alone that are no specs.

const { commands, window, workspace } = require('vscode');
const { LanguageClient } = require('vscode-languageclient/node');

let client;

/** What the client is told to start: the command of the settings. */
function serverOptions() {
  const [command, ...args] = workspace.getConfiguration('archforge').get('command');
  return { command, args };
}

async function start() {
  const documentSelector = [
    { scheme: 'file', language: 'yaml' },
    { scheme: 'untitled', language: 'yaml' },
  ];
  client = new LanguageClient('archforge', 'archforge', serverOptions(), { documentSelector });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    window.showErrorMessage(
      `archforge cannot be started: ${error.message}. Install it with its extra \`lsp\`, ` +
        'or set `archforge.command`.',
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

async function restart() {
  await stop();
  await start();
}

async function activate(context) {
  const changed = workspace.onDidChangeConfiguration((event) => {
    if (event.affectsConfiguration('archforge.command')) return restart();
  });
  context.subscriptions.push(commands.registerCommand('archforge.restart', restart), changed);
  await start();
}

module.exports = { activate, deactivate: stop };
