// The extension with `vscode` and its client stubbed, and the server as the extension starts it.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const Module = require('node:module');
const { afterEach, beforeEach, test } = require('node:test');

const manifest = require('../package.json');

let log, command, failure, listener;

const stubs = {
  vscode: {
    commands: { registerCommand: (name, run) => (log.push(`command ${name}`), { name, run }) },
    window: { showErrorMessage: (text) => log.push(text) },
    workspace: {
      getConfiguration: (section) => ({ get: (key) => (assert.equal(`${section}.${key}`, 'archforge.command'), command) }),
      onDidChangeConfiguration: (run) => ((listener = run), {}),
    },
  },
  'vscode-languageclient/node': {
    LanguageClient: class {
      constructor(id, name, server, options) {
        this.server = server;
        assert.ok(options.documentSelector.every((file) => file.language === 'yaml'));
      }
      async start() {
        if (failure) throw failure;
        log.push(`start ${[this.server.command, ...this.server.args].join(' ')}`);
      }
      async stop() {
        log.push('stop');
      }
    },
  },
};

const load = Module._load;
beforeEach(() => {
  [log, command, failure] = [[], manifest.contributes.configuration.properties['archforge.command'].default, undefined];
  Module._load = (name, ...rest) => stubs[name] ?? load(name, ...rest);
  delete require.cache[require.resolve('../extension.js')];
});
afterEach(() => (Module._load = load));

test('it starts the server, again when its command changes, and stops it', async () => {
  const extension = require('../extension.js');
  const context = { subscriptions: [] };
  await extension.activate(context);
  command = ['python', '-m', 'archforge', 'lsp'];
  await listener({ affectsConfiguration: (name) => name === 'archforge.command' });
  await listener({ affectsConfiguration: () => false });
  await extension.deactivate();
  await extension.deactivate();
  const declared = manifest.contributes.commands.map((item) => `command ${item.command}`);
  assert.deepEqual(log, [...declared, 'start archforge lsp', 'stop', 'start python -m archforge lsp', 'stop']);
  assert.equal(context.subscriptions.length, 2);
});

test('where there is no server it says how to get one', async () => {
  failure = new Error('spawn archforge ENOENT');
  await require('../extension.js').activate({ subscriptions: [] });
  assert.match(log.at(-1), /ENOENT.*extra `lsp`.*archforge\.command/s);
});

const skip = !process.env.ARCHFORGE_LSP && 'set ARCHFORGE_LSP to its command';
test('the server answers over standard input and output', { skip, timeout: 60_000 }, async (context) => {
  const [program, ...args] = process.env.ARCHFORGE_LSP.split(' ');
  const server = spawn(program, args);
  context.after(() => server.kill());
  const send = (message) => {
    const body = JSON.stringify({ jsonrpc: '2.0', ...message });
    server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  };
  send({ id: 1, method: 'initialize', params: { capabilities: {}, processId: null, rootUri: null } });
  let told = '';
  for await (const chunk of server.stdout) {
    told += chunk;
    if (told.includes('"id": 1') || told.includes('"id":1')) break;
  }
  assert.match(told, /hoverProvider/);
});
