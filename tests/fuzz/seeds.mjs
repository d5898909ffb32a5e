// seeds.mjs - makes the inputs that fuzzing begins with: node seeds.mjs FOLDER
// Small, few, and each of what the target reads when all is well.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const RS = "\x1e";

function seed(target, name, ...parts) {
  mkdirSync(join(folder, target), { recursive: true });
  writeFileSync(join(folder, target, name), Buffer.concat(parts.map((p) => Buffer.from(p))));
}

// ---- numbers and strings as GGUF has them ----------------------------------------------------

function little(bytes, value) {
  const b = Buffer.alloc(bytes);
  if (bytes === 8) b.writeBigUInt64LE(BigInt(value));
  else b.writeUIntLE(value, 0, bytes);
  return b;
}
const u32 = (v) => little(4, v);
const u64 = (v) => little(8, v);
const string = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);
const float = (v) => { const b = Buffer.alloc(4); b.writeFloatLE(v); return b; };

// The printable character that stands for a byte in byte-level BPE.
const isPlain = (b) => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
const others = Array.from({ length: 256 }, (_, b) => b).filter((b) => !isPlain(b));
const piece = (b) => String.fromCodePoint(isPlain(b) ? b : 256 + others.indexOf(b));
const bytePieces = Array.from({ length: 256 }, (_, b) => piece(b));
const special = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];

// ---- models ----------------------------------------------------------------------------------

function gguf(version) {
  const pairs = [];
  const pair = (key, type, value) => pairs.push(string(key), u32(type), value);
  const tokens = [...bytePieces, "in", "int", ...special];
  const array = (type, items) => Buffer.concat([u32(type), u64(items.length), ...items]);
  pair("general.architecture", 8, string("qwen2"));
  pair("general.alignment", 4, u32(32));
  const numbers = { block_count: 1, context_length: 64, embedding_length: 64, feed_forward_length: 32,
    "attention.head_count": 1, "attention.head_count_kv": 1, vocab_size: 264 };
  for (const [key, value] of Object.entries(numbers)) pair(`qwen2.${key}`, 4, u32(value));
  pair("qwen2.rope.freq_base", 6, float(10000));
  pair("qwen2.attention.layer_norm_rms_epsilon", 6, float(1e-6));
  pair("tokenizer.ggml.model", 8, string("gpt2"));
  pair("tokenizer.ggml.pre", 8, string("qwen2"));
  pair("tokenizer.ggml.tokens", 9, array(8, tokens.map(string)));
  pair("tokenizer.ggml.token_type", 9, array(5, tokens.map((_, i) => u32(i < 258 ? 1 : 3))));
  pair("tokenizer.ggml.merges", 9, array(8, ["i n", "in t"].map(string)));
  const layer = { "attn_norm.weight": [64], "attn_q.weight": [64, 64], "attn_q.bias": [64],
    "attn_k.weight": [64, 64], "attn_k.bias": [64], "attn_v.weight": [64, 64], "attn_v.bias": [64],
    "attn_output.weight": [64, 64], "ffn_norm.weight": [64], "ffn_gate.weight": [64, 32],
    "ffn_up.weight": [64, 32], "ffn_down.weight": [32, 64] };
  const tensors = { "token_embd.weight": [64, 264], "output_norm.weight": [64] };
  for (const [name, dims] of Object.entries(layer)) tensors[`blk.0.${name}`] = dims;
  let offset = 0;
  const infos = Object.entries(tensors).map(([name, dims]) => {
    const n = dims.reduce((a, b) => a * b);
    const info = [string(name), u32(dims.length), ...dims.map(u64), u32(dims.length > 1 ? 8 : 0), u64(offset)];
    offset += Math.ceil((dims.length > 1 ? (n / 32) * 34 : n * 4) / 32) * 32;
    return Buffer.concat(info);
  });
  const count = pairs.length / 3;
  return Buffer.concat([Buffer.from("GGUF"), u32(version), u64(infos.length), u64(count), ...pairs, ...infos]);
}
seed("gguf", "small", [64], gguf(3));
seed("gguf", "version2", [64], gguf(2));
seed("gguf", "header", [0], "GGUF", u32(3), u64(0), u64(1), string("general.architecture"), u32(8), string("qwen2"));

