"""Model folders taken apart and put together again, for tests that damage them. Needs numpy only."""
import json
import os
import struct

import numpy as np

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
NUMPY = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}


def read(path):
    """(tensors by name, metadata) of a safetensors file whose types numpy has."""
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    head = json.loads(b[8 : 8 + n])
    meta = head.pop("__metadata__", {})
    out = {}
    for name, t in head.items():
        lo, hi = t["data_offsets"]
        out[name] = np.frombuffer(b[8 + n + lo : 8 + n + hi], NUMPY[t["dtype"]]).reshape(t["shape"])
    return out, meta


def layout(tensors, meta):
    """(header, data) of such a file."""
    head, data = {"__metadata__": meta} if meta else {}, b""
    for name, a in tensors.items():
        dtype = next(k for k, v in NUMPY.items() if np.dtype(v) == a.dtype)
        head[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    return head, data


def write_raw(path, head, data):
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def write(path, tensors, meta=None):
    write_raw(path, *layout(tensors, meta))


def shards(folder, n, name="diffusion_pytorch_model-%05d-of-%05d.safetensors", index=None):
    """Divides the folder's one file of weights; returns the map that the index holds."""
    tensors, meta = read(f"{folder}/{WEIGHTS}")
    os.remove(f"{folder}/{WEIGHTS}")
    names, where = list(tensors), {}
    for i in range(n):
        file = name % (i + 1, n)
        part = {k: tensors[k] for k in names[i::n]}
        write(f"{folder}/unet/{file}", part, meta)
        where.update({k: file for k in part})
    put_index(folder, where, index)
    return where


def put_index(folder, where, index=None):
    with open(f"{folder}/{index or WEIGHTS + '.index.json'}", "w") as f:
        json.dump({"metadata": {"total_size": 0}, "weight_map": where}, f)


def edit(path, **keys):
    """Sets keys of a JSON file; NaN and infinities as Python writes them; a key set to `...` is removed."""
    with open(path) as f:
        o = json.load(f)
    o.update(keys)
    with open(path, "w") as f:
        json.dump({k: v for k, v in o.items() if v is not ...}, f, indent=2)
