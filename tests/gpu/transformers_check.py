#!/usr/bin/env python3
"""Greedy tokens of fimd against transformers in fp32, on random Qwen2 models of true shape.

    transformers_check.py --fimd build/fimd [--size 0.5b --size 1.5b] [--tokens 512]

For each size it makes a folder as Hugging Face has them (config.json, model.safetensors in bf16,
no tokenizer): matrices of N(0, 0.02), those of q and k of N(0, 0.05) so that attention is sharp and
the text does not go round in a circle, biases of q, k and v, norms around 1, all seeded. The
reference is transformers' own Qwen2 on the same bf16 numbers in fp32 with TF32 off: a greedy
continuation of each prompt, and at each position the best tokens with their logits.

fimd then continues the same prompts, from where it stands in its own cache. Two right programs part
where the two best logits nearly tie, so a fork counts as a difference only if the token that fimd
chose lies more than a tolerance below the best in the reference; after a fork fimd goes on from the
reference's own text up to and with that position. So every position is compared, each after the
reference's own tokens.

How near a tie is near: random weights with sharp attention are chaotic, the more layers the more,
so the measure is what transformers itself makes of the same numbers in bf16, as it is mostly run:
the tolerance is a quarter of the widest gap at which that chooses other tokens than fp32 does, on
the reference's text (at least --tolerance).

Exit status: 0, or 1 if there is a difference, or fimd failed."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from safetensors.torch import save_file

# layers, hidden, heads, kv heads, intermediate, vocabulary, tied
SHAPES = {
    "tiny": (3, 256, 4, 2, 512, 1000, True),
    "0.5b": (24, 896, 14, 2, 4864, 151936, True),
    "1.5b": (28, 1536, 12, 2, 8960, 151936, True),
    "3b": (36, 2048, 16, 2, 11008, 151936, True),
    "7b": (28, 3584, 28, 4, 18944, 152064, False),
}
BEST = 8  # tokens of each position that the reference keeps


def config_fields(size):
    layers, hidden, heads, kv_heads, intermediate, vocab, tied = SHAPES[size]
    return dict(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, intermediate_size=intermediate, vocab_size=vocab,
        tie_word_embeddings=tied, hidden_act="silu", max_position_embeddings=32768,
        rms_norm_eps=1e-6, rope_theta=1000000.0, use_sliding_window=False, attention_dropout=0.0,
        bos_token_id=None, eos_token_id=None, pad_token_id=None)


def write_config(folder, fields):
    plain = {k: v for k, v in fields.items() if v is not None}
    plain.update(model_type="qwen2", architectures=["Qwen2ForCausalLM"], torch_dtype="bfloat16",
                 use_cache=True, initializer_range=0.02)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(plain, f, indent=2)


def make_model(size, device):
    """fp32, of numbers that bf16 holds exactly."""
    fields = config_fields(size)
    dim = fields["hidden_size"] // fields["num_attention_heads"]
    # Old versions take rope_theta, new ones rope_parameters; each may pass over the other.
    theta = fields["rope_theta"]
    new_way = {"rope_parameters": {"rope_theta": theta, "rope_type": "default"}}
    for way in new_way, {"rope_theta": theta}:
        rest = {k: v for k, v in fields.items() if k != "rope_theta"}
        config = Qwen2Config(**rest, **way)
        config._attn_implementation = "eager"
        with torch.device(device):
            model = Qwen2ForCausalLM(config).float().eval()
        took = model.model.rotary_emb.inv_freq[1].item()
        if abs(took / theta ** (-2.0 / dim) - 1) < 1e-5:
            break
    else:
        sys.exit("transformers did not take rope_theta")
    if fields["tie_word_embeddings"]:
        model.lm_head.weight = model.model.embed_tokens.weight
    random = torch.Generator(device=device).manual_seed(20)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if name.endswith("norm.weight"):
                p.normal_(1.0, 0.1, generator=random)
            elif name.endswith(".bias"):
                p.normal_(0.0, 0.1 if "v_proj" in name else 0.3, generator=random)
            elif "q_proj" in name or "k_proj" in name:
                p.normal_(0.0, 0.05, generator=random)
            else:
                p.normal_(0.0, 0.02, generator=random)
            p.copy_(p.to(torch.bfloat16).float())
    return model, fields


def save_model(model, fields, folder):
    tensors = {name: p.detach().to(torch.bfloat16).contiguous().cpu()
               for name, p in model.named_parameters()
               if not (fields["tie_word_embeddings"] and name == "lm_head.weight")}
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    write_config(folder, fields)


@torch.no_grad()
def continue_greedily(model, prompt, n, device):
    """The reference's n tokens, and the BEST ids and logits of each position."""
    step, past = torch.tensor([prompt], device=device), None
    values, ids = [], []
    for _ in range(n):
        out = model(input_ids=step, past_key_values=past, use_cache=True)
        past = out.past_key_values
        top = torch.topk(out.logits[0, -1].float(), BEST)
        values.append(top.values)
        ids.append(top.indices)
        step = top.indices[:1].view(1, 1)
    values, ids = torch.stack(values).cpu().tolist(), torch.stack(ids).cpu().tolist()
    return [row[0] for row in ids], ids, values