function safetensors(header) {
  return Buffer.concat([u64(Buffer.byteLength(header)), Buffer.from(header)]);
}
seed("safetensors", "two", [1], safetensors(JSON.stringify({ __metadata__: { format: "pt" },
  a: { dtype: "BF16", shape: [2, 8], data_offsets: [0, 32] },
  "model.layers.0.b": { dtype: "F32", shape: [8], data_offsets: [32, 64] } })));
seed("safetensors", "scalar", [1], safetensors('{"x":{"dtype":"F16","shape":[],"data_offsets":[0,2]},'
  + '"y":{"dtype":"F16","shape":[31],"data_offsets":[2,64]}}'));
seed("safetensors", "none", [0], safetensors("{}      "));

const config = readFileSync("tests/data/config.json", "utf8");
seed("config", "whole", config, "\0", '{"metadata":{},"weight_map":{"a":"model-1.safetensors"}}');
seed("config", "newer", JSON.stringify({ architectures: ["Qwen2ForCausalLM"], model_type: "qwen2",
  num_hidden_layers: 2, hidden_size: 64, num_attention_heads: 2, num_key_value_heads: 1, head_dim: null,
  intermediate_size: 96, vocab_size: 300, max_position_embeddings: 512, rms_norm_eps: 1e-6,
  rope_parameters: { rope_theta: 1e6, rope_type: "default" }, layer_types: ["full_attention"],
  tie_word_embeddings: true, use_sliding_window: false, rope_scaling: null, hidden_act: "silu" }),
  "\0", '{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}');

const vocab = Object.fromEntries([...bytePieces, "in", "int"].map((p, i) => [p, i]));
function tokenizer(merges, change = {}) {
  const added = special.map((content, i) => ({ id: 258 + i, content, single_word: false, lstrip: false,
    rstrip: false, normalized: false, special: true }));
  const pattern = JSON.parse(readFileSync("tests/data/tokenizer.json", "utf8")).pre_tokenizer;
  return JSON.stringify({ version: "1.0", added_tokens: added, normalizer: { type: "NFC" },
    pre_tokenizer: pattern, post_processor: null, decoder: { type: "ByteLevel" },
    model: { type: "BPE", dropout: null, unk_token: null, vocab, merges }, ...change });
}
seed("tokenizer_json", "pairs", tokenizer([["i", "n"], ["in", "t"]]));
seed("tokenizer_json", "strings", tokenizer(["i n", "in t"], { normalizer: null }));

// ---- text ------------------------------------------------------------------------------------

seed("tokenizer", "code", "int main(void) {\n  return 0x1f; // caf\u00e9 e\u0301\n}\r\n\t\tif x:\n<|fim_prefix|>");
seed("tokenizer", "marks", "a\u0323\u0307\u0301 \u1100\u1161\u11a8 \ufb01 \u{1F469}\u200d\u{1F4BB} \u0958\u0344 \u2126");
seed("tokenizer", "bytes", [0xff, 0xfe, 0x80, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0x98, 0, 0x0a]);
seed("tokenizer", "long", "ab".repeat(600), " ".repeat(300), "e\u0301".repeat(200));

const languages = "bash c c-sharp cpp css go html java javascript json lua php python ruby rust tsx typescript".split(" ");
for (const file of readdirSync("tests/data/cases")) {
  const language = languages.indexOf(file === "csharp.txt" ? "c-sharp" : file.replace(".txt", ""));
  if (language < 0) continue;
  const cases = readFileSync(join("tests/data/cases", file), "utf8").split(/^=== .*\n/m).slice(1);
  for (const n of [0, 3]) {
    const [document, rest] = cases[n % cases.length].split(/\n--- written\n/);
    const written = rest.split(/\n--- shown/)[0];
    const at = Buffer.byteLength(document.split("<|>")[0]);
    seed("code", `${languages[language]}-${n}`, [language, 0], little(2, at), document.replace("<|>", ""), RS,
      written, RS, cases[(n + 1) % cases.length].split("\n--- written")[0]);
  }
}

