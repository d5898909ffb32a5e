#!/usr/bin/env python3
"""Writes a Qwen2 GGUF file of true shape with random weights, for timing.

    random_gguf.py 7b q8_0 OUT.gguf       sizes: tiny 0.5b 1.5b 3b 7b; types: q8_0 bf16 f16

Matrices are of about N(0, 0.02), norms 1, biases 0. All are cut from one pool of random blocks,
each from another place in it: the bytes look random to memory, and writing costs no more than a
copy. There is no tokenizer ("no_vocab"). Both fimd and llama.cpp take it."""
import struct
import sys

import numpy as np

# layers, hidden, heads, kv heads, intermediate, vocabulary, tied
SHAPES = {
    "tiny": (2, 256, 2, 1, 512, 1024, True),
    "0.5b": (24, 896, 14, 2, 4864, 151936, True),
    "1.5b": (28, 1536, 12, 2, 8960, 151936, True),
    "3b": (36, 2048, 16, 2, 11008, 151936, True),
    "7b": (28, 3584, 28, 4, 18944, 152064, False),
}
TYPES = {"f16": 1, "q8_0": 8, "bf16": 30}
POOL = 1 << 24  # elements
ALIGNMENT = 32


def make_pool(kind, random):
    """Blocks as bytes, and the size of one; elements of one."""
    numbers = random.standard_normal(POOL, dtype=np.float32) * np.float32(0.02)
    if kind == "f16":
        return numbers.astype(np.float16).tobytes(), 2, 1
    if kind == "bf16":
        return (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes(), 2, 1
    rows = numbers.reshape(-1, 32)
    scale = (np.abs(rows).max(axis=1) / 127).astype(np.float16)
    blocks = np.empty((len(rows), 34), np.uint8)
    blocks[:, :2] = scale.view(np.uint8).reshape(-1, 2)
    blocks[:, 2:] = np.rint(rows / scale.astype(np.float32)[:, None]).clip(-127, 127).astype(
        np.int8).view(np.uint8)
    return blocks.tobytes(), 34, 32


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def field(key, value):
    if isinstance(value, str):
        return string(key) + struct.pack("<I", 8) + string(value)
    if isinstance(value, float):
        return string(key) + struct.pack("<If", 6, value)
    return string(key) + struct.pack("<II", 4, value)


def fields_of(size):
    layers, hidden, heads, kv_heads, intermediate, vocab, _ = SHAPES[size]
    own = {"block_count": layers, "context_length": 32768, "embedding_length": hidden,
           "feed_forward_length": intermediate, "attention.head_count": heads,
           "attention.head_count_kv": kv_heads, "rope.freq_base": 1e6,
           "attention.layer_norm_rms_epsilon": 1e-6, "vocab_size": vocab}
    fields = {"general.architecture": "qwen2", "general.name": f"random {size}",
              "general.quantization_version": 2, "tokenizer.ggml.model": "no_vocab"}
    return fields | {f"qwen2.{key}": value for key, value in own.items()}


def tensors_of(size):
    """(name, dimensions), the fastest last."""
    layers, hidden, heads, kv_heads, intermediate, vocab, tied = SHAPES[size]
    kv = hidden // heads * kv_heads
    yield "token_embd.weight", (vocab, hidden)
    for i in range(layers):
        parts = {"attn_norm.weight": (hidden,), "attn_q.weight": (hidden, hidden),
                 "attn_q.bias": (hidden,), "attn_k.weight": (kv, hidden), "attn_k.bias": (kv,),
                 "attn_v.weight": (kv, hidden), "attn_v.bias": (kv,),
                 "attn_output.weight": (hidden, hidden), "ffn_norm.weight": (hidden,),
                 "ffn_gate.weight": (intermediate, hidden), "ffn_up.weight": (intermediate, hidden),
                 "ffn_down.weight": (hidden, intermediate)}
        for name, dims in parts.items():
            yield f"blk.{i}.{name}", dims
    yield "output_norm.weight", (hidden,)
    if not tied:
        yield "output.weight", (vocab, hidden)


def write_matrix(out, size, pool, block, random):
    """size bytes from the pool, from a block of its own on."""
    at = int(random.integers(len(pool) // block)) * block
    while size > 0:
        part = pool[at:at + size]
        out.write(part)
        size -= len(part)
        at = 0


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in SHAPES or sys.argv[2] not in TYPES:
        sys.exit(__doc__)
    size, kind, path = sys.argv[1:]
    random = np.random.default_rng(1)
    data, block, elements = make_pool(kind, random)
    pool = memoryview(data)
    tensors, infos, offset = list(tensors_of(size)), [], 0
    sizes = []
    for name, dims in tensors:
        vector = len(dims) == 1
        sizes.append(dims[0] * 4 if vector else dims[0] * dims[1] // elements * block)
        infos.append(string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims[::-1],
                                                0 if vector else TYPES[kind], offset))
        offset += sizes[-1] + -sizes[-1] % ALIGNMENT
    fields = [field(key, value) for key, value in fields_of(size).items()]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(fields + infos)
    with open(path, "wb", buffering=0) as out:
        out.write(head + bytes(-len(head) % ALIGNMENT))
        for (name, dims), n in zip(tensors, sizes):
            if len(dims) == 2:
                write_matrix(out, n, pool, block, random)
            else:
                value = 1 if name.endswith("norm.weight") else 0
                out.write(np.full(dims[0], value, np.float32).tobytes())
            out.write(bytes(-n % ALIGNMENT))


main()