@torch.no_grad()
def bf16_gaps(model, prompt, want, ids, values, device):
    """How far below the best, in the reference, the tokens lie that the model chooses in bf16 on the
    reference's text, where they are others. (One beyond the BEST lies as far as the last of them.)"""
    text = torch.tensor([prompt + want[:-1]], device=device)
    chosen = model(input_ids=text, use_cache=False).logits[0, len(prompt) - 1:].argmax(-1).tolist()
    gaps = []
    for at, token in enumerate(chosen):
        if token != want[at]:
            place = ids[at].index(token) if token in ids[at] else BEST - 1
            gaps.append(values[at][0] - values[at][place])
    return gaps


class Fimd:
    """One process for all prompts of a model: a prompt's line in, CHUNK tokens out."""
    CHUNK = 32

    def __init__(self, args, folder):
        command = [args.fimd, "generate", "--backend", args.backend, "--model", folder,
                   "--context", str(args.context), "--ids", "-", "-n", str(self.CHUNK), "--json"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, ids):
        try:
            self.process.stdin.write(" ".join(map(str, ids)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if line == "":
            sys.exit(f"REAL: fimd failed ({self.process.wait()})")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"REAL: fimd failed ({self.process.returncode})")


def compare(fimd, prompt, want, ids, values, tolerance):
    """All positions; a dict of what was seen."""
    at, runs, decode_ms, forks = 0, 0, 0.0, []
    while at < len(want):
        answer = fimd.ask(prompt + want[:at])
        got = answer["tokens"][:len(want) - at]
        runs += 1
        decode_ms += answer["ms"]["decode"]
        same = 0
        while same < len(got) and got[same] == want[at + same]:
            same += 1
        at += same
        if same == len(got):
            continue
        best = values[at]
        gap = best[0] - best[ids[at].index(got[same])] if got[same] in ids[at] else None
        forks.append({"at": at, "margin": best[0] - best[1], "ours": got[same],
                      "theirs": want[at], "gap": gap, "real": gap is None or gap > tolerance})
        at += 1
    return {"prompt": len(prompt), "tokens": len(want), "forks": forks,
            "first": forks[0]["at"] if forks else None, "runs": runs, "decode_ms": decode_ms}


def check_size(args, size, results):
    device = args.device
    start = time.time()
    model, fields = make_model(size, device)
    with tempfile.TemporaryDirectory(prefix=f"fimd-{size}-", dir=args.temp) as folder:
        save_model(model, fields, folder)
        made = time.time() - start
        random = torch.Generator().manual_seed(21)
        rows = []
        start = time.time()
        for length in args.prompts:
            prompt = torch.randint(0, fields["vocab_size"], (length,), generator=random).tolist()
            rows.append((prompt, *continue_greedily(model, prompt, args.tokens, device)))
        referenced = time.time() - start
        angles = model.model.rotary_emb.inv_freq.clone()
        model = model.to(torch.bfloat16)
        model.model.rotary_emb.inv_freq = angles  # these stay fp32, as in a model loaded in bf16
        bf16 = [bf16_gaps(model, *row, device) for row in rows]
        widest = max((gap for gaps in bf16 for gap in gaps), default=0)
        tolerance = max(args.tolerance, widest / 4)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
        start = time.time()
        print(f"# {size}: model made in {made:.1f} s, reference computed in {referenced:.1f} s")
        print(f"# {size}: transformers in bf16 chooses {sum(map(len, bf16))} of "
              f"{sum(len(row[1]) for row in rows)} tokens otherwise, the widest gap is "
              f"{widest:.6f}: tolerance {tolerance:.6f}", flush=True)
        fimd = Fimd(args, folder)
        for (prompt, want, ids, values), gaps in zip(rows, bf16):
            r = compare(fimd, prompt, want, ids, values, tolerance)
            r["size"] = size
            r["tolerance"] = tolerance
            r["bf16"] = gaps
            margins = sorted(v[0] - v[1] for v in values)
            below = sum(m < tolerance for m in margins)
            r["real"] = sum(f["real"] for f in r["forks"])
            equal = r["tokens"] - len(r["forks"])
            first = "never" if r["first"] is None else str(r["first"])
            print(f"{size:5} prompt {r['prompt']:5}  equal {equal:4} of {r['tokens']:4}  "
                  f"first fork {first:>5}  forks {len(r['forks']):3}  real {r['real']:2}  "
                  f"distinct tokens {len(set(want)):4}  "
                  f"margins: median {margins[len(margins) // 2]:.4f}, {below} below "
                  f"{tolerance:.4f}; bf16 {len(gaps)} otherwise, widest "
                  f"{max(gaps, default=0):.4f}", flush=True)
            for f in r["forks"]:
                gap = "beyond the best 8" if f["gap"] is None else f"{f['gap']:.6f}"
                print(f"      at {f['at']:4}: ours {f['ours']}, theirs {f['theirs']}, margin "
                      f"{f['margin']:.6f}, ours lies lower by {gap}"
                      + ("   REAL DIFFERENCE" if f["real"] else ""), flush=True)
            results.append(r)
        fimd.close()
        print(f"# {size}: fimd was asked {sum(r['runs'] for r in results if r['size'] == size)} "
              f"times in {time.time() - start:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fimd", required=True)
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--size", action="append", choices=sorted(SHAPES))
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--prompts", type=lambda s: [int(x) for x in s.split(",")],
                        default=[5, 100, 700, 1500], help="lengths")
    parser.add_argument("--tolerance", type=float, default=0.02, help="least, of a logit")
    parser.add_argument("--context", type=int, default=0)
    parser.add_argument("--temp", default=None, help="folder for the models")
    parser.add_argument("--json", help="file for all figures")
    args = parser.parse_args()
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    args.context = args.context or max(args.prompts) + args.tokens + Fimd.CHUNK
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    results = []
    for size in args.size or ["0.5b", "1.5b"]:
        check_size(args, size, results)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f)
    real = sum(r["real"] for r in results)
    forks = [f for r in results for f in r["forks"]]
    compared = sum(r["tokens"] for r in results)
    worst = max((f["gap"] or 0 for f in forks), default=0)
    print(f"all: {compared - len(forks)} of {compared} positions equal, {len(forks)} forks at near "
          f"ties or worse (widest {worst:.6f}), {real} REAL differences")
    return 1 if real else 0


if __name__ == "__main__":
    sys.exit(main())