seed("document", "typed", [0], [1, 0, 0, 0, 0, 6, 65, 66, 0x70, 67, 0x62, 0x63], [1, 0, 1, 0, 2, 2, 70, 71], [1, 1, 0, 0, 1, 0]);
seed("document", "pairs", [0], [0, 0, 0, 0, 0, 4, 0x62, 0x63, 0x62, 0x63], [1, 0, 1, 0, 3, 1, 70], [1, 0, 1, 0, 1, 1, 0x63]);
seed("document", "bytes", [1], [0, 0, 0, 0, 0, 5, 0x64, 0x65, 0x61, 0x60, 65], [1, 0, 2, 0, 5, 1, 66]);
seed("document", "points", [2], [0, 0, 0, 0, 0, 5, 0x64, 0x65, 0x61, 0x60, 65], [1, 5, 2, 0, 5, 1, 0x61]);

for (const encoding of [0, 1, 2]) { // the halves of a pair, one after the other
  seed("document", `halves-${encoding}`, [encoding], [1, 0, 0, 0, 0, 1, 0x62], [1, 0, encoding === 1 ? 3 : 1, 0, encoding === 1 ? 3 : 1, 1, 0x63]);
  seed("document", `turned-${encoding}`, [encoding], [1, 0, 0, 0, 0, 1, 0x63], [1, 0, 0, 0, 0, 1, 0x62]);
}

seed("json", "object", '{"a":[1,-2.5e3,true,null,"x\\u00e9\\n"],"b":{"":{}},"a":[]}');
seed("json", "strings", '["\\ud83d\\ude00","\\ud83d","\\u0000","\u00e9\u4e2d","\\/\\b\\f"]');
seed("json", "deep", "[".repeat(70), "1", "]".repeat(70));
seed("json", "string", '"int f(void)\\n\\t\\"\u20ac\\u20ac"');
seed("json", "numbers", "[0,-0,1e5,0.1,123456789012345678901234567890,1E-400,", "9".repeat(80), "]");

seed("settings", "all", '{"enable":true,"languages":{"*":true,"c":false},"maxTokens":32,"maxLines":4,'
  + '"promptTokens":512,"temperature":0.5,"topP":0.9,"seed":7,"noContext":true,"comments":false}', "\0",
  '{"draft":"lookahead:4,3,2","unloadAfter":0.5,"confidence":0.25,"candidates":2,"debounce":0}');
seed("settings", "wrong", '{"model":"x","unknown":1,"enable":null,"maxTokens":"9","draft":"pool","topP":2}', "\0[]");

seed("paths", "rules", "*.o\n!keep.o\n/build/\nsub/**/x\n[a-c]?.txt\n\\#a\n", "\0", "*.log\n!/a.log\n", "\0",
  "a.o\0sub/keep.o\0sub/a/b/x\0sub/a.log\0.env\0sub/id_rsa\0file:///home/a%20b/c.c\0FILE://localhost/x?y#z\0");
seed("paths", "slow", "*a*a*a*a*b\n**/a/**/b/**\n[!a-z][[:alpha:]]\n", "\0", "a\\ \n", "\0",
  "a".repeat(100), "\0sub/", "a/".repeat(40), "b\0file://host/x\0");

const lines = [{ fimd: "0.1.0", trace: 1 }];
const heard = (from, message) => lines.push({ ms: lines.length * 2.5, client: 1, from, message });
heard("client", { jsonrpc: "2.0", id: 1, method: "textDocument/inlineCompletion", params: { partialResultToken: "t" } });
heard("server", { jsonrpc: "2.0", method: "$/progress", params: { token: "t", value: [{ insertText: "a" }] } });
heard("server", { jsonrpc: "2.0", id: 1, result: { items: [{ insertText: "ab" }], more: true, token: 1 } });
heard("server", { jsonrpc: "2.0", method: "fimd/inlineCompletion/didUpdate", params: { id: 1, token: 1, items: [], final: true } });
heard("client", { jsonrpc: "2.0", id: "x", method: "textDocument/completion", params: {} });
heard("server", { jsonrpc: "2.0", id: "x", error: { code: -32800, message: "" } });
lines.push({ ms: 20, client: 1, from: "client", text: "{" });
seed("trace", "session", lines.map((l) => JSON.stringify(l) + "\n").join(""));
seed("trace", "cut", JSON.stringify(lines[0]), "\n", '{"ms":1,"client":2,"from":"client","message":{}}\n{"ms":');

// ---- sessions of the server ------------------------------------------------------------------

const doc = { uri: "file:///w/a.c", version: 1 };
const at = { line: 1, character: 2 };
const bodies = [
  { id: 1, method: "initialize", params: { processId: null, rootUri: "file:///w", capabilities: {
    general: { positionEncodings: ["utf-8"] }, window: { workDoneProgress: true },
    workspace: { configuration: true, didChangeWatchedFiles: { dynamicRegistration: true } } } } },
  { method: "initialized", params: {} },
  { method: "textDocument/didOpen", params: { textDocument: { ...doc, languageId: "c", text: "int f(int a) {\n  \n}\n" } } },
  { id: 2, method: "textDocument/inlineCompletion", params: { textDocument: doc, position: at, context: { triggerKind: 1 } } },
  { method: "textDocument/didChange", params: { textDocument: { ...doc, version: 2 }, contentChanges: [
    { range: { start: at, end: at }, text: "r\\u00e9\ud83d\ude00" }, { text: "int x;\n" }] } },
  { id: 3, method: "textDocument/completion", params: { textDocument: doc, position: { line: 0, character: 3 } } },
  { method: "$/cancelRequest", params: { id: 3 } },
  { id: 1, result: null }, { id: 2, result: [{ maxTokens: 3 }] },
  { id: 4, method: "workspace/executeCommand", params: { command: "fimd.why", arguments: [] } },
  { method: "workspace/didChangeConfiguration", params: { settings: { fimd: { debounce: 0, streaming: true } } } },
  { method: "workspace/didChangeWorkspaceFolders", params: { event: { added: [{ uri: "file:///v" }], removed: [] } } },
  { id: 5, method: "fimd/status" }, { id: 6, method: "shutdown" }, { method: "exit" },
].map((m) => JSON.stringify({ jsonrpc: "2.0", ...m }));
const framed = bodies.map((b) => `Content-Length: ${Buffer.byteLength(b)}\r\n\r\n${b}`).join("");
seed("server", "raw", [0, 0, 40], framed);
seed("server", "raw-ready", [0, 0x90, 255], framed);
seed("server", "headers", [0x80, 0, 3], "content-length: 2\nX: y\n\n{}Content-Length: -1\r\n\r\nContent-Length: 2\r\n\r\n[]");
seed("server", "bodies", [1, 0], bodies.join(RS));
seed("server", "bodies-ready", [0x41, 0x90], bodies.join(RS));

// A script: an operation a line, as server_script.c numbers them; zeros are what is ordinary.
const [CHANGE, INLINE, OPEN, CANCEL, POPUP, INIT, INITIALIZED, CLOSE] = [0, 1, 2, 3, 4, 5, 6, 7];
const WAIT = [0xc0], MODEL = [0xe0];
const init = [INIT, 0x3c, 0, 0, 0, 1, 0, 0, 0, 0];
const open = (file, language) => [OPEN, 0, file, 0, 1, language, 0, 0x80];
const ask = (line, flags) => [INLINE, 0, 0, 0, 0, 0, line, 0, 2, flags];
const type = [CHANGE, 0, 0, 0, 0, 0, 0, 0, 1, 1, 97, 0, 0, 1, 0, 2, 0, 1, 0, 2];
for (const state of [0, 0x80, 0x88, 0x90]) {
  seed("server", `script-${state}`, [2, state], init, [INITIALIZED], open(0, 1), open(1, 12), ask(1, 0), WAIT, type,
    ask(1, 0), [CANCEL, 0, 0], ask(1, 5), WAIT, [POPUP, 0, 0, 0, 0, 0, 1, 0, 2], MODEL, WAIT, [9, 0, 0, 0, 0],
    [0xf1, 0], [12, 0, 1, 0, 0, 3, 0, 0], [10], [11, 0], [13, 0, 1, 0, 0], [CLOSE, 0, 0, 0, 1], [16], [17]);
}
